package examine

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/signer"
)

// content reads what is signed. Only what is signed may speak of the message; the header is compared later. An error is
// a failure to read, not a finding. [C190] [C198]
func (e *Examiner) content(r *Report, m *pec.SignedMessage, claimed pec.Kind) (*pec.Parts, *pec.CertData, error) {
	parts, err := pec.ReadParts(m.Content)
	if err != nil && !errors.Is(err, pec.ErrParts) && !errors.Is(err, pec.ErrHeader) {
		return nil, nil, err
	}
	var data *pec.CertData
	if err == nil && parts.CertData != nil {
		data, err = pec.ParseCertData(parts.CertData)
	}
	switch {
	case claimed == pec.KindNone && err != nil:
		return nil, nil, nil // signed by somebody; it does not claim to be certified mail, and is not
	case err != nil:
		r.set(CheckCertData, err, "")
	case data != nil:
		r.set(CheckCertData, coherent(parts, data), pec.PartCertData+" is complete and in order")
	case claimed != pec.KindNone && claimed != pec.KindAnomaly:
		r.set(CheckCertData, errors.New("there is no "+pec.PartCertData+" under the signature"), "")
	}
	return parts, data, nil
}

// coherent asks that the data have what their kind needs, and speak of recipients of the message. [C205] [C206]
func coherent(parts *pec.Parts, c *pec.CertData) error {
	var wrong []error
	covered := c.Taken
	if c.Delivery != nil {
		covered = append(covered[:len(covered):len(covered)], *c.Delivery)
	}
	if single := c.Kind == pec.KindDelivery || c.Kind == pec.KindNonDelivery || c.Kind == pec.KindTimeout; single && c.Delivery == nil {
		wrong = append(wrong, errors.New("they name no recipient of the delivery"))
	}
	if c.Kind == pec.KindTakeCharge && len(c.Taken) == 0 {
		wrong = append(wrong, errors.New("they name nobody taken in charge"))
	}
	if c.Kind == pec.KindTransport && parts.Original == nil {
		wrong = append(wrong, errors.New("the envelope has no "+pec.PartOriginal))
	}
	if bad := c.Kind == pec.KindNonAcceptance || c.Kind == pec.KindNonDelivery || c.Kind == pec.KindTimeout || c.Kind == pec.KindVirusDetection; bad != (c.Error != pec.ErrorNone) {
		wrong = append(wrong, fmt.Errorf("they say error %q, which a message of kind %q does not", c.Error, c.Kind))
	}
	for _, a := range covered {
		if !isRecipient(c, a) {
			wrong = append(wrong, fmt.Errorf("%s is no recipient of the message", a))
		}
	}
	return errors.Join(wrong...)
}

func isRecipient(c *pec.CertData, a pec.Address) bool {
	for _, r := range c.Recipients {
		if r.Address.Fold() == a.Fold() {
			return true
		}
	}
	return false
}

// judgeSigner checks the certificate against what was given.
func (e *judge) judgeSigner(r *Report, m *pec.SignedMessage, data *pec.CertData) {
	at := e.instant(m, data)
	when := "as of " + pec.ItalianTime(at).Format(time.RFC3339)
	var broken error
	if e.authorities != nil {
		broken = e.authorities.Check(m.Signer, m.Certificates, at)
		r.set(CheckChain, broken, "leads to a trusted authority, "+when)
	}
	switch {
	case e.trust != nil && broken == nil:
		r.set(CheckRevocation, e.trust.Check(m.Signer, m.Certificates, at), "not revoked, "+when)
	case e.trust != nil: // nobody vouches for a list about it
		r.detail(CheckRevocation, "not judged, since the chain does not hold")
	}
	if e.providers != nil {
		e.judgeProvider(r, m, data)
	}
	if r.Provider == nil && r.Kind != KindOrdinary {
		r.Provider = organization(m.Signer)
	}
}

// outOfDate says what is wrong with a signature that was made outside of the dates of its certificate. [C110]
func outOfDate(m *pec.SignedMessage) error {
	day := func(t time.Time) string { return pec.ItalianTime(t).Format(time.RFC3339) }
	return fmt.Errorf("%w: it was signed at %s, the certificate is of %s to %s", signer.ErrExpired, day(m.SigningTime),
		day(m.Signer.NotBefore), day(m.Signer.NotAfter))
}

// instant is when the certificate had to be good.
func (e *Examiner) instant(m *pec.SignedMessage, data *pec.CertData) time.Time {
	switch {
	case e.at != nil:
		return *e.at
	case data != nil:
		return data.Time
	}
	return m.SigningTime
}

// judgeProvider looks the whole certificate up, not its hash. [C105] [C106] [C107]
func (e *judge) judgeProvider(r *Report, m *pec.SignedMessage, data *pec.CertData) {
	record, ok := e.providers.ByCertificate(m.Signer)
	if !ok {
		r.set(CheckDirectory, e.which(errors.New("the signer's certificate is not in the directory")), "")
		return
	}
	r.Provider = &record.Name
	given := "the directory gives this certificate to " + record.Name
	if e.providers.version != "" {
		given += ": " + e.providers.version
	}
	r.set(CheckDirectory, e.which(mayCertify(record, data)), given)
}

// which adds to an error what directory was asked, when there was a choice.
func (e *judge) which(err error) error {
	if err == nil || e.providers.version == "" {
		return err
	}
	return fmt.Errorf("%w: %s", err, e.providers.version)
}

// mayCertify: no provider certifies for another. [C131]
func mayCertify(p *pec.ProviderRecord, c *pec.CertData) error {
	if c == nil {
		return nil
	}
	for _, a := range certifiedFor(p, c) {
		if !p.Manages(a.Domain()) {
			return fmt.Errorf("%s does not manage the domain of %s, for which it certifies", p.Name, a)
		}
	}
	return nil
}

// certifiedFor are the addresses whose provider alone may say what the data say.
func certifiedFor(p *pec.ProviderRecord, c *pec.CertData) []pec.Address {
	switch c.Kind {
	case pec.KindTakeCharge:
		return c.Taken
	case pec.KindDelivery, pec.KindVirusDetection, pec.KindNonDelivery:
		// A notice of non-delivery is the duty of the sender's provider when no other could be reached.
		if c.Delivery != nil && (c.Kind != pec.KindNonDelivery || !p.Manages(c.Sender.Domain())) {
			return []pec.Address{*c.Delivery}
		}
		return nil
	}
	return []pec.Address{c.Sender}
}

func subject(c *x509.Certificate) string {
	if len(c.EmailAddresses) > 0 {
		return c.EmailAddresses[0]
	}
	return c.Subject.String()
}

// organization is how the certificate calls its provider; nil when it does not. [C234]
func organization(c *x509.Certificate) *string {
	if len(c.Subject.Organization) == 0 {
		return nil
	}
	return &c.Subject.Organization[0]
}
