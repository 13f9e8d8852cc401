// Package pki makes the keys and certificates of a lab: an authority, the signing
// certificates of its providers by the profile of RFC 6109 5.5, TLS certificates
// and revocation lists. It writes no file and is no authority for real mail.
package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"strings"
	"time"
)

// keyBits is what real providers use; 4096 would double the time of every test.
const keyBits = 2048

// Pair is a certificate with its private key.
type Pair struct {
	Cert *x509.Certificate
	Key  crypto.Signer
}

// CertPEM is the certificate as PEM.
func (p *Pair) CertPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.Cert.Raw})
}

// KeyPEM is the private key as PEM (PKCS#8).
func (p *Pair) KeyPEM() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(p.Key)
	if err != nil {
		return nil, fmt.Errorf("encode key of %s: %w", p.Cert.Subject, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// Fingerprint is the SHA-256 of the certificate as Postfix writes it: upper case
// pairs with colons.
func (p *Pair) Fingerprint() string {
	sum := sha256.Sum256(p.Cert.Raw)
	pairs := make([]string, len(sum))
	for i, b := range sum {
		pairs[i] = fmt.Sprintf("%02X", b)
	}
	return strings.Join(pairs, ":")
}

// Authority issues certificates and revocation lists. It is safe for concurrent
// use.
type Authority struct {
	Pair
	// Lists and Responder are put into what is issued from now on: where the revocation list is, and who answers by OCSP;
	// empty is nothing.
	Lists, Responder string

	now time.Time
}

// NewAuthority makes a self-signed authority that is good for a year around now.
func NewAuthority(name string, now time.Time) (*Authority, error) {
	key, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		return nil, fmt.Errorf("key of %s: %w", name, err)
	}
	t := template(pkix.Name{Country: []string{"IT"}, Organization: []string{"ceralacca lab"}, CommonName: name}, now)
	t.IsCA, t.BasicConstraintsValid = true, true
	t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	cert, err := create(t, t, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return &Authority{Pair: Pair{Cert: cert, Key: key}, now: now}, nil
}

// Signing issues the certificate with which a provider seals, by the profile of
// the standard: its name in O, its address in the alternative name only, key usage
// critical and digitalSignature alone, both key identifiers, no basic constraints.
// [C233] [C234] [C235] [C236] [C237] [C238] [C239]
func (a *Authority) Signing(provider, address string) (*Pair, error) {
	return a.SigningBetween(provider, address, a.now.AddDate(0, 0, -30), a.now.AddDate(1, 0, 0))
}

// SigningBetween is Signing with dates of the caller's, such as past ones.
func (a *Authority) SigningBetween(provider, address string, from, to time.Time) (*Pair, error) {
	key, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		return nil, fmt.Errorf("key of %s: %w", provider, err)
	}
	return a.SigningKey(provider, address, key, from, to)
}

// SigningKey is SigningBetween for a key of the caller's.
func (a *Authority) SigningKey(provider, address string, key crypto.Signer, from, to time.Time) (*Pair, error) {
	t := template(pkix.Name{Country: []string{"IT"}, Organization: []string{provider}, CommonName: "Posta Certificata"}, a.now)
	t.NotBefore, t.NotAfter = from, to
	t.EmailAddresses = []string{address}
	t.KeyUsage = x509.KeyUsageDigitalSignature
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection}
	if a.Lists != "" {
		t.CRLDistributionPoints = []string{a.Lists}
	}
	if a.Responder != "" {
		t.OCSPServer = []string{a.Responder}
	}
	return a.issue(t, key)
}

// DirectorySigner issues the certificate that signs the directory of providers.
func (a *Authority) DirectorySigner(name string) (*Pair, error) {
	key, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		return nil, fmt.Errorf("key of %s: %w", name, err)
	}
	t := template(pkix.Name{Country: []string{"IT"}, CommonName: name}, a.now)
	t.KeyUsage = x509.KeyUsageDigitalSignature
	return a.issue(t, key)
}

// Server issues a TLS server certificate for a name and an IP address. A client
// may present it too: the out instance is both.
func (a *Authority) Server(name, ip string) (*Pair, error) {
	t := template(pkix.Name{CommonName: name}, a.now)
	t.DNSNames = []string{name}
	t.IPAddresses = []net.IP{net.ParseIP(ip)}
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	return a.issueTLS(t)
}

// Client issues a TLS client certificate.
func (a *Authority) Client(name string) (*Pair, error) {
	t := template(pkix.Name{CommonName: name}, a.now)
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	return a.issueTLS(t)
}

// CRL is a revocation list in PEM, an hour old and good for a month, that names the
// given certificates.
func (a *Authority) CRL(revoked ...*x509.Certificate) ([]byte, error) {
	return a.List(a.now.Add(-time.Hour), a.now.AddDate(0, 1, 0), revoked...)
}

// List is a revocation list in PEM that begins and ends then; the given certificates
// are revoked as it begins.
func (a *Authority) List(begins, ends time.Time, revoked ...*x509.Certificate) ([]byte, error) {
	list := &x509.RevocationList{Number: big.NewInt(begins.Unix()), ThisUpdate: begins, NextUpdate: ends}
	for _, c := range revoked {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: c.SerialNumber, RevocationTime: begins})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, a.Cert, a.Key)
	if err != nil {
		return nil, fmt.Errorf("revocation list: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}), nil
}

func (a *Authority) issueTLS(t *x509.Certificate) (*Pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("key of %s: %w", t.Subject, err)
	}
	t.KeyUsage = x509.KeyUsageDigitalSignature
	return a.issue(t, key)
}

func (a *Authority) issue(t *x509.Certificate, key crypto.Signer) (*Pair, error) {
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, fmt.Errorf("public key of %s: %w", t.Subject, err)
	}
	id := sha256.Sum256(der)
	t.SubjectKeyId = id[:20]
	cert, err := create(t, a.Cert, key.Public(), a.Key)
	if err != nil {
		return nil, err
	}
	return &Pair{Cert: cert, Key: key}, nil
}

func template(subject pkix.Name, now time.Time) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: serial(),
		Subject:      subject,
		NotBefore:    now.AddDate(0, 0, -30),
		NotAfter:     now.AddDate(1, 0, 0),
	}
}

func serial() *big.Int {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails: the runtime ends the process instead
	b[0] &= 0x7f
	return new(big.Int).SetBytes(b)
}

func create(t, parent *x509.Certificate, public crypto.PublicKey, signer crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, t, parent, public, signer)
	if err != nil {
		return nil, fmt.Errorf("certificate of %s: %w", t.Subject, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("certificate of %s: %w", t.Subject, err)
	}
	return cert, nil
}
