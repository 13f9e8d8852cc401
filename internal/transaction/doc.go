// Package transaction is what the milter tells the agent about one SMTP transaction: a [Record], carried through
// Postfix's queue by the header fields [FieldName] and proven genuine by an HMAC with a key that only the two can read;
// and the envelope id by which a delivery status notification is known to be about a message of ours.
//
// It does not decide anything, does no I/O but the reading of its key, and has no clock.
package transaction
