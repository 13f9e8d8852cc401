// Package pec is the public vocabulary of certified e-mail (RFC 6109): addresses, identifiers, kinds of message,
// certification data (daticert.xml), the Italian words of the wire, and the reading of messages. Its sub-packages are
// texts, which people read, and compose, which makes messages; they import this one, never the other way.
//
// It does no I/O beyond reading what it is handed, keeps no state, has no clock and touches no key: sealing and
// verifying is package signer's.
package pec
