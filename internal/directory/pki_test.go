package directory

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// certificate makes a certificate that nobody signed but itself, as those in records need no chain here.
func certificate(t testing.TB, name string, change ...func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}}
	for _, f := range change {
		f(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// identity is a certificate with its key, and the files of both.
type identity struct {
	cert              *x509.Certificate
	key               *rsa.PrivateKey
	certFile, keyFile string
}

// issue makes an identity that is signed by ca, or by itself when ca is nil; an authority then.
func issue(t testing.TB, ca *identity, name string, change ...func(*x509.Certificate)) *identity {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(48 * time.Hour),
	}
	for _, f := range change {
		f(template)
	}
	id := &identity{key: key}
	parent := ca
	if ca == nil {
		template.IsCA, template.BasicConstraintsValid = true, true
		template.KeyUsage = x509.KeyUsageCertSign
		parent = &identity{cert: template, key: key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent.cert, key.Public(), parent.key)
	if err != nil {
		t.Fatal(err)
	}
	if id.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	id.certFile = writeFile(t, "cert.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	id.keyFile = writeFile(t, "key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	return id
}

func writeFile(t testing.TB, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// sign makes a p7m of content, as those who publish a directory do: with OpenSSL.
func sign(t testing.TB, by *identity, content string, options ...string) []byte {
	t.Helper()
	in, out := writeFile(t, "in", []byte(content)), filepath.Join(t.TempDir(), "out.p7m")
	args := append([]string{"cms", "-sign", "-binary", "-nodetach", "-outform", "DER", "-in", in, "-out", out,
		"-signer", by.certFile, "-inkey", by.keyFile}, options...)
	if message, err := exec.Command("openssl", args...).CombinedOutput(); err != nil {
		t.Fatalf("openssl %v: %v\n%s", args, err, message)
	}
	p7m, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return p7m
}

const base = "dn: o=postacert\nobjectclass: top\nobjectclass: organization\nobjectClass: LDIFLocationURLObject\n" +
	"o: postacert\nLDIFLocationURL: https://igpec.example/igpec.ldif.p7m\ndescription: Base root\n"

// record writes the LDIF of a main record; lines are changed or added by the tests.
func record(name, domains string, certs ...*x509.Certificate) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\ndn: providerName=%s,o=postacert\nobjectclass: top\nobjectclass: provider\nproviderName: %s\n", name, name)
	writeCertificates(&b, certs)
	fmt.Fprintf(&b, "mailReceipt: ricevute@%s\n", strings.Fields(domains)[0])
	writeDomains(&b, domains)
	return b.String()
}

// environment writes the LDIF of a secondary record.
func environment(unit, name, domains string, certs ...*x509.Certificate) string {
	text := record(name, domains, certs...)
	return strings.Replace(text, "\ndn: ", "\ndn: providerUnit="+unit+",", 1) + "providerUnit: " + unit + "\n"
}

func writeCertificates(b *strings.Builder, certs []*x509.Certificate) {
	for _, cert := range certs {
		fmt.Fprintf(b, "providerCertificateHash: %X\n", sha1.Sum(cert.Raw))
		b.WriteString("providerCertificate;binary::\n")
		text := base64.StdEncoding.EncodeToString(cert.Raw)
		for len(text) > 0 {
			n := min(58, len(text))
			b.WriteString(" " + text[:n] + "\n")
			text = text[n:]
		}
	}
}

func writeDomains(b *strings.Builder, domains string) {
	for _, domain := range strings.Fields(domains) {
		b.WriteString("managedDomains: " + domain + "\n")
	}
}
