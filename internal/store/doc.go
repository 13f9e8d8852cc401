// Package store keeps the rows of the agent on disk: transactions on tables of keys and values, durable when they
// return. It is the only importer of bbolt.
//
// It does not know what a row means, and no bytes of messages belong in it: the file never shrinks.
package store
