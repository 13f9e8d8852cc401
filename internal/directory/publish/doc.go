// Package publish writes what a provider says of itself in the directory: an LDIF file of its records, main and secondary,
// which the central system fetches and applies.
//
// It signs nothing and puts the file nowhere: package signer signs, and a web server of the operator has the file.
package publish
