package pec

import "time"

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
	Virus    string // what was found, of the virus notices
}

// ComposeTransport makes the transport envelope.
func ComposeTransport(p Provider, o Original, c *CertData) (*Artefact, error) { return nil, errNotYet }

// ComposeAnomaly makes the anomaly envelope.
func ComposeAnomaly(p Provider, o Original, a Anomaly) (*Artefact, error) { return nil, errNotYet }

// ComposeNotification makes a receipt or notice.
func ComposeNotification(p Provider, n Notification) (*Artefact, error) { return nil, errNotYet }

// NotificationMessageID is the Message-ID of the notification that carries these data, with angle brackets. It is
// made of identifier, kind and the recipients concerned, so that a retry has the same.
func NotificationMessageID(p Provider, c *CertData) string { return "" }
