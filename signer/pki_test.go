package signer

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/pec"
)

// now is the instant at which everything of these tests happens: OpenSSL judges by the clock of the machine.
var now = time.Now().Truncate(time.Second)

const providerAddress = "posta-certificata@alfa.example"

func address(t testing.TB, s string) pec.Address {
	t.Helper()
	a, err := pec.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func alfa(t testing.TB) pec.Provider {
	return pec.Provider{Name: "Alfa S.p.A.", Address: address(t, providerAddress)}
}

// rsaKey makes keys once: the tests need few, and making them is slow.
var rsaKey = func() func(testing.TB, string) *rsa.PrivateKey {
	var mu sync.Mutex
	keys := map[string]*rsa.PrivateKey{}
	return func(t testing.TB, name string) *rsa.PrivateKey {
		mu.Lock()
		defer mu.Unlock()
		if keys[name] == nil {
			key, err := rsa.GenerateKey(rand.Reader, 2048)
			if err != nil {
				t.Fatal(err)
			}
			keys[name] = key
		}
		return keys[name]
	}
}()

// ecdsaKey makes a key fast, for authorities.
func ecdsaKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// rsaAuthority is the name of an authority with an RSA key.
const rsaAuthority = "RSA Root"

// authority is a certification authority with its files.
type authority struct {
	cert   *x509.Certificate
	key    crypto.Signer
	parent *authority
}

func newAuthority(t testing.TB, name string, parent *authority, change ...func(*x509.Certificate)) *authority {
	t.Helper()
	a := &authority{key: ecdsaKey(t), parent: parent}
	if name == rsaAuthority {
		a.key = rsaKey(t, "authority")
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(int64(len(name)) + 1000),
		Subject:               pkix.Name{Country: []string{"IT"}, Organization: []string{"Test"}, CommonName: name},
		NotBefore:             now.AddDate(-3, 0, 0),
		NotAfter:              now.AddDate(3, 0, 0),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	for _, c := range change {
		c(template)
	}
	by, byKey := template, a.key
	if parent != nil {
		by, byKey = parent.cert, parent.key
	}
	a.cert = createCertificate(t, template, by, a.key.Public(), byKey)
	return a
}

func createCertificate(t testing.TB, template, parent *x509.Certificate, public any, key crypto.Signer) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// issue makes a certificate of the profile of RFC 6109; change makes it another.
func (a *authority) issue(t testing.TB, key crypto.Signer, serial int64, change ...func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber:   big.NewInt(serial),
		Subject:        pkix.Name{Country: []string{"IT"}, Organization: []string{"Alfa S.p.A."}, CommonName: "Posta Certificata"},
		NotBefore:      now.AddDate(-1, 0, 0),
		NotAfter:       now.AddDate(1, 0, 0),
		KeyUsage:       x509.KeyUsageDigitalSignature,
		ExtKeyUsage:    []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection},
		EmailAddresses: []string{providerAddress},
		SubjectKeyId:   []byte{1, 2, 3, byte(serial)},
	}
	for _, c := range change {
		c(template)
	}
	return createCertificate(t, template, a.cert, key.Public(), a.key)
}

// revoke makes a revocation list in DER, good for a day.
func (a *authority) revoke(t testing.TB, change func(*x509.RevocationList), revoked ...*x509.Certificate) []byte {
	t.Helper()
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: now.Add(-time.Hour), NextUpdate: now.Add(24 * time.Hour)}
	for _, c := range revoked {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{
			SerialNumber: c.SerialNumber, RevocationTime: now.Add(-30 * time.Minute)})
	}
	if change != nil {
		change(list)
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, a.cert, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func writeFile(t testing.TB, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func pemCerts(certs ...*x509.Certificate) (out []byte) {
	for _, c := range certs {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return out
}

func pemCRL(der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}) }

func pemKey(t testing.TB, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// party is a provider with files as OpenSSL and LoadKey read them.
type party struct {
	root              *authority
	cert              *x509.Certificate
	key               Key
	certFile, keyFile string
	caFile, crlFile   string
}

func newParty(t testing.TB, change ...func(*x509.Certificate)) *party {
	t.Helper()
	p := &party{root: newAuthority(t, "Root", nil)}
	private := rsaKey(t, "alfa")
	p.cert = p.root.issue(t, private, 7, change...)
	p.certFile = writeFile(t, "cert.pem", pemCerts(p.cert))
	p.keyFile = writeFile(t, "key.pem", pemKey(t, private))
	p.caFile = writeFile(t, "ca.pem", pemCerts(p.root.cert))
	p.crlFile = writeFile(t, "crl.pem", pemCRL(p.root.revoke(t, nil)))
	var err error
	if p.key, err = LoadKey(p.certFile, p.keyFile); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *party) trust(t testing.TB) *Trust {
	t.Helper()
	trust, err := NewTrust(TrustFiles{CA: p.caFile, CRLs: []string{p.crlFile}})
	if err != nil {
		t.Fatal(err)
	}
	return trust
}

// critical marks an extension that crypto/x509 writes as not critical, or the other way.
func withExtension(oid asn1.ObjectIdentifier, critical bool, value []byte) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: oid, Critical: critical, Value: value})
	}
}
