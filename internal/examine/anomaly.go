package examine

import (
	"errors"
	"slices"
	"strings"

	"github.com/ceralacca/ceralacca/pec"
)

// checkAnomaly compares the outer header of an anomaly envelope, which has no certification data, with the message inside,
// which is under the signature. [C134] [C137] [C138]
func (e *judge) checkAnomaly(m *pec.SignedMessage, parts *pec.Parts) error {
	c := compared(m, parts)
	c.single()
	if c.header.Has(pec.FieldReceipt) {
		c.fault("%s is there, which an anomaly envelope has not", pec.FieldReceipt)
	}
	if !c.at.IsZero() {
		c.date()
	}
	if c.original == nil {
		c.fault("there is no %s to compare with", pec.PartOriginal)
		c.provider(e)
		return errors.Join(c.wrong...)
	}
	c.anomalySubject()
	c.anomalyPeople(e, parts)
	for _, name := range []string{"To", "Cc"} {
		c.inherited(name)
	}
	// When the original has none, who carried the envelope may have given it one.
	if got, want := c.header.Get("Message-ID"), c.original.Get("Message-ID"); want != "" && got != want {
		c.fault("Message-ID is %q, that of the original is %q", got, want)
	}
	return errors.Join(c.wrong...)
}

// anomalySubject: one that grew too long by encoding was cut.
func (c *comparison) anomalySubject() {
	prefix := (&pec.CertData{Kind: pec.KindAnomaly}).SubjectPrefix()
	want := squeeze(prefix + pec.DecodeText(c.original.Get("Subject")))
	got := squeeze(pec.DecodeText(c.header.Get("Subject")))
	cut := len(got) > longSubject && strings.HasPrefix(want, strings.TrimRight(got, ".…\uFFFD"))
	if got != want && !cut {
		c.fault("Subject is %q, by the original it is %q", pec.DecodeText(c.header.Get("Subject")), prefix+pec.DecodeText(c.original.Get("Subject")))
	}
}

// longSubject is how long a subject is, in bytes, before anybody cuts it.
const longSubject = 900

// anomalyPeople: whoever From and Reply-To name besides the provider is the author of the original, or named by the text:
// the sender of the SMTP transaction, which no field inside need have. [C138]
func (c *comparison) anomalyPeople(e *judge, parts *pec.Parts) {
	from, ok := c.provider(e)
	if !ok {
		return
	}
	known := from.String() + " " + c.original.Get("From") + " " + c.original.Get("Reply-To")
	if parts.Text != nil {
		text, _ := readText(parts.Text, maxText) // what cannot be read names nobody
		known += " " + text
	}
	people := pec.AddressesNamed(strings.ToLower(pec.DecodeText(known)))
	for _, name := range []string{"From", "Reply-To"} {
		for _, word := range pec.AddressesNamed(c.header.Get(name)) {
			if !slices.Contains(people, strings.ToLower(word)) {
				c.fault("%s names %s, of whom nothing under the signature speaks", name, word)
			}
		}
	}
}
