package publish

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/ceralacca/ceralacca/internal/directory"
	"github.com/ceralacca/ceralacca/pec"
)

// maxText is the longest name, unit or description, in bytes: what a reader of the directory takes.
const maxText = 200

// Vouch says what keeps a certificate of a record from being one that signs there at an instant, or nil.
type Vouch func(r Record, c *x509.Certificate, at time.Time) error

// Check says what is wrong with the records of a provider at an instant: a sentence each. They are written, read again as
// everybody reads the directory, and must come out as they went in.
func Check(records []Record, at time.Time, vouch Vouch) []error {
	var faults []error
	if len(records) == 0 || records[0].Unit != "" { // [C221]
		return []error{errors.New("there is no main record, one without providerUnit, at the beginning")}
	}
	units := map[string]bool{}
	for i, r := range records {
		unit := strings.ToLower(r.Unit)
		switch {
		case i > 0 && unit == "":
			faults = append(faults, errors.New("there is more than one main record"))
		case units[unit]:
			faults = append(faults, r.fault("there are two of this providerUnit"))
		}
		units[unit] = true
		faults = append(faults, r.check(at, vouch)...)
	}
	if len(faults) == 0 {
		if err := roundTrip(records); err != nil {
			faults = append(faults, err)
		}
	}
	return faults
}

func (r Record) fault(format string, values ...any) error {
	name := "the main record"
	if r.Unit != "" {
		name = fmt.Sprintf("the record of the environment %q", r.Unit)
	}
	return fmt.Errorf("%s: %w", name, fmt.Errorf(format, values...))
}

func (r Record) check(at time.Time, vouch Vouch) (faults []error) {
	for what, text := range map[string]string{"providerName": r.Name, "providerUnit": r.Unit, "description": r.Description} {
		if len(text) > maxText || !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) || strings.TrimSpace(text) != text {
			faults = append(faults, r.fault("its %s %.100q is longer than %d bytes, or has a control character or a space at an end", what, text, maxText))
		}
	}
	switch {
	case r.Unit != "" && r.LocationURL != "": // [C220]
		faults = append(faults, r.fault("it has an LDIFLocationURL, which the main record alone has"))
	case r.Unit == "":
		if err := directory.CheckLocation(r.LocationURL); err != nil { // [C219]
			faults = append(faults, r.fault("its LDIFLocationURL %w", err))
		}
	}
	if len(r.Domains) == 0 {
		faults = append(faults, r.fault("it has no managedDomains"))
	}
	slices.SortFunc(faults, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return append(faults, r.checkCertificates(at, vouch)...)
}

// checkCertificates: each is good, today or from its first day on, and there is no day between them without one. [C210]
func (r Record) checkCertificates(at time.Time, vouch Vouch) (faults []error) {
	certs := slices.Clone(r.Certificates)
	slices.SortStableFunc(certs, func(a, b *x509.Certificate) int { return a.NotBefore.Compare(b.NotBefore) })
	var until time.Time // the end of what is good so far
	for i, c := range certs {
		if slices.ContainsFunc(certs[:i], c.Equal) {
			faults = append(faults, r.fault("it has the certificate %s twice", called(c)))
			continue
		}
		when := at
		if c.NotBefore.After(at) {
			when = c.NotBefore
			if until.Before(c.NotBefore) && !until.IsZero() {
				faults = append(faults, r.fault("the certificate %s begins at %s, after the one before it has ended at %s: nothing could be signed between",
					called(c), day(c.NotBefore), day(until)))
			}
		}
		if err := vouch(r, c, when); err != nil {
			faults = append(faults, r.fault("the certificate %s: %w", called(c), err))
		}
		if c.NotAfter.After(until) {
			until = c.NotAfter
		}
	}
	good := func(c *x509.Certificate) bool { return !at.Before(c.NotBefore) && !at.After(c.NotAfter) }
	if !slices.ContainsFunc(certs, good) {
		faults = append(faults, r.fault("it has no certificate that is good today"))
	}
	return faults
}

// called names a certificate for who has it before him.
func called(c *x509.Certificate) string {
	return fmt.Sprintf("%q (SHA-1 %s)", c.Subject.CommonName, directory.Fingerprint(c))
}

func day(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// roundTrip reads the records as everybody does.
func roundTrip(records []Record) error {
	s, err := directory.Parse(LDIF(records))
	if err != nil {
		return err
	}
	if problems := s.Problems(); len(problems) > 0 {
		return errors.New(problems[0])
	}
	for i, got := range s.Providers() {
		if !same(got, &records[i].ProviderRecord) {
			return records[i].fault("it is read otherwise than it was written: %+v", *got)
		}
	}
	return nil
}

func same(a, b *pec.ProviderRecord) bool {
	return a.Name == b.Name && a.Unit == b.Unit && a.MailReceipt == b.MailReceipt && a.LocationURL == b.LocationURL &&
		slices.EqualFunc(a.Domains, b.Domains, strings.EqualFold) &&
		slices.EqualFunc(a.Certificates, b.Certificates, func(x, y *x509.Certificate) bool { return bytes.Equal(x.Raw, y.Raw) })
}
