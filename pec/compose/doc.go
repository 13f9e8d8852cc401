// Package compose makes the messages of a provider: transport and anomaly envelopes, receipts and notices, byte for
// byte, from an original that is never parsed and written again. It does not sign (package signer seals an artefact),
// does not decide which message is due (package policy does) and reads nothing from outside.
package compose
