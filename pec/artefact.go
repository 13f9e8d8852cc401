package pec

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"
)

// Artefact is a message of the system, composed and not yet signed. It is immutable.
type Artefact struct {
	Kind Kind
	// Header is complete and ready to write: its Content-Type is multipart/signed with Boundary.
	Header Header
	// Boundary is that of the multipart/signed, without the leading hyphens.
	Boundary string
	// Content is the signed entity, a multipart/mixed with its own MIME header, in pieces to be concatenated. All of
	// it is signed, byte for byte, and it ends with the CRLF after the last boundary of the multipart/mixed: the
	// signer follows it with CRLF, "--" and Boundary, and that CRLF is not signed (RFC 2046, 5.1.1).
	Content []Source
}

// Original is a message as submitted or received. Its bytes are never written anew.
type Original struct {
	Header Header // as captured
	Body   Source // after the empty line
}

// Anomaly is what is said of a message that could not be certified. [C132]
type Anomaly struct {
	Sender     Address   // of the SMTP transaction
	Recipients []Address // of the SMTP transaction
	Reason     string    // in Italian, as of Problem.Italian
	Time       time.Time // of arrival
	ID         string    // of the transaction; boundaries are made of it
}

// Notification is a receipt or notice to be composed.
type Notification struct {
	Data     CertData
	To       Address
	Original Source // of a complete delivery receipt: the part of the envelope byte for byte; otherwise nil [C167]
	Concise  bool   // a delivery receipt without the original [C168] [C178]
	Final    bool   // a timeout notice after 24 hours, not after 12 [C098]
	Virus    string // what was found, of the virus notices
}

// NotificationMessageID is the Message-ID of the notification that carries these data, with angle brackets. It is
// made of identifier, kind and the recipients concerned, in whatever order, so that a retry has the same; the two
// timeout notices of a recipient are told apart by their error text. [C204]
func NotificationMessageID(p Provider, c *CertData) string {
	identity := []string{string(c.Identifier), string(c.Kind)}
	if c.Kind == KindTimeout {
		identity = append(identity, c.Detail)
	}
	if c.Delivery != nil {
		identity = append(identity, c.Delivery.Fold().String())
	}
	var taken []string
	for _, a := range c.Taken {
		taken = append(taken, a.Fold().String())
	}
	slices.Sort(taken)
	sum := sha256.Sum256([]byte(strings.Join(append(identity, taken...), "\n")))
	return "<" + hex.EncodeToString(sum[:16]) + "@" + p.Address.Domain() + ">"
}
