// Package ledger is the legal log: one record per event, written in the transaction that makes the event true, and the
// rules by which the records of a message must agree.
//
// It holds no content of messages, and never changes or removes a record.
package ledger
