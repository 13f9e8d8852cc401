// Package revocation fetches what authorities say of the certificates they made: lists of revocations by HTTP, kept on disk, and
// answers by OCSP. It hands them to a [signer.Trust], which judges. It does not judge anybody itself.
package revocation
