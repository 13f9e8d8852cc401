package compose

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/pec/texts"
)

// Notification is a receipt or notice to be composed.
type Notification struct {
	Data pec.CertData
	To   pec.Address
	// Original is, in pieces, that of a delivery receipt: of a complete one the part of the envelope byte for byte, of a
	// brief one what package brief made of it; otherwise nil. [C167] [C170]
	Original []pec.Source
	Concise  bool   // a delivery receipt without the original [C168] [C178]
	Final    bool   // a timeout notice after 24 hours, not after 12 [C098]
	Virus    string // what was found, of the virus notices
}

// MessageID is the Message-ID of the notification that carries these data, with angle brackets. It is
// made of identifier, kind and the recipients concerned, in whatever order, so that a retry has the same; the two
// timeout notices of a recipient are told apart by their error text. [C204]
func MessageID(p pec.Provider, c *pec.CertData) string {
	identity := []string{string(c.Identifier), string(c.Kind)}
	if c.Kind == pec.KindTimeout {
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

// NotificationMessage makes a receipt or notice. It is addressed to one user, or to the service mailbox of a provider,
// never to what Reply-To says; it has the few fields that say what it is, a text, certification data of the same
// content, and the original in complete and brief delivery receipts only. Errors are ErrCompose and ErrCertData.
// [C009] [C010] [C015] [C028] [C029] [C056] [C057] [C059] [C066] [C071] [C096] [C099] [C147] [C150] [C167]
func NotificationMessage(p pec.Provider, n Notification) (*pec.Artefact, error) {
	if err := n.check(p); err != nil {
		return nil, err
	}
	c := &n.Data
	document, err := c.Encode()
	if err != nil {
		return nil, err
	}
	d := texts.Of(c)
	d.Virus = n.Virus
	text, err := texts.Render(n.textName(), d)
	if err != nil {
		return nil, err
	}
	id := MessageID(p, c)
	limits := makeBoundaries(id)
	pieces, err := parts{text: text, original: n.Original, certData: document}.assemble(limits)
	if err != nil {
		return nil, err
	}
	header := n.header(p, id).finish(limits.signed)
	return &pec.Artefact{Kind: c.Kind, Header: header, Boundary: limits.signed, Content: pieces}, nil
}

// check says what does not fit together; CertData.Encode checks the data.
func (n *Notification) check(p pec.Provider) error {
	delivery := n.Data.Kind == pec.KindDelivery
	switch {
	case n.Data.Kind == pec.KindTransport:
		return fmt.Errorf("%w: a transport envelope is no notification", ErrCompose)
	case p.Address.IsZero() || n.To.IsZero() || n.Data.Provider != p.Name:
		return fmt.Errorf("%w: a notification of %q from %q to %q", ErrCompose, n.Data.Provider, p.Address, n.To)
	case delivery && n.Concise != (n.Original == nil), !delivery && (n.Concise || n.Original != nil):
		return fmt.Errorf("%w: %s with an original %v, concise %v", ErrCompose, n.Data.Kind, n.Original != nil, n.Concise)
	case (n.Data.Error == pec.ErrorVirus) != (n.Virus != ""):
		return fmt.Errorf("%w: error %s and virus %q do not agree", ErrCompose, n.Data.Error, n.Virus)
	}
	return nil
}

// textName is the name of the text. A virus changes it, as do the second timeout and a delivery that is not told in full.
func (n *Notification) textName() string {
	virus := n.Data.Error == pec.ErrorVirus
	switch kind := n.Data.Kind; {
	case kind == pec.KindNonAcceptance && virus:
		return "non-acceptance-virus"
	case kind == pec.KindNonDelivery && virus:
		return "non-delivery-virus"
	case kind == pec.KindDelivery && n.Concise:
		return "delivery-concise"
	case kind == pec.KindDelivery && n.Data.Receipt == pec.ReceiptBrief:
		return "delivery-brief"
	case kind == pec.KindTimeout && n.Final:
		return "timeout-24"
	}
	return map[pec.Kind]string{
		pec.KindAcceptance: "acceptance", pec.KindNonAcceptance: "non-acceptance", pec.KindTakeCharge: "take-charge", pec.KindDelivery: "delivery",
		pec.KindNonDelivery: "non-delivery", pec.KindTimeout: "timeout-12", pec.KindVirusDetection: "virus-detection",
	}[n.Data.Kind]
}

func (n *Notification) header(p pec.Provider, id string) *builder {
	c := &n.Data
	b := &builder{}
	b.add(pec.FieldReceipt, string(c.Kind)) // [C016] [C017]
	if c.Error == pec.ErrorVirus && c.Kind != pec.KindVirusDetection {
		b.add(pec.FieldSecurity, pec.SecurityAlarm)
	}
	if c.Kind == pec.KindVirusDetection {
		b.add(pec.FieldOriginator, c.Sender.String()) // [C146]
	}
	b.reference(c)
	b.date(c.Time)
	b.subject(c.SubjectPrefix(), c.Subject)
	b.add("From", p.Address.String()) // [C004] [C053]
	b.add("To", n.To.String())        // [C009]
	b.add("Message-ID", id)
	return b
}
