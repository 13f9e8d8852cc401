// Package tsa is a time stamping authority for tests and the lab: openssl ts behind a small HTTP server. Its clock is that of
// the machine. It does not judge who asks, and is for tests only.
package tsa

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Authority answers questions. It is safe for concurrent use.
type Authority struct {
	dir string
	mu  sync.Mutex // the serial file of openssl has no lock
}

var _ http.Handler = (*Authority)(nil)

// CA is the file with the certificate to be trusted.
func (a *Authority) CA() string { return filepath.Join(a.dir, "ca.pem") }

// Twin is the file with a certificate of the same key and issuer that never stamps, and differs in its serial number alone.
func (a *Authority) Twin() string { return filepath.Join(a.dir, "twin.pem") }

// Own is the file with the certificate that stamps.
func (a *Authority) Own() string { return filepath.Join(a.dir, "tsa.pem") }

// Key is the file with the key.
func (a *Authority) Key() string { return filepath.Join(a.dir, "tsa.key") }

// Usage is what New puts into the extended key usage of the certificate.
type Usage struct {
	OIDs     []asn1.ObjectIdentifier
	Critical bool
}

// Good is the usage that RFC 3161 demands.
func Good() Usage {
	return Usage{OIDs: []asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}}, Critical: true}
}

// New makes an authority with its keys in a folder that exists.
func New(dir string, now time.Time, usage Usage) (*Authority, error) {
	caKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	eku, err := asn1.Marshal(usage.OIDs)
	if err != nil {
		return nil, err
	}
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Lab TSA CA"}, NotBefore: now.Add(-24 * time.Hour),
		NotAfter: now.AddDate(10, 0, 0), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign}
	own := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "Lab TSA"}, NotBefore: now.Add(-24 * time.Hour),
		NotAfter: now.AddDate(9, 0, 0), KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: usage.Critical, Value: eku}}}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		return nil, err
	}
	ownDER, err := x509.CreateCertificate(rand.Reader, own, ca, &key.PublicKey, caKey)
	if err != nil {
		return nil, err
	}
	own.SerialNumber = big.NewInt(3)
	twinDER, err := x509.CreateCertificate(rand.Reader, own, ca, &key.PublicKey, caKey)
	if err != nil {
		return nil, err
	}
	a := &Authority{dir: dir}
	for name, block := range map[string]*pem.Block{"twin.pem": {Type: "CERTIFICATE", Bytes: twinDER},
		"ca.pem": {Type: "CERTIFICATE", Bytes: caDER}, "tsa.pem": {Type: "CERTIFICATE", Bytes: ownDER},
		"tsa.key": {Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}} {
		mode := os.FileMode(0o644)
		if strings.HasSuffix(name, ".key") {
			mode = 0o600
		}
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), mode); err != nil {
			return nil, err
		}
	}
	return a, a.Identify("sha256")
}

// Identify sets the digest by which stamps name their certificate: sha1 makes an ESSCertID, any other an ESSCertIDv2.
func (a *Authority) Identify(digest string) error {
	text := fmt.Sprintf(`[tsa]
default_tsa = one
[one]
dir = %s
serial = $dir/serial
signer_cert = $dir/tsa.pem
signer_key = $dir/tsa.key
certs = $dir/ca.pem
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
accuracy = secs:1
ess_cert_id_chain = no
ess_cert_id_alg = %s
`, a.dir, digest)
	if err := os.WriteFile(filepath.Join(a.dir, "tsa.cnf"), []byte(text), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(a.dir, "serial"), []byte("01\n"), 0o644)
}

// most is the longest question, in bytes.
const most = 64 << 10

// ServeHTTP implements http.Handler.
func (a *Authority) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	question, err := io.ReadAll(io.LimitReader(r.Body, most))
	if err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/timestamp-query" {
		http.Error(w, "no question", http.StatusBadRequest)
		return
	}
	answer, err := a.Answer(question)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/timestamp-reply")
	_, _ = w.Write(answer) // who does not listen asks again
}

// Answer answers a question (TimeStampReq, DER).
func (a *Authority) Answer(question []byte) ([]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	ask, reply := filepath.Join(a.dir, "question"), filepath.Join(a.dir, "answer")
	if err := os.WriteFile(ask, question, 0o600); err != nil {
		return nil, err
	}
	if out, err := exec.Command("openssl", "ts", "-reply", "-config", filepath.Join(a.dir, "tsa.cnf"), "-section", "one",
		"-queryfile", ask, "-out", reply).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("openssl ts: %w: %s", err, out)
	}
	return os.ReadFile(reply)
}
