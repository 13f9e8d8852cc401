package pec

import (
	"crypto/x509"
	"time"
)

// SignedMessage is a multipart/signed taken apart; signer.Open makes it.
type SignedMessage struct {
	Header       Header
	Content      Source   // the signed entity, byte for byte
	Digest       [32]byte // SHA-256 of Content
	CMS          []byte
	Signer       *x509.Certificate
	Certificates []*x509.Certificate // all that the signature carries
	SigningTime  time.Time           // claimed by the signer; zero when not stated
}

// Problem is why a message is not what it says it is. Its zero value means that there is none. Values are stable:
// they go to logs.
type Problem string

// The problems.
const (
	ProblemNoSignature   Problem = "no-signature"   // no S/MIME signature [C104]
	ProblemUnknownSigner Problem = "unknown-signer" // the signer is not in the directory [C105]
	ProblemSignature     Problem = "signature"      // it does not verify [C109]
	ProblemRevoked       Problem = "revoked"        // [C111]
	ProblemExpired       Problem = "expired"        // outside the dates of the certificate [C112]
	ProblemChain         Problem = "chain"          // no path to a trusted authority [C110]
	ProblemMalformed     Problem = "malformed"      // [C114]
	ProblemRouting       Problem = "routing"        // envelope addresses and certification data disagree
	ProblemTooOld        Problem = "too-old"        // older than the limit and unknown
	ProblemOtherContent  Problem = "other-content"  // a known identifier with other content
	ProblemFrom          Problem = "from"           // From is none of the signing provider's [C108]
	ProblemUndelivered   Problem = "undelivered"    // a bounce for an ordinary recipient, handed to the sender
)

// Verification is what was found out about a message that claims to be certified.
type Verification struct {
	Problem  Problem
	Detail   string // in English, for the log
	Message  *SignedMessage
	Provider *ProviderRecord // whose certificate the signature names; proven unless it is the signature that is the problem
	Kind     Kind
	Data     *CertData
	Parts    *Parts
}
