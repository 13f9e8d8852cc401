package signer

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"strings"
	"testing"

	"github.com/ceralacca/ceralacca/internal/conformance"
)

func TestTheProfileOfTheRulesIsAccepted(t *testing.T) {
	conformance.Covers(t, "C003", "C233", "C234", "C235", "C236", "C237", "C238", "C239")
	root := newAuthority(t, "Root", nil)
	for name, change := range map[string]func(*x509.Certificate){
		"with the name as O":        func(c *x509.Certificate) {},
		"with the name as CN":       func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: "Alfa S.p.A."} },
		"without extended usage":    func(c *x509.Certificate) { c.ExtKeyUsage = nil },
		"with more usages":          func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageContentCommitment },
		"with more addresses":       func(c *x509.Certificate) { c.EmailAddresses = append([]string{"a@b.example"}, c.EmailAddresses...) },
		"with capitals":             func(c *x509.Certificate) { c.EmailAddresses = []string{"Posta-Certificata@ALFA.example"} },
		"with a distribution point": func(c *x509.Certificate) { c.CRLDistributionPoints = []string{"http://ca.example/CRL"} },
	} {
		cert := root.issue(t, rsaKey(t, "alfa"), 7, change)
		if err := CheckProfile(cert, alfa(t), now); err != nil {
			t.Errorf("CheckProfile of a certificate %s: %v", name, err)
		}
	}
}

func TestOtherProfilesAreRefused(t *testing.T) {
	conformance.Covers(t, "C003", "C233", "C234", "C235", "C236", "C237", "C238", "C239")
	root := newAuthority(t, "Root", nil)
	noKeyID := newAuthority(t, "Root", nil, func(c *x509.Certificate) { c.SubjectKeyId = []byte{} })
	noKeyID.cert.SubjectKeyId = nil
	curve := ecdsaKey(t)
	emailName, err := asn1.Marshal([]asn1.RawValue{{Class: 2, Tag: 1, Bytes: []byte(providerAddress)}})
	if err != nil {
		t.Fatal(err)
	}
	usage := []byte{0x03, 0x02, 0x07, 0x80}
	keyID := []byte{0x04, 0x02, 0x01, 0x02}
	for _, c := range []struct {
		name   string
		cert   *x509.Certificate
		phrase string
	}{
		{"another name", root.issue(t, rsaKey(t, "alfa"), 1, func(c *x509.Certificate) { c.Subject.Organization = []string{"Beta S.p.A."} }), "the name of the provider"},
		{"another address", root.issue(t, rsaKey(t, "alfa"), 1, func(c *x509.Certificate) { c.EmailAddresses = []string{"info@alfa.example"} }), "no rfc822Name posta-certificata@alfa.example"},
		{"no address", root.issue(t, rsaKey(t, "alfa"), 1, func(c *x509.Certificate) { c.EmailAddresses = nil }), "extension subjectAltName is absent"},
		{"a name of a host only", root.issue(t, rsaKey(t, "alfa"), 1, func(c *x509.Certificate) { c.EmailAddresses, c.DNSNames = nil, []string{"alfa.example"} }), "extension subjectAltName lacks rfc822Name"},
		{"a critical address", root.issue(t, rsaKey(t, "alfa"), 1, withExtension(oidSubjectAltName, true, emailName)), "extension subjectAltName: critical is true"},
		{"no usage", root.issue(t, rsaKey(t, "alfa"), 1, func(c *x509.Certificate) { c.KeyUsage = 0 }), "extension keyUsage is absent"},
		{"another usage", root.issue(t, rsaKey(t, "alfa"), 1, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }), "extension keyUsage lacks digitalSignature"},
		{"a usage that is not critical", root.issue(t, rsaKey(t, "alfa"), 1, withExtension(oidKeyUsage, false, usage)), "extension keyUsage: critical is false"},
		{"no key identifier", root.issue(t, rsaKey(t, "alfa"), 1, func(c *x509.Certificate) { c.SubjectKeyId = nil }), "extension subjectKeyIdentifier is absent"},
		{"a critical key identifier", critical(root.issue(t, rsaKey(t, "alfa"), 1, withExtension(oidSubjectKeyID, false, keyID)), oidSubjectKeyID), "extension subjectKeyIdentifier: critical is true"},
		{"no identifier of the authority's key", noKeyID.issue(t, rsaKey(t, "alfa"), 1), "extension authorityKeyIdentifier is absent"},
		{"basic constraints", root.issue(t, rsaKey(t, "alfa"), 1, func(c *x509.Certificate) { c.BasicConstraintsValid = true }), "extension basicConstraints is present"},
		{"another critical extension", root.issue(t, rsaKey(t, "alfa"), 1, withExtension(asn1.ObjectIdentifier{1, 2, 3}, true, []byte{5, 0})), "extension 1.2.3 is critical"},
		{"use as a server only", root.issue(t, rsaKey(t, "alfa"), 1, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), "without emailProtection"},
		{"an elliptic key", root.issue(t, curve, 1), "not RSA"},
		{"an end", root.issue(t, rsaKey(t, "alfa"), 1, func(c *x509.Certificate) { c.NotAfter = now.Add(-1) }), "outside its dates"},
		{"a later beginning", root.issue(t, rsaKey(t, "alfa"), 1, func(c *x509.Certificate) { c.NotBefore = now.Add(1e9) }), "outside its dates"},
	} {
		err := CheckProfile(c.cert, alfa(t), now)
		if !errors.Is(err, ErrProfile) || !strings.Contains(err.Error(), c.phrase) {
			t.Errorf("CheckProfile of a certificate with %s = %v, want %q", c.name, err, c.phrase)
		} else if n := strings.Count(err.Error(), "\n") + 1; n > 2 {
			t.Errorf("one fault, %s, gives %d lines:\n%v", c.name, n, err)
		}
	}
}

// critical marks an extension that crypto/x509 does not let one mark; the signature no longer fits, which does not
// matter to the profile.
func critical(c *x509.Certificate, oid asn1.ObjectIdentifier) *x509.Certificate {
	for i := range c.Extensions {
		if c.Extensions[i].Id.Equal(oid) {
			c.Extensions[i].Critical = true
		}
	}
	return c
}

func TestAllFaultsOfAProfileAreTold(t *testing.T) {
	conformance.Covers(t, "C003")
	cert := newAuthority(t, "Root", nil).issue(t, rsaKey(t, "alfa"), 1, func(c *x509.Certificate) {
		c.Subject.Organization, c.EmailAddresses, c.KeyUsage = nil, nil, 0
	})
	err := CheckProfile(cert, alfa(t), now)
	for _, phrase := range []string{"the name of the provider", "rfc822Name", "keyUsage"} {
		if err == nil || !strings.Contains(err.Error(), phrase) {
			t.Errorf("CheckProfile = %v, which does not tell %q", err, phrase)
		}
	}
}
