package pec

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// ErrCompose says that a message cannot be composed of what was given.
var ErrCompose = errors.New("cannot compose")

// ComposeTransport makes the transport envelope of an original, with its certification data. The Message-ID of the
// original is replaced in place by the identifier, and the replaced one stands in the last field of its header.
// Errors are ErrCompose and ErrCertData. [C074] [C086]
func ComposeTransport(p Provider, o Original, c *CertData) (*Artefact, error) {
	if c.Kind != KindTransport || p.Address.IsZero() || c.Provider != p.Name {
		return nil, fmt.Errorf("%w: a transport envelope of %q with data of kind %q of %q", ErrCompose, p.Name, c.Kind, c.Provider)
	}
	document, err := c.Encode()
	if err != nil {
		return nil, err
	}
	text, err := render("transport", certDataText(c))
	if err != nil {
		return nil, err
	}
	limits := makeBoundaries(string(c.Identifier), string(c.Kind))
	content, err := parts{text: text, original: c.identified(o), certData: document}.assemble(limits)
	if err != nil {
		return nil, err
	}
	return &Artefact{Kind: c.Kind, Header: transportHeader(p, o.Header, c).finish(limits.signed), Boundary: limits.signed, Content: content}, nil
}

func transportHeader(p Provider, original Header, c *CertData) *builder {
	b := &builder{}
	b.inherit(original, "Received", "Return-Path") // [C075]
	b.add(FieldTransport, string(c.Kind))          // [C074]
	b.add(FieldReceiptKind, string(c.Receipt))     // [C081]
	b.reference(c.MessageID)                       // [C080]
	b.date(c.Time)                                 // [C076]
	b.subject(subjectPrefix[c.Kind], c.Subject)    // [C077]
	b.author(p, c.Sender.String())
	b.replyTo(original, c.Sender)
	b.inherit(original, "To", "Cc")                  // [C075]
	b.add("Message-ID", c.Identifier.withBrackets()) // [C034] [C080]
	return b
}

// identified is the original with the identifier as its Message-ID. A reference that the client wrote itself goes: the
// field is ours. [C034] [C035] [C036] [C084]
func (c *CertData) identified(o Original) []Source {
	header := make(Header, 0, len(o.Header)+2)
	placed := false
	for _, f := range o.Header.Without(FieldReference) {
		if f.is("Message-ID") {
			if placed {
				continue
			}
			placed = true
			f.Value = " " + c.Identifier.withBrackets()
		}
		header = append(header, f)
	}
	b := &builder{header: header}
	if !placed {
		b.add("Message-ID", c.Identifier.withBrackets())
	}
	b.reference(c.MessageID)
	return message(b.header, o.Body)
}

// message is a message in two pieces.
func message(h Header, body Source) []Source {
	var b bytes.Buffer
	_, _ = h.WriteTo(&b) // a buffer does not fail
	b.WriteString("\r\n")
	return []Source{Bytes(b.Bytes()), body}
}

// ComposeAnomaly makes the anomaly envelope of a message as it was received. It has a text and the message, nothing
// else, and the message's own Message-ID; when that has none, neither has the envelope. It is signed like all others.
// [C132] [C133] [C134] [C140] [C142]
func ComposeAnomaly(p Provider, o Original, a Anomaly) (*Artefact, error) {
	if p.Address.IsZero() || a.ID == "" || a.Reason == "" || a.Time.IsZero() {
		return nil, fmt.Errorf("%w: an anomaly envelope without provider, id, reason or time", ErrCompose)
	}
	d := timeText(a.Time)
	if o.Header.Has("Subject") {
		d.Subject = DecodeText(o.Header.Get("Subject"))
	}
	d.Sender, d.Detail = anomalySender(o.Header, a.Sender), a.Reason
	for _, r := range a.Recipients {
		d.Recipients = append(d.Recipients, textRecipient{Address: r.String()})
	}
	text, err := render("anomaly", d)
	if err != nil {
		return nil, err
	}
	limits := makeBoundaries(a.ID, string(KindAnomaly))
	content, err := parts{text: text, original: message(o.Header, o.Body)}.assemble(limits)
	if err != nil {
		return nil, err
	}
	b := &builder{}
	b.inherit(o.Header, "Received", "Return-Path")
	b.add(FieldTransport, string(KindAnomaly)) // [C022] [C135]
	b.date(a.Time)                             // [C136]
	b.subject(subjectPrefix[KindAnomaly], &d.Subject)
	b.author(p, d.Sender)
	b.replyTo(o.Header, a.Sender)
	b.inherit(o.Header, "To", "Cc", "Message-ID") // [C134]
	return &Artefact{Kind: KindAnomaly, Header: b.finish(limits.signed), Boundary: limits.signed, Content: content}, nil
}

// anomalySender names the sender: that of the SMTP transaction, or the author where there is none, as in bounces.
func anomalySender(original Header, sender Address) string {
	if sender.IsZero() {
		sender = fromAddress(original)
	}
	if sender.IsZero() {
		return textUnknown
	}
	return sender.String()
}

