package pec

import (
	"errors"
	"time"
)

// Recipient is an addressee of a certified message, and whether its provider certifies delivery. [C031]
type Recipient struct {
	Address Address
	Type    RecipientType
}

// CertData is the certification data of a message, daticert.xml. [C198]
type CertData struct {
	Kind       Kind
	Error      ErrorCode
	Sender     Address     // the envelope sender of the original [C012]
	Recipients []Recipient // the envelope recipients of the original; at least one
	ReplyTo    string      // the value of Reply-To of the original, or its sender's address
	Subject    *string     // in UTF-8, decoded; nil when the original has none
	Provider   string      // the name of who emits
	Time       time.Time   // of the message that carries the data, to the second [C186]
	Identifier Identifier  // always of the transport envelope [C204]
	MessageID  string      // of the client, with < >; "" when it sent none [C037] [C038]
	Receipt    ReceiptKind // asked for; only in transport envelopes and delivery receipts [C205]
	Delivery   *Address    // the one recipient of a delivery, non-delivery, virus or timeout notification [C206]
	Taken      []Address   // the recipients of a take-charge [C206]
	Detail     string      // the error in words
}

var errNotYet = errors.New("not yet")

// Encode is the XML document, in UTF-8, with CRLF, without DOCTYPE.
func (c *CertData) Encode() ([]byte, error) { return nil, errNotYet }

// ParseCertData reads certification data of any provider.
func ParseCertData(b []byte) (*CertData, error) { return nil, errNotYet }

// ItalianTime is t in the legal time of Italy. [C187]
func ItalianTime(t time.Time) time.Time { return t }
