// Package pec is the public vocabulary of certified e-mail (RFC 6109): addresses, identifiers, kinds of message,
// certification data (daticert.xml), the Italian wire words and texts, and the composing and reading of messages.
//
// It does no I/O beyond reading what it is handed, keeps no state, has no clock and touches no key: sealing and
// verifying is package signer's.
package pec
