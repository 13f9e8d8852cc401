package examine

import (
	"errors"
	"fmt"
	"io"
	"net/mail"
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

// maxSkew is how far Date may be from the certified instant: they should be the same, clocks of others are not.
const maxSkew = 5 * time.Minute

// checkHeaders compares the outer header, which no signature covers, with the certification data. [C114]
func checkHeaders(h pec.Header, c *pec.CertData) error {
	var wrong []error
	differ := func(name, got, want string) {
		if got != want {
			wrong = append(wrong, fmt.Errorf("%s is %q, the certification data say %q", name, got, want))
		}
	}
	differ("the kind", string(claimedKind(h)), string(c.Kind))
	differ(pec.FieldReference, h.Get(pec.FieldReference), strings.TrimSpace(c.MessageID))
	if c.Kind == pec.KindTransport {
		differ("Message-ID", h.Get("Message-ID"), "<"+string(c.Identifier)+">")
	}
	if c.Subject != nil {
		subject := pec.DecodeText(h.Get("Subject"))
		if !strings.HasSuffix(squeeze(subject), squeeze(*c.Subject)) {
			wrong = append(wrong, fmt.Errorf("Subject is %q, the certified one is %q", subject, *c.Subject))
		}
	}
	if date, err := mail.ParseDate(h.Get("Date")); err != nil {
		wrong = append(wrong, errors.New("Date cannot be read"))
	} else if d := date.Sub(c.Time).Abs(); d > maxSkew {
		wrong = append(wrong, fmt.Errorf("Date is %s away from the certified instant", d))
	}
	wrong = append(wrong, checkAddressee(h, c))
	return errors.Join(wrong...)
}

// checkAddressee: receipts and notices for a user go to the sender. [C009]
func checkAddressee(h pec.Header, c *pec.CertData) error {
	switch c.Kind {
	case pec.KindTransport, pec.KindAnomaly, pec.KindTakeCharge, pec.KindVirusDetection:
		return nil
	}
	to, err := pec.ParseAddressList(h.Get("To"))
	if err != nil || len(to) != 1 || to[0].Fold() != c.Sender.Fold() {
		return fmt.Errorf("To is %q, the certified sender is %s", h.Get("To"), c.Sender)
	}
	return nil
}

// squeeze makes subjects comparable: folding and encoding change white space.
func squeeze(s string) string { return strings.Join(strings.Fields(s), "") }

// mayCertify: no provider certifies for another.
func mayCertify(p *pec.ProviderRecord, c *pec.CertData) error {
	if c == nil {
		return nil
	}
	subjects := slices.Clone(c.Taken)
	switch c.Kind {
	case pec.KindDelivery, pec.KindVirusDetection:
		if c.Delivery != nil {
			subjects = append(subjects, *c.Delivery)
		}
	case pec.KindNonDelivery: // of the recipient's provider, or of the sender's when no provider could be reached
		if c.Delivery != nil && !p.Manages(c.Sender.Domain()) {
			subjects = append(subjects, *c.Delivery)
		}
	case pec.KindTransport, pec.KindAcceptance, pec.KindNonAcceptance, pec.KindTimeout:
		subjects = append(subjects, c.Sender)
	}
	for _, a := range subjects {
		if !p.Manages(a.Domain()) {
			return fmt.Errorf("%s does not manage the domain of %s, for which it certifies", p.Name, a)
		}
	}
	return nil
}

// maxText is how much of the readable part is looked at.
const maxText = 1 << 20

// checkText asks that the readable text names the message of the certification data. Its wording is free. [C058]
func checkText(parts *pec.Parts, c *pec.CertData) error {
	if parts == nil || parts.Text == nil {
		return errors.New("there is no readable text")
	}
	text, err := readText(parts.Text, maxText)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	names := []string{string(c.Identifier), c.Sender.String()}
	if c.Delivery != nil {
		names = append(names, c.Delivery.String())
	}
	plain := strings.ToLower(squeeze(text))
	for _, name := range names {
		if !strings.Contains(plain, strings.ToLower(name)) {
			return fmt.Errorf("the readable text does not name %s", name)
		}
	}
	return nil
}
