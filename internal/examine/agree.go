package examine

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ceralacca/ceralacca/pec"
)

// claimedKind is what the header says the message is, without regard to whether it is true. [C011]
func claimedKind(h pec.Header) pec.Kind {
	if k := h.Get(pec.FieldReceipt); k != "" {
		return pec.Kind(strings.ToLower(k))
	}
	return pec.Kind(strings.ToLower(h.Get(pec.FieldTransport)))
}

// maxSkew is how far Date may be from the certified instant. Ours are the same; other providers take the two moments
// some lines of code apart.
const maxSkew = time.Minute

// comparison collects where the outer header, which no signature covers, differs from what is signed.
type comparison struct {
	header   pec.Header
	signer   *x509.Certificate
	data     *pec.CertData // nil for an anomaly envelope
	at       time.Time     // the certified instant
	original pec.Header    // of the original within, nil when there is none
	wrong    []error
}

func (c *comparison) fault(format string, args ...any) {
	c.wrong = append(c.wrong, fmt.Errorf(format, args...))
}

func (c *comparison) differ(name, got, want string) {
	if got != want {
		c.fault("%s is %q, the certification data say %q", name, got, want)
	}
}

// checkHeaders compares the outer header with the certification data and the original. [C114]
func (e *judge) checkHeaders(m *pec.SignedMessage, parts *pec.Parts, data *pec.CertData) error {
	c := compared(m, parts)
	c.data, c.at = data, data.Time
	c.single()
	c.kind()
	c.reference()
	if data.Kind == pec.KindTransport {
		c.differ("Message-ID", m.Header.Get("Message-ID"), data.Identifier.Bracketed())
	}
	c.subject()
	c.date()
	c.author(e)
	if data.Kind == pec.KindTransport {
		c.inherited("To")
		c.inherited("Cc")
		c.replies()
		c.receiptAsked()
	} else {
		e.addressee(c)
		c.nobodyElse()
	}
	c.security()
	return errors.Join(c.wrong...)
}

// reference: a Message-ID that no header can hold, as a refused message may have, is in the certification data alone. [C036]
func (c *comparison) reference() {
	got := c.header.Get(pec.FieldReference)
	if got == "" && c.data.Reference() == "" {
		return
	}
	c.differ(pec.FieldReference, got, strings.TrimSpace(c.data.MessageID))
}

func compared(m *pec.SignedMessage, parts *pec.Parts) *comparison {
	c := &comparison{header: m.Header, signer: m.Signer, at: m.SigningTime}
	if parts.Original != nil {
		if original, _, err := pec.ReadHeader(parts.Original, maxHeader); err == nil {
			c.original = original
		}
	}
	return c
}

// single: a field that is there twice lets each reader choose.
func (c *comparison) single() {
	for _, name := range []string{"From", "To", "Cc", "Reply-To", "Subject", "Date", "Message-ID", pec.FieldReceipt,
		pec.FieldTransport, pec.FieldReference, "Sender"} {
		if n := len(c.header.Values(name)); n > 1 {
			c.fault("%s is there %d times", name, n)
		}
	}
}

// kind: receipts and notices say it in one field, envelopes in another. [C016] [C022]
func (c *comparison) kind() {
	right, other := pec.FieldReceipt, pec.FieldTransport
	if c.data.Kind == pec.KindTransport {
		right, other = other, right
	}
	c.differ(right, strings.ToLower(c.header.Get(right)), string(c.data.Kind))
	if c.header.Has(other) {
		c.fault("%s is there, which a message of kind %q has not", other, c.data.Kind)
	}
}

// subject: what comes before the subject of the original is prescribed.
func (c *comparison) subject() {
	want := c.data.SubjectPrefix()
	if c.data.Subject != nil {
		want += *c.data.Subject
	}
	if got := pec.DecodeText(c.header.Get("Subject")); squeeze(got) != squeeze(want) {
		c.fault("Subject is %q, by the certification data it is %q", got, want)
	}
}

func (c *comparison) date() {
	date, err := pec.ParseDate(c.header.Get("Date"))
	if err != nil {
		c.fault("Date is %q, which cannot be read", c.header.Get("Date"))
		return
	}
	if date.Sub(c.at).Abs() > maxSkew {
		c.fault("Date is %s, the certified instant is %s", pec.ItalianTime(date).Format(time.RFC3339),
			pec.ItalianTime(c.at).Format(time.RFC3339))
	}
}

// author: From is an address of the provider that signed, and whoever it names besides is the certified sender. [C004]
// [C078] [C108]
func (c *comparison) author(e *judge) {
	from, ok := c.provider(e)
	if !ok {
		return
	}
	for _, word := range pec.AddressesNamed(c.header.Get("From")) {
		sender := c.data.Kind == pec.KindTransport && strings.EqualFold(word, c.data.Sender.String())
		if !sender && !strings.EqualFold(word, from.String()) {
			c.fault("From names %s, the certified sender is %s", word, c.data.Sender)
		}
	}
}

