// Package signer seals what we generate and opens what others sealed: S/MIME, CMS, keys, the certificate profile of
// RFC 6109, chains and revocation. It is the only package that touches a key or a CMS library.
//
// Content is streamed from a pec.Source and never read whole. It does not compose messages (package pec/compose does), does
// not fetch certificates, revocation lists or the directory, and does not decide what becomes of a message that does
// not verify.
package signer
