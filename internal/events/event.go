package events

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/ceralacca/ceralacca/pec"
)

// Name says what happened. The values are part of the contract with plug-ins: they stay, and others may come.
type Name string

// What can happen to a mailbox. Content is the message that the event is about, as it was handed over to the mailbox; of
// Submitted, as it went out.
const (
	// Submitted: a message that the mailbox sent was accepted, and its transport envelope is on its way.
	Submitted Name = "submitted"
	// Accepted: the acceptance receipt for a message that the mailbox sent was issued to it.
	Accepted Name = "accepted"
	// NonAcceptance: a message that the mailbox sent was refused, for its form or for a virus, and the notice issued.
	NonAcceptance Name = "non-acceptance"
	// Delivered: a certified message lies in the mailbox.
	Delivered Name = "delivered"
	// Anomaly: an anomaly envelope lies in the mailbox.
	Anomaly Name = "anomaly"
	// Delivery: a delivery receipt for a message that the mailbox sent came to it.
	Delivery Name = "delivery"
	// NonDelivery: a notice of non-delivery came to it, also one for a virus.
	NonDelivery Name = "non-delivery"
	// Notice: a notice of another kind came to it, as that a term has passed.
	Notice Name = "notice"
)

// Event is something that happened to a mailbox.
type Event struct {
	// Key names the event for ever; see [KeyOf].
	Key  string
	Name Name
	// Mailbox is folded, and without the detail of a subaddress.
	Mailbox pec.Address
	// Time is the instant at which it happened, in whole seconds. Record sets it.
	Time time.Time
	// Identifier is that of the message; empty when it has none.
	Identifier pec.Identifier
	// Transaction is the id of the transaction that it happened in; empty when unknown.
	Transaction string
	// Sender and Recipients are those of the message, as text. Only subscribers with Metadata are told.
	Sender     string
	Recipients []string
}

// KeyOf makes the key of an event from what names its effect, so that each retry of the effect makes the same. It has 64
// hexadecimal digits.
func KeyOf(parts ...string) string {
	sum := sha256.New()
	for _, part := range parts {
		size := sha256.Sum256([]byte(part)) // of one length, so that no two lists of parts are one
		sum.Write(size[:])
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// Subscription is what a subscriber is told.
type Subscription struct {
	// Name is that of the plug-in in the configuration.
	Name string
	// Metadata, Headers and Content say what it must see beside the event itself. Content includes the headers.
	Metadata, Headers, Content bool
}
