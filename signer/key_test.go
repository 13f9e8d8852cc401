package signer

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/internal/secret"
)

func TestLoadKeyReadsBothFormsOfPEM(t *testing.T) {
	p := newParty(t)
	private := rsaKey(t, "alfa")
	pkcs1 := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(private)})
	for name, file := range map[string]string{"PKCS#8": p.keyFile, "PKCS#1": writeFile(t, "k", pkcs1)} {
		key, err := LoadKey(p.certFile, file)
		if err != nil {
			t.Errorf("LoadKey of %s: %v", name, err)
			continue
		}
		digest := sha256.Sum256([]byte("x"))
		signature, err := key.Sign(context.Background(), digest[:])
		if err != nil {
			t.Fatal(err)
		}
		if err := rsa.VerifyPKCS1v15(&private.PublicKey, crypto.SHA256, digest[:], signature); err != nil {
			t.Errorf("what the key from %s signs does not verify: %v", name, err)
		}
		if got := key.Certificates(); len(got) != 1 || !got[0].Equal(p.cert) {
			t.Errorf("the key from %s has other certificates", name)
		}
	}
}

func TestLoadKeyRefuses(t *testing.T) {
	p := newParty(t)
	curve := ecdsaKey(t)
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	file := func(content []byte) string { return writeFile(t, "f", content) }
	issued := func(key crypto.Signer) string { return file(pemCerts(p.root.issue(t, key, 9))) }
	good, err := os.ReadFile(p.keyFile)
	if err != nil {
		t.Fatal(err)
	}
	open := file(good)
	if err := os.Chmod(open, 0o640); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name      string
		cert, key string
		want      error
	}{
		{"an elliptic key", issued(curve), file(pemKey(t, curve)), ErrKey},
		{"a short key", issued(short), file(pemKey(t, short)), ErrKey},
		{"the key of another", p.certFile, file(pemKey(t, rsaKey(t, "other"))), ErrKey},
		{"an encrypted key", p.certFile, file(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")})), ErrKey},
		{"a certificate for a key", p.certFile, file(pemCerts(p.cert)), ErrKey},
		{"two keys in a file", p.certFile, file(append(good, good...)), ErrKey},
		{"a key that is none", p.certFile, file(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")})), ErrKey},
		{"a key without PEM", p.certFile, file([]byte("key")), ErrKey},
		{"a key that others may read", p.certFile, open, secret.ErrMode},
		{"a folder for a key", p.certFile, t.TempDir(), secret.ErrNotRegular},
		{"no key", p.certFile, p.keyFile + ".none", fs.ErrNotExist},
		{"no certificate", p.certFile + ".none", p.keyFile, fs.ErrNotExist},
	} {
		if _, err := LoadKey(c.cert, c.key); !errors.Is(err, c.want) {
			t.Errorf("LoadKey with %s = %v, want %v", c.name, err, c.want)
		}
	}
	for name, content := range map[string][]byte{"a key": good, "nothing": nil, "junk": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")})} {
		if _, err := LoadKey(file(content), p.keyFile); err == nil {
			t.Errorf("LoadKey takes %s for a certificate", name)
		}
	}
}

func TestKeysDoNotPrint(t *testing.T) {
	p := newParty(t)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(verb, p.key); got != "<secret>" {
			t.Errorf("a key prints as %q under %s", got, verb)
		}
	}
	if _, err := p.key.Sign(context.Background(), []byte("short")); !errors.Is(err, ErrKey) || strings.Contains(err.Error(), "short") {
		t.Errorf("signing what is no digest = %v, want %v", err, ErrKey)
	}
}

// A key that nobody certified is known by a certificate that it signed itself, and that nobody takes for ours; another key cannot
// have it.
func TestUncertified(t *testing.T) {
	pair := func() *rsa.PrivateKey {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	one, other := pair(), pair()
	by := func(key *rsa.PrivateKey) func(context.Context, []byte) ([]byte, error) {
		return func(_ context.Context, digest []byte) ([]byte, error) {
			return rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest)
		}
	}
	for _, exponent := range [][]byte{nil, {1, 0, 1}} {
		cert, err := Uncertified(t.Context(), one.N.Bytes(), exponent, by(one))
		if err != nil {
			t.Fatal(err)
		}
		if !one.PublicKey.Equal(cert.PublicKey) || cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature) != nil {
			t.Error("it is not of the key")
		}
		if time.Now().Before(cert.NotAfter) || len(cert.EmailAddresses) > 0 || len(cert.Subject.Organization) > 0 {
			t.Errorf("somebody may take it: %v", cert.Subject)
		}
	}
	for name, made := range map[string]func() (*x509.Certificate, error){
		"signature of another": func() (*x509.Certificate, error) { return Uncertified(t.Context(), one.N.Bytes(), nil, by(other)) },
		"short":                func() (*x509.Certificate, error) { return Uncertified(t.Context(), []byte{7}, nil, by(one)) },
		"odd exponent": func() (*x509.Certificate, error) {
			return Uncertified(t.Context(), one.N.Bytes(), []byte{255, 255, 255, 255, 255}, by(one))
		},
	} {
		if cert, err := made(); !errors.Is(err, ErrKey) || cert != nil {
			t.Errorf("%s: %v, %v; want ErrKey", name, cert, err)
		}
	}
}