// ComposeNotification makes a receipt or notice. It is addressed to one user, or to the service mailbox of a provider,
// never to what Reply-To says; it has the few fields that say what it is, a text, certification data of the same
// content, and the original in complete delivery receipts only. Errors are ErrCompose and ErrCertData.
// [C009] [C010] [C015] [C028] [C029] [C056] [C057] [C059] [C066] [C071] [C096] [C099] [C147] [C150] [C167]
func ComposeNotification(p Provider, n Notification) (*Artefact, error) {
	if err := n.check(p); err != nil {
		return nil, err
	}
	c := &n.Data
	document, err := c.Encode()
	if err != nil {
		return nil, err
	}
	d := certDataText(c)
	d.Virus = n.Virus
	text, err := render(n.textName(), d)
	if err != nil {
		return nil, err
	}
	id := NotificationMessageID(p, c)
	limits := makeBoundaries(id)
	content := parts{text: text, certData: document}
	if n.Original != nil {
		content.original = []Source{n.Original}
	}
	pieces, err := content.assemble(limits)
	if err != nil {
		return nil, err
	}
	header := n.header(p, id).finish(limits.signed)
	return &Artefact{Kind: c.Kind, Header: header, Boundary: limits.signed, Content: pieces}, nil
}

// check says what does not fit together; CertData.Encode checks the data.
func (n *Notification) check(p Provider) error {
	delivery := n.Data.Kind == KindDelivery
	switch {
	case n.Data.Kind == KindTransport:
		return fmt.Errorf("%w: a transport envelope is no notification", ErrCompose)
	case p.Address.IsZero() || n.To.IsZero() || n.Data.Provider != p.Name:
		return fmt.Errorf("%w: a notification of %q from %q to %q", ErrCompose, n.Data.Provider, p.Address, n.To)
	case delivery && n.Concise != (n.Original == nil), !delivery && (n.Concise || n.Original != nil):
		return fmt.Errorf("%w: %s with an original %v, concise %v", ErrCompose, n.Data.Kind, n.Original != nil, n.Concise)
	case (n.Data.Error == ErrorVirus) != (n.Virus != ""):
		return fmt.Errorf("%w: error %s and virus %q do not agree", ErrCompose, n.Data.Error, n.Virus)
	}
	return nil
}

// textName is the name of the text. A virus changes it, as do the second timeout and a delivery without original.
func (n *Notification) textName() string {
	virus := n.Data.Error == ErrorVirus
	switch kind := n.Data.Kind; {
	case kind == KindNonAcceptance && virus:
		return "non-acceptance-virus"
	case kind == KindNonDelivery && virus:
		return "non-delivery-virus"
	case kind == KindDelivery && n.Concise:
		return "delivery-concise"
	case kind == KindTimeout && n.Final:
		return "timeout-24"
	}
	return map[Kind]string{
		KindAcceptance: "acceptance", KindNonAcceptance: "non-acceptance", KindTakeCharge: "take-charge", KindDelivery: "delivery",
		KindNonDelivery: "non-delivery", KindTimeout: "timeout-12", KindVirusDetection: "virus-detection",
	}[n.Data.Kind]
}

// SubjectPrefix is what the Subject of the message that carries these data begins with, in front of the subject of the
// original; it ends with a space. It is empty for a kind that is none. [C052] [C063] [C154]
func (c *CertData) SubjectPrefix() string {
	switch {
	case c.Kind == KindNonAcceptance && c.Error == ErrorVirus:
		return subjectNonAcceptanceVirus
	case c.Kind == KindNonDelivery && c.Error == ErrorVirus:
		return subjectNonDeliveryVirus
	}
	return subjectPrefix[c.Kind]
}

func (n *Notification) header(p Provider, id string) *builder {
	c := &n.Data
	b := &builder{}
	b.add(FieldReceipt, string(c.Kind)) // [C016] [C017]
	if c.Error == ErrorVirus && c.Kind != KindVirusDetection {
		b.add(FieldSecurity, securityAlarm)
	}
	if c.Kind == KindVirusDetection {
		b.add(FieldOriginator, c.Sender.String()) // [C146]
	}
	b.reference(c.MessageID)
	b.date(c.Time)
	b.subject(c.SubjectPrefix(), c.Subject)
	b.add("From", p.Address.String()) // [C004] [C053]
	b.add("To", n.To.String())        // [C009]
	b.add("Message-ID", id)
	return b
}

// certDataText is what the texts say of certification data.
func certDataText(c *CertData) textData {
	d := timeText(c.Time)
	d.Sender, d.Detail, d.Identifier = c.Sender.String(), c.Detail, c.Identifier
	if c.Subject != nil {
		d.Subject = strings.TrimSpace(*c.Subject)
	}
	if c.Delivery != nil {
		d.Recipient = c.Delivery.String()
	}
	for _, r := range c.Recipients {
		word := textCertified
		if r.Type == Ordinary {
			word = textOrdinary
		}
		d.Recipients = append(d.Recipients, textRecipient{Address: r.Address.String(), Type: word})
	}
	if c.Kind == KindTakeCharge {
		// The text says that these were accepted: it cannot list whom others serve. [C126]
		d.Recipients = nil
		for _, a := range c.Taken {
			d.Recipients = append(d.Recipients, textRecipient{Address: a.String()})
		}
	}
	return d
}
