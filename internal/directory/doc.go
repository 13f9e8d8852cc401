// Package directory is the list of all PEC providers (IGPEC): it reads the signed LDIF file that publishes it, and
// answers from memory who manages a domain and whose a certificate is.
//
// It does not judge whether a certificate is within its dates or revoked, and publishes nothing.
package directory
