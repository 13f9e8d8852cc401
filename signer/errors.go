package signer

import "errors"

// What can be wrong with a key or with what should be sealed. None of them is cured by trying again.
var (
	// ErrKey says that a key or its certificate cannot be used.
	ErrKey = errors.New("key is not usable")
	// ErrProfile says that a certificate does not follow the profile of RFC 6109 section 5.5.
	ErrProfile = errors.New("certificate does not follow the profile")
	// ErrLint says that a composed message is not fit to be sealed: an error of ours.
	ErrLint = errors.New("message is not fit to be sealed")
	// ErrUsed says that a draft was sealed or resumed before.
	ErrUsed = errors.New("draft was used before")
	// ErrDigest says that a stored signature belongs to other content.
	ErrDigest = errors.New("signature is of other content")
)

// What can be wrong with a signature that is opened.
var (
	// ErrNotSigned says that a message is not an S/MIME multipart/signed.
	ErrNotSigned = errors.New("message is not signed")
	// ErrMalformed says that a signed message cannot be taken apart in exactly one way.
	ErrMalformed = errors.New("signed message is malformed")
	// ErrSignature says that the signature is not one of the content, or not one that counts.
	ErrSignature = errors.New("signature does not verify")
)

// What can be wrong with a certificate, apart from what it signed.
var (
	// ErrChain says that no chain leads from a certificate to a trusted authority.
	ErrChain = errors.New("certificate does not chain to a trusted authority")
	// ErrExpired says that a certificate is not valid yet, or no more.
	ErrExpired = errors.New("certificate is outside its dates")
	// ErrRevoked says that a certificate was revoked before the instant in question.
	ErrRevoked = errors.New("certificate is revoked")
	// ErrNoCRL says that no revocation list speaks of a certificate, or only one that ended too long ago. It is
	// temporary: a list may come.
	ErrNoCRL = errors.New("no usable revocation list")
)
