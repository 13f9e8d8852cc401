package signer

import (
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ceralacca/ceralacca/pec"
)

var (
	oidSubjectKeyID     = asn1.ObjectIdentifier{2, 5, 29, 14}
	oidKeyUsage         = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidSubjectAltName   = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidBasicConstraints = asn1.ObjectIdentifier{2, 5, 29, 19}
	oidAuthorityKeyID   = asn1.ObjectIdentifier{2, 5, 29, 35}
)

// CheckProfile says, as one error with a line for each fault, what keeps a certificate from being the one that p
// signs with at an instant; errors are [ErrProfile]. It binds what we sign with, not what we accept from others,
// whose certificates differ in real life. [C003]
func CheckProfile(c *x509.Certificate, p pec.Provider, at time.Time) error {
	faults := slices.Concat(identityFaults(c, p), keyFaults(c, at), extensionFaults(c))
	for i, fault := range faults {
		faults[i] = fmt.Errorf("%w: %w", ErrProfile, fault)
	}
	return errors.Join(faults...)
}

func identityFaults(c *x509.Certificate, p pec.Provider) (faults []error) {
	// [C233]
	if c.Subject.CommonName != p.Name && !slices.Contains(c.Subject.Organization, p.Name) {
		faults = append(faults, fmt.Errorf("the name of the provider, %q, is neither CN nor O of the subject", p.Name))
	}
	// [C234] [C237]
	if !hasAddress(c, p.Address) {
		faults = append(faults, fmt.Errorf("subjectAltName has no rfc822Name %s", p.Address))
	}
	return faults
}

// hasAddress reports whether an address is an rfc822Name of the certificate, compared without case.
func hasAddress(c *x509.Certificate, a pec.Address) bool {
	return !a.IsZero() && slices.ContainsFunc(c.EmailAddresses, func(s string) bool {
		return strings.EqualFold(s, a.String())
	})
}

func keyFaults(c *x509.Certificate, at time.Time) (faults []error) {
	public, ok := c.PublicKey.(*rsa.PublicKey)
	if !ok || public.N.BitLen() < minRSABits {
		faults = append(faults, fmt.Errorf("the key is not RSA of at least %d bits", minRSABits))
	}
	if c.Version != 3 {
		faults = append(faults, errors.New("it is not an X.509 version 3 certificate"))
	}
	if outsideDates(c, at) {
		faults = append(faults, fmt.Errorf("%w: it is valid from %s to %s", ErrExpired,
			c.NotBefore.UTC().Format(time.RFC3339), c.NotAfter.UTC().Format(time.RFC3339)))
	}
	emailOnly := []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection, x509.ExtKeyUsageAny}
	restricted := len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) > 0
	if restricted && !slices.ContainsFunc(c.ExtKeyUsage, func(u x509.ExtKeyUsage) bool { return slices.Contains(emailOnly, u) }) {
		faults = append(faults, errors.New("extKeyUsage is present without emailProtection"))
	}
	return faults
}

func outsideDates(c *x509.Certificate, at time.Time) bool {
	return at.Before(c.NotBefore) || at.After(c.NotAfter)
}

func extensionFaults(c *x509.Certificate) (faults []error) {
	required := []struct {
		name     string
		oid      asn1.ObjectIdentifier
		critical bool
		good     bool
		what     string
	}{
		{"keyUsage", oidKeyUsage, true, c.KeyUsage&x509.KeyUsageDigitalSignature != 0, "digitalSignature"}, // [C235]
		{"authorityKeyIdentifier", oidAuthorityKeyID, false, len(c.AuthorityKeyId) > 0, "keyIdentifier"},   // [C236]
		{"subjectKeyIdentifier", oidSubjectKeyID, false, len(c.SubjectKeyId) > 0, "keyIdentifier"},         // [C236]
		{"subjectAltName", oidSubjectAltName, false, len(c.EmailAddresses) > 0, "rfc822Name"},              // [C237]
	}
	for _, r := range required {
		i := slices.IndexFunc(c.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(r.oid) })
		switch {
		case i < 0:
			faults = append(faults, fmt.Errorf("extension %s is absent", r.name))
		case c.Extensions[i].Critical != r.critical:
			faults = append(faults, fmt.Errorf("extension %s: critical is %t, must be %t", r.name, !r.critical, r.critical))
		case !r.good:
			faults = append(faults, fmt.Errorf("extension %s lacks %s", r.name, r.what))
		}
	}
	for _, e := range c.Extensions {
		switch {
		case e.Id.Equal(oidBasicConstraints): // [C238]
			faults = append(faults, errors.New("extension basicConstraints is present"))
		case e.Critical && !e.Id.Equal(oidKeyUsage) && !isRequired(e.Id): // [C239]
			faults = append(faults, fmt.Errorf("extension %v is critical", e.Id))
		}
	}
	return faults
}

func isRequired(oid asn1.ObjectIdentifier) bool {
	return slices.ContainsFunc([]asn1.ObjectIdentifier{oidAuthorityKeyID, oidSubjectKeyID, oidSubjectAltName}, oid.Equal)
}
