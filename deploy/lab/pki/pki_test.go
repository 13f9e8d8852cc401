package pki_test

import (
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab/pki"
)

// oid of X.509 extensions.
var (
	oidKeyUsage         = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidSubjectKey       = asn1.ObjectIdentifier{2, 5, 29, 14}
	oidAuthorityKey     = asn1.ObjectIdentifier{2, 5, 29, 35}
	oidAlternativeName  = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidBasicConstraints = asn1.ObjectIdentifier{2, 5, 29, 19}
)

func critical(c *x509.Certificate, id asn1.ObjectIdentifier) (present, isCritical bool) {
	for _, e := range c.Extensions {
		if e.Id.Equal(id) {
			return true, e.Critical
		}
	}
	return false, false
}

func TestSigningCertificateHasTheProfileOfTheStandard(t *testing.T) {
	ca, err := pki.NewAuthority("CA", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	p, err := ca.Signing("Alfa PEC", "posta-certificata@alfa.example")
	if err != nil {
		t.Fatal(err)
	}
	c := p.Cert
	if got := c.Subject.String(); got != "CN=Posta Certificata,O=Alfa PEC,C=IT" {
		t.Errorf("subject: got %q", got)
	}
	if !slices.Equal(c.EmailAddresses, []string{"posta-certificata@alfa.example"}) {
		t.Errorf("alternative name: got %v", c.EmailAddresses)
	}
	for _, e := range []struct {
		name              string
		id                asn1.ObjectIdentifier
		present, critical bool
	}{
		{"key usage", oidKeyUsage, true, true},
		{"subject key identifier", oidSubjectKey, true, false},
		{"authority key identifier", oidAuthorityKey, true, false},
		{"alternative name", oidAlternativeName, true, false},
		{"basic constraints", oidBasicConstraints, false, false},
	} {
		if present, isCritical := critical(c, e.id); present != e.present || isCritical != e.critical {
			t.Errorf("%s: got present %t, critical %t; want %t, %t", e.name, present, isCritical, e.present, e.critical)
		}
	}
	if c.KeyUsage != x509.KeyUsageDigitalSignature {
		t.Errorf("key usage: got %b", c.KeyUsage)
	}
}

func TestOpenSSLKnowsWhatIsRevoked(t *testing.T) {
	ca, err := pki.NewAuthority("CA", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	good, err := ca.Signing("Alfa PEC", "a@alfa.example")
	if err != nil {
		t.Fatal(err)
	}
	revoked, err := ca.Signing("Alfa PEC", "a@alfa.example")
	if err != nil {
		t.Fatal(err)
	}
	crl, err := ca.CRL(revoked.Cert)
	if err != nil {
		t.Fatal(err)
	}
	trust := filepath.Join(t.TempDir(), "trust")
	if err := os.WriteFile(trust, append(ca.CertPEM(), crl...), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what string
		pair *pki.Pair
		ok   bool
	}{{"good", good, true}, {"revoked", revoked, false}} {
		file := filepath.Join(t.TempDir(), "cert")
		if err := os.WriteFile(file, c.pair.CertPEM(), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("openssl", "verify", "-CAfile", trust, "-crl_check", file).CombinedOutput()
		if (err == nil) != c.ok {
			t.Errorf("openssl verify of the %s certificate: %v: %s", c.what, err, out)
		}
	}
}

func TestKeyBelongsToCertificate(t *testing.T) {
	ca, err := pki.NewAuthority("CA", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	p, err := ca.Server("mail.alfa.example", "127.1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	raw, err := p.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(raw)
	if _, err := x509.ParsePKCS8PrivateKey(block.Bytes); err != nil {
		t.Error(err)
	}
	if err := p.Cert.VerifyHostname("127.1.2.3"); err != nil {
		t.Error(err)
	}
}
