package signer

import (
	"net/mail"
	"slices"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"github.com/ceralacca/ceralacca/internal/mediatype"
	"github.com/ceralacca/ceralacca/pec"
)

// maxDateSkew is how far Date may be from the certified instant: more than the zones that providers get wrong, and less
// than what would make an old message of a new one.
const maxDateSkew = 24 * time.Hour

// outer compares the fields that people read, and that no signature covers, with what is signed. To and Cc are not
// compared: the SMTP recipients are, with the certification data, and providers write those two fields in forms that cannot
// be read. [C114]
type outer struct {
	found    *pec.Verification
	original pec.Header // within the message; nil when there is none, or none that can be read
}

// fieldsStep: whoever changes them on the way could make the reader believe in another author or subject, or answer to
// somebody else.
func fieldsStep(found *pec.Verification) error {
	if found.Data == nil {
		return nil
	}
	o := &outer{found: found}
	if found.Parts.Original != nil {
		w := &watched{Source: found.Parts.Original}
		o.original, _, _ = pec.ReadHeader(w, maxHeader) // what cannot be read is compared with nothing
		if w.err != nil {
			return &readError{w.err}
		}
	}
	for _, check := range []func() error{o.once, o.author, o.sender, o.replies, o.subject, o.date} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (o *outer) get(name string) string { return o.found.Message.Header.Get(name) }

// once: of a field that is there twice each reader takes another.
func (o *outer) once() error {
	for _, name := range []string{"Subject", "Date", "Sender", "Reply-To"} {
		if n := len(o.found.Message.Header.Values(name)); n > 1 {
			return problemf(pec.ProblemMalformed, "header: %s is there %d times", name, n)
		}
	}
	return nil
}

// ours tells whether an address belongs to who signed, or is the certified sender.
func (o *outer) ours(a pec.Address) bool {
	return o.found.Provider.Manages(a.Domain()) || hasAddress(o.found.Message.Signer, a) || a.Fold() == o.found.Data.Sender.Fold()
}

// author: the name in From may speak of the sender, and of nobody else. [C078] [C261]
func (o *outer) author() error {
	for _, word := range pec.AddressesNamed(o.get("From")) {
		if a, err := pec.ParseAddress(word); err == nil && !o.ours(a) {
			return problemf(pec.ProblemFrom, "From names %s, the certified sender is %s", a, o.found.Data.Sender)
		}
	}
	return nil
}

// sender: a Sender, which no provider needs, is one address of who signed. [C006]
func (o *outer) sender() error {
	value := mediatype.Unfold(o.get("Sender"))
	if value == "" {
		return nil
	}
	if a, err := pec.ParseAuthor(value); err != nil || !o.ours(a) {
		return problemf(pec.ProblemFrom, "Sender is %q, which is no address of %s", value, o.found.Provider.Name)
	}
	return nil
}

// replies: answers go where the sender asked for them, or to him. What holds no address leads nobody astray.
//
// QUIRK: some providers reduce Reply-To to the address, some leave the certified one empty. [C079]
func (o *outer) replies() error {
	var known []pec.Address
	for _, list := range []string{o.found.Data.ReplyTo, o.original.Get("Reply-To"), o.original.Get("From")} {
		addresses, err := pec.ParseAddressList(list)
		if err == nil {
			known = append(known, addresses...)
		}
	}
	asked, err := pec.ParseAddressList(o.get("Reply-To"))
	if err != nil {
		return nil
	}
	for _, a := range asked {
		if !o.ours(a) && !slices.ContainsFunc(known, func(k pec.Address) bool { return k.Fold() == a.Fold() }) {
			return problemf(pec.ProblemMalformed, "header: Reply-To names %s, to whom the sender asked for no answers", a)
		}
	}
	return nil
}

// date: a Date that cannot be read says nothing.
func (o *outer) date() error {
	date, err := mail.ParseDate(o.get("Date"))
	if err == nil && date.Sub(o.found.Data.Time).Abs() > maxDateSkew {
		return problemf(pec.ProblemMalformed, "header: Date is %s, the certified instant is %s", date.Format(time.RFC3339),
			o.found.Data.Time.Format(time.RFC3339))
	}
	return nil
}

// subject: its beginning is prescribed, and what follows is the certified subject, or that of the original, as far as
// charsets and limits of length let a provider write it. What goes to a service mailbox nobody reads by its subject.
// [C077] [C162] [C180]
func (o *outer) subject() error {
	data := o.found.Data
	if data.Kind == pec.KindTakeCharge || data.Kind == pec.KindVirusDetection {
		return nil
	}
	raw := o.get("Subject")
	text, prefix := readable(pec.DecodeText(raw)), readable(data.SubjectPrefix())
	rest, ok := strings.CutPrefix(text, prefix)
	if !ok {
		return problemf(pec.ProblemMalformed, "header: Subject is %.200q, which does not begin with %q", pec.DecodeText(raw), data.SubjectPrefix())
	}
	wants := []string{}
	if data.Subject != nil {
		wants = append(wants, *data.Subject)
	}
	if o.original != nil {
		wants = append(wants, pec.DecodeText(o.original.Get("Subject")), o.original.Get("Subject"))
	}
	if len(wants) == 0 || slices.ContainsFunc(wants, func(want string) bool { return sameText(rest, readable(want)) }) {
		return nil
	}
	return problemf(pec.ProblemMalformed, "header: Subject is %.200q, the certified one is %.200q", pec.DecodeText(raw), wants[0])
}

// cutFrom is the shortest text, in bytes, that a provider may have cut in the certification data.
const cutFrom = 60

// sameText compares two readable texts, of which the first may have been cut, and characters lost.
func sameText(got, want string) bool {
	if strings.HasPrefix(want, got) || len(want) >= cutFrom && strings.HasPrefix(got, want) {
		return true
	}
	const lost = "?\uFFFD"
	if !strings.ContainsAny(got+want, lost) {
		return false
	}
	return strings.HasPrefix(plainLetters(want), plainLetters(got))
}

// readable makes texts comparable: what folding, encoding and fonts change is taken away.
func readable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || unicode.IsControl(r) {
			return -1
		}
		return unicode.ToLower(r)
	}, norm.NFKC.String(s))
}

// plainLetters are those that no charset loses.
func plainLetters(s string) string {
	return strings.Map(func(r rune) rune {
		if r < '0' || r > 'z' || r > '9' && r < 'a' {
			return -1
		}
		return r
	}, s)
}
