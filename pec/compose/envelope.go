package compose

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/pec/texts"
)

// ErrCompose says that a message cannot be composed of what was given.
var ErrCompose = errors.New("cannot compose")

// Original is a message as submitted or received. Its bytes are never written anew.
type Original struct {
	Header pec.Header // as captured
	Body   pec.Source // after the empty line
	// Encrypted says that the antivirus could not look into part of it; the text of our envelope warns of that.
	Encrypted bool
}

// Anomaly is what is said of a message that could not be certified. [C132]
type Anomaly struct {
	Sender     pec.Address   // of the SMTP transaction
	Recipients []pec.Address // of the SMTP transaction
	Reason     string        // in Italian, as of Problem.Italian
	Time       time.Time     // of arrival
	ID         string        // of the transaction; boundaries are made of it
}

// TransportEnvelope makes the transport envelope of an original, with its certification data. The Message-ID of the
// original is replaced in place by the identifier, and the replaced one stands in the last field of its header.
// Errors are ErrCompose and ErrCertData. [C074] [C086]
func TransportEnvelope(p pec.Provider, o Original, c *pec.CertData) (*pec.Artefact, error) {
	if c.Kind != pec.KindTransport || p.Address.IsZero() || c.Provider != p.Name {
		return nil, fmt.Errorf("%w: a transport envelope of %q with data of kind %q of %q", ErrCompose, p.Name, c.Kind, c.Provider)
	}
	document, err := c.Encode()
	if err != nil {
		return nil, err
	}
	d := texts.Of(c)
	d.Encrypted = o.Encrypted
	text, err := texts.Render("transport", d)
	if err != nil {
		return nil, err
	}
	limits := makeBoundaries(string(c.Identifier), string(c.Kind))
	content, err := parts{text: text, original: identified(c, o), certData: document}.assemble(limits)
	if err != nil {
		return nil, err
	}
	return &pec.Artefact{Kind: c.Kind, Header: transportHeader(p, o.Header, c).finish(limits.signed), Boundary: limits.signed, Content: content}, nil
}

func transportHeader(p pec.Provider, original pec.Header, c *pec.CertData) *builder {
	b := &builder{}
	b.inherit(original, "Received", "Return-Path") // [C075]
	b.add(pec.FieldTransport, string(c.Kind))      // [C074]
	b.add(pec.FieldReceiptKind, string(c.Receipt)) // [C081]
	b.reference(c)                                 // [C080]
	b.date(c.Time)                                 // [C076]
	b.subject(c.Kind.SubjectPrefix(), c.Subject)   // [C077]
	b.author(p, c.Sender.String())
	b.replyTo(original, c.Sender)
	b.inherit(original, "To", "Cc")               // [C075]
	b.add("Message-ID", c.Identifier.Bracketed()) // [C034] [C080]
	return b
}

// identified is the original with the identifier as its Message-ID. A reference that the client wrote itself goes: the
// field is ours. [C034] [C035] [C036] [C084]
func identified(c *pec.CertData, o Original) []pec.Source {
	header := make(pec.Header, 0, len(o.Header)+2)
	placed := false
	for _, f := range o.Header.Without(pec.FieldReference) {
		if f.Is("Message-ID") {
			if placed {
				continue
			}
			placed = true
			f.Value = " " + c.Identifier.Bracketed()
		}
		header = append(header, f)
	}
	b := &builder{header: header}
	if !placed {
		b.add("Message-ID", c.Identifier.Bracketed())
	}
	b.reference(c)
	return message(b.header, o.Body)
}

// message is a message in two pieces.
func message(h pec.Header, body pec.Source) []pec.Source {
	var b bytes.Buffer
	_, _ = h.WriteTo(&b) // a buffer does not fail
	b.WriteString("\r\n")
	return []pec.Source{pec.Bytes(b.Bytes()), body}
}

// AnomalyEnvelope makes the anomaly envelope of a message as it was received. It has a text and the message, nothing
// else, and the message's own Message-ID; when that has none, neither has the envelope. It is signed like all others.
// [C132] [C133] [C134] [C140] [C142]
func AnomalyEnvelope(p pec.Provider, o Original, a Anomaly) (*pec.Artefact, error) {
	if p.Address.IsZero() || a.ID == "" || a.Reason == "" || a.Time.IsZero() {
		return nil, fmt.Errorf("%w: an anomaly envelope without provider, id, reason or time", ErrCompose)
	}
	d := texts.At(a.Time)
	if o.Header.Has("Subject") {
		d.Subject = pec.DecodeText(o.Header.Get("Subject"))
	}
	d.Sender, d.Detail, d.Encrypted = anomalySender(o.Header, a.Sender), a.Reason, o.Encrypted
	for _, r := range a.Recipients {
		d.Recipients = append(d.Recipients, texts.Recipient{Address: r.String()})
	}
	text, err := texts.Render("anomaly", d)
	if err != nil {
		return nil, err
	}
	limits := makeBoundaries(a.ID, string(pec.KindAnomaly))
	content, err := parts{text: text, original: message(o.Header, o.Body)}.assemble(limits)
	if err != nil {
		return nil, err
	}
	b := &builder{}
	b.inherit(o.Header, "Received", "Return-Path")
	b.add(pec.FieldTransport, string(pec.KindAnomaly)) // [C022] [C135]
	b.date(a.Time)                                     // [C136]
	b.subject(pec.KindAnomaly.SubjectPrefix(), &d.Subject)
	b.author(p, d.Sender)
	b.replyTo(o.Header, a.Sender)
	b.inherit(o.Header, "To", "Cc", "Message-ID") // [C134]
	return &pec.Artefact{Kind: pec.KindAnomaly, Header: b.finish(limits.signed), Boundary: limits.signed, Content: content}, nil
}

// anomalySender names the sender: that of the SMTP transaction, or the author where there is none, as in bounces.
func anomalySender(original pec.Header, sender pec.Address) string {
	if sender.IsZero() {
		sender = fromAddress(original)
	}
	if sender.IsZero() {
		return texts.UnknownSender
	}
	return sender.String()
}