// provider: From is one address, of who signed; a Sender says the same. False: there is nobody to compare with. [C004] [C006]
func (c *comparison) provider(e *judge) (pec.Address, bool) {
	from := c.header.Get("From")
	list, err := pec.ParseAddressList(from)
	if err != nil || len(list) != 1 {
		c.fault("From is %q, which is not one address", from)
		return pec.Address{}, false
	}
	if !e.ofSigner(c.signer, list[0]) {
		c.fault("From is %s, which is no address of who signed", list[0])
	}
	if s := c.header.Get("Sender"); s != "" && !sameAddresses(s, list[0].String()) {
		c.fault("Sender is %q, From is %s", s, list[0])
	}
	return list[0], true
}

// ofSigner: a certificate without addresses can only be judged by the directory.
func (e *judge) ofSigner(signer *x509.Certificate, a pec.Address) bool {
	if e.providers != nil {
		if record, ok := e.providers.ByCertificate(signer); ok && record.Manages(a.Domain()) {
			return true
		}
	}
	return len(signer.EmailAddresses) == 0 || slices.ContainsFunc(signer.EmailAddresses, func(s string) bool {
		return strings.EqualFold(s, a.String())
	})
}

// inherited: an envelope has the To and Cc of the original, which is under the signature. [C075]
func (c *comparison) inherited(name string) {
	if c.original == nil {
		return
	}
	got, want := c.header.Get(name), c.original.Get(name)
	if squeeze(got) != squeeze(want) && !sameAddresses(got, want) {
		c.fault("%s is %q, that of the original is %q", name, got, want)
	}
}

// replies: QUIRK: some providers reduce Reply-To to the address, some leave the certified one empty. [C079]
func (c *comparison) replies() {
	got, want := c.header.Get("Reply-To"), c.data.ReplyTo
	if got == "" || want == "" || squeeze(got) == squeeze(want) || sameAddresses(got, want) {
		return
	}
	c.fault("Reply-To is %q, the certification data say %q", got, want)
}

// receiptAsked: QUIRK: some envelopes say nothing of it, or nothing that has a meaning. [C081]
func (c *comparison) receiptAsked() {
	got := pec.ReceiptKind(strings.ToLower(c.header.Get(pec.FieldReceiptKind)))
	known := got == pec.ReceiptComplete || got == pec.ReceiptBrief || got == pec.ReceiptConcise
	if known && c.data.Receipt != "" && got != c.data.Receipt {
		c.differ(pec.FieldReceiptKind, string(got), string(c.data.Receipt))
	}
}

// security: the alarm of a virus stands on no other notice. [C018]
func (c *comparison) security() {
	if c.header.Has(pec.FieldSecurity) && c.data.Error != pec.ErrorVirus {
		c.fault("%s is there, the certification data speak of no virus", pec.FieldSecurity)
	}
}

// nobodyElse: a receipt or notice is addressed to one, and answers do not go astray. [C009] [C015]
func (c *comparison) nobodyElse() {
	if cc := c.header.Get("Cc"); cc != "" {
		c.fault("Cc is %q, a receipt or notice has but one addressee", cc)
	}
	reply, from := c.header.Get("Reply-To"), c.header.Get("From")
	if reply != "" && !sameAddresses(reply, from) && !sameAddresses(reply, c.data.Sender.String()) {
		c.fault("Reply-To is %q, neither the provider nor the sender", reply)
	}
}

// addressee: what is for a user goes to the sender, what is between providers to the mailbox that the directory has.
// [C009] [C129]
func (e *judge) addressee(c *comparison) {
	due := c.data.Sender
	if k := c.data.Kind; k == pec.KindTakeCharge || k == pec.KindVirusDetection {
		if e.providers == nil {
			return
		}
		record, ok := e.providers.ByDomain(due.Domain())
		if !ok {
			c.fault("the directory has no provider of the sender %s", due)
			return
		}
		due = record.MailReceipt
	}
	if to := c.header.Get("To"); !sameAddresses(to, due.String()) {
		c.fault("To is %q, it is due to %s", to, due)
	}
}

// sameAddresses compares two address lists without regard to names, order and case.
func sameAddresses(a, b string) bool {
	one, err := folded(a)
	if err != nil {
		return false
	}
	other, err := folded(b)
	return err == nil && slices.Equal(one, other)
}

func folded(list string) ([]string, error) {
	addresses, err := pec.ParseAddressList(list)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, a := range addresses {
		out = append(out, a.Fold().String())
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// squeeze makes texts comparable: folding and encoding change white space.
func squeeze(s string) string { return strings.Join(strings.Fields(s), "") }
