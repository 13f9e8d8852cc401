package main

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab/pki"
	"github.com/ceralacca/ceralacca/internal/app"
	"github.com/ceralacca/ceralacca/internal/app/apptest"
	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/signer"
)

// renewal is a world with a next certificate.
type renewal struct {
	*apptest.World
	t    *testing.T
	next *pki.Pair
}

func newRenewal(t *testing.T) *renewal {
	t.Helper()
	r := &renewal{World: apptest.New(t), t: t}
	now := time.Now()
	r.use(now.Add(-time.Hour), now.AddDate(2, 0, 0), apptest.Address)
	text, err := os.ReadFile(r.Config)
	if err != nil {
		t.Fatal(err)
	}
	lines := "key = \"" + r.Path("key.pem") + "\"\n"
	more := "next_cert = \"" + r.Path("next.pem") + "\"\nnext_key = \"" + r.Path("next.key") + "\"\n"
	r.Write(t, filepath.Base(r.Config), bytes.Replace(text, []byte(lines), []byte(lines+more), 1))
	return r
}

// use makes another next certificate.
func (r *renewal) use(from, to time.Time, address string) {
	r.t.Helper()
	var err error
	if r.next, err = r.Authority.SigningBetween("Alfa PEC", address, from, to); err != nil {
		r.t.Fatal(err)
	}
	key, err := r.next.KeyPEM()
	if err != nil {
		r.t.Fatal(err)
	}
	r.Write(r.t, "next.pem", r.next.CertPEM())
	r.Write(r.t, "next.key", key)
}

func (r *renewal) run(args ...string) (code int, out string) {
	r.t.Helper()
	var stdout, stderr bytes.Buffer
	code = run(r.t.Context(), append([]string{"cert"}, append(args, "--config", r.Config)...), &stdout, &stderr)
	return code, stdout.String() + stderr.String()
}

// signs is the certificate that a daemon would sign with.
func (r *renewal) signs() *x509.Certificate {
	r.t.Helper()
	key, err := signer.LoadKey(r.Path("cert.pem"), r.Path("key.pem"))
	if err != nil {
		r.t.Fatal(err)
	}
	return key.Certificates()[0]
}

func (r *renewal) wantSigns(when string, want *pki.Pair) {
	r.t.Helper()
	if got := r.signs(); !got.Equal(want.Cert) {
		r.t.Errorf("%s: serial number %v signs, want %v", when, got.SerialNumber, want.Cert.SerialNumber)
	}
}

func (r *renewal) read(name string) []byte {
	r.t.Helper()
	data, err := os.ReadFile(r.Path(name))
	if err != nil {
		r.t.Fatal(err)
	}
	return data
}

// keepDirectory puts a version where the agent would, under the name that it would give it.
func (r *renewal) keepDirectory(at time.Time, file []byte) {
	r.t.Helper()
	keepVersion(r.t, r.World, at, file)
}

func keepVersion(t *testing.T, w *apptest.World, at time.Time, file []byte) {
	t.Helper()
	folder := w.Path("state/directory")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("%s-%x.ldif.p7m", at.UTC().Format("20060102T150405.000Z"), sha256.Sum256(file))
	if err := os.WriteFile(filepath.Join(folder, name), file, 0o600); err != nil {
		t.Fatal(err)
	}
}

// No certificate is taken into use that cannot sign, or that others do not know yet; what is refused changes nothing.
func TestCertRotateRefuses(t *testing.T) {
	conformance.Covers(t, "C003", "C210")
	r := newRenewal(t)
	now, year := time.Now(), time.Now().AddDate(2, 0, 0)
	r.SignDirectory(t, "alfa.example", r.Signing, r.next)
	version := r.read("igpec.p7m")
	for _, c := range []struct {
		name, says string
		harm       func()
		args       []string
	}{
		{"not in the directory", "the directory does not have it", func() { r.SignDirectory(t, "alfa.example", r.Signing) }, nil},
		{"not yet valid", "certificate is outside its dates", func() {
			r.use(now.Add(time.Hour), year, apptest.Address)
			r.SignDirectory(t, "alfa.example", r.Signing, r.next)
		}, nil},
		{"of another address", "subjectAltName has no rfc822Name", func() {
			r.use(now.Add(-time.Hour), year, "posta-certificata@other.example")
			r.SignDirectory(t, "alfa.example", r.Signing, r.next)
		}, nil},
		{"of another key", "it is not the key of the first certificate", func() {
			r.use(now.Add(-time.Hour), year, apptest.Address)
			r.SignDirectory(t, "alfa.example", r.Signing, r.next)
			other := apptest.New(t)
			key, err := other.Signing.KeyPEM()
			if err != nil {
				t.Fatal(err)
			}
			r.Write(t, "next.key", key)
		}, nil},
		{"revoked", "certificate is revoked", func() {
			r.use(now.Add(-time.Hour), year, apptest.Address)
			r.SignDirectory(t, "alfa.example", r.Signing, r.next)
			crl, err := r.Authority.CRL(r.next.Cert)
			if err != nil {
				t.Fatal(err)
			}
			r.Write(t, "crl.pem", crl)
		}, nil},
		{"that ends before", "--undo goes back to it", func() {
			crl, err := r.Authority.CRL()
			if err != nil {
				t.Fatal(err)
			}
			r.Write(t, "crl.pem", crl)
			r.use(now.Add(-time.Hour), now.AddDate(0, 1, 0), apptest.Address)
			r.SignDirectory(t, "alfa.example", r.Signing, r.next)
		}, nil},
		{"to go back to", "there is nothing to undo", func() {
			r.use(now.Add(-time.Hour), year, apptest.Address)
			r.SignDirectory(t, "alfa.example", r.Signing, r.next)
		}, []string{"--undo"}},
		{"that only what is published has, and not the agent", "ceralacca directory update", func() {
			r.keepDirectory(now.Add(-48*time.Hour), version)
			r.SignDirectory(t, "alfa.example", r.Signing, r.next)
		}, nil},
		{"that only a version has that waits", "ceralacca directory update", func() {
			r.Write(t, "state/directory/waiting.ldif.p7m", r.read("igpec.p7m"))
		}, []string{"--early"}},
		{"in the directory for an hour", "wait until", func() {
			r.SignDirectory(t, "alfa.example", r.Signing, r.next)
			r.keepDirectory(now.Add(-48*time.Hour), version)
			r.keepDirectory(now.Add(-time.Hour), r.read("igpec.p7m"))
			r.Write(t, "state/directory/waiting.ldif.p7m", version) // it is not in use, and says nothing
		}, nil},
	} {
		c.harm()
		code, out := r.run(append([]string{"rotate", "--reload", "touch " + r.Path("reloaded")}, c.args...)...)
		if code != exitWrong || !strings.Contains(out, c.says) {
			t.Errorf("rotate to one %s: exit %d, %s; want 1 and %q", c.name, code, out, c.says)
		}
		r.wantSigns("after one "+c.name, r.Signing)
		if _, err := os.Stat(r.Path("reloaded")); err == nil {
			t.Errorf("the daemons were reloaded for one %s", c.name)
		}
	}
	if code, out := r.run("rotate", "--early", "--reload", ""); code != exitGood {
		t.Errorf("rotate --early: exit %d, %s", code, out)
	}
	r.wantSigns("after --early", r.next)
}

// The certificate, with its key, is exchanged and taken back; mode and the daemons' way to them stay.
func TestCertRotateAndUndo(t *testing.T) {
	conformance.Covers(t, "C210")
	r := newRenewal(t)
	r.SignDirectory(t, "alfa.example", r.Signing, r.next)
	const daemon = 65534
	if os.Geteuid() == 0 { // the keys belong to the daemons' user, as they do in life, and root rotates
		for _, file := range []string{"", "key.pem", "next.key", "cert.pem", "next.pem", "ca.pem", "crl.pem", "igpec.p7m", "state"} {
			if err := os.Chown(r.Path(file), daemon, daemon); err != nil {
				t.Fatal(err)
			}
		}
	}
	if code, out := r.run("check"); code != exitGood || !strings.Contains(out, "what to do: ceralacca cert rotate\n") {
		t.Errorf("check before: exit %d\n%s", code, out)
	}
	code, out := r.run("rotate", "--reload", "touch "+r.Path("reloaded"))
	if _, err := os.Stat(r.Path("reloaded")); code != exitGood || err != nil {
		t.Fatalf("rotate: exit %d, %v\n%s", code, err, out)
	}
	info, err := os.Stat(r.Path("key.pem"))
	if err != nil || info.Mode().Perm() != 0o600 || os.Geteuid() == 0 && info.Sys().(*syscall.Stat_t).Uid != daemon {
		t.Errorf("the key after the rotation: %v, %v", info, err)
	}
	if certs, err := signer.ReadCertificates(r.Path("cert.pem")); err != nil || !certs[0].Equal(r.next.Cert) {
		t.Errorf("the certificate after the rotation is not the next one: %v", err)
	}
	for _, file := range []string{"cert.pem", "next.pem"} {
		if certs, err := signer.ReadCertificates(r.Path(file)); err != nil || len(certs) != 1 {
			t.Errorf("%s has %d certificates, %v; want one", file, len(certs), err)
		}
	}
	if code, out := r.run("check"); code != exitGood || !strings.Contains(out, "next_cert is the certificate before this one") {
		t.Errorf("check after: exit %d\n%s", code, out)
	}
	if code, out := r.run("rotate", "--undo", "--reload", "false"); code != exitWrong || !strings.Contains(out, "the daemons are not reloaded") {
		t.Errorf("undo with daemons that do not reload: exit %d\n%s", code, out)
	}
	for _, file := range []string{"key.pem", "next.key"} { // so that the test may read them
		if err := os.Chown(r.Path(file), os.Geteuid(), -1); err != nil {
			t.Fatal(err)
		}
	}
	r.wantSigns("after the undoing", r.Signing)
}

// Whatever the moment at which a rotation is cut off, there is a certificate and its key.
func TestCertRotateCutOff(t *testing.T) {
	conformance.Covers(t, "C210")
	r := newRenewal(t)
	both := append(r.next.CertPEM(), r.Signing.CertPEM()...)
	r.Write(t, "cert.pem", both)
	r.wantSigns("with both certificates and the old key", r.Signing)
	key, err := r.next.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	r.Write(t, "key.pem", key)
	r.wantSigns("with both certificates and the new key", r.next)
}

// check is for people and for monitoring.
func TestCertCheck(t *testing.T) {
	conformance.Covers(t, "C003", "C210")
	r := newRenewal(t)
	code, out := r.run("check", "--json")
	var report app.CertificateReport
	if err := json.Unmarshal([]byte(out), &report); err != nil || code != exitGood {
		t.Fatalf("check --json: exit %d, %v\n%s", code, err, out)
	}
	if report.Current.DaysLeft < 364 || len(report.Current.Problems) != 0 || len(report.Next.Problems) != 1 || !strings.Contains(report.Step, "publish it") {
		t.Errorf("check says %s", out)
	}
	if code, _ := r.run("check", "--days", "400"); code != exitWrong {
		t.Errorf("check --days 400: exit %d, want 1", code)
	}
	crl, err := r.Authority.CRL(r.Signing.Cert)
	if err != nil {
		t.Fatal(err)
	}
	r.Write(t, "crl.pem", crl)
	if code, out := r.run("check"); code != exitWrong || !strings.Contains(out, "WRONG: certificate is revoked") {
		t.Errorf("check of a revoked one: exit %d\n%s", code, out)
	}
	if err := os.Remove(r.Path("igpec.p7m")); err != nil {
		t.Fatal(err)
	}
	if code, out := r.run("check"); code != exitUsage || !strings.Contains(out, "igpec.p7m") {
		t.Errorf("check without a directory: exit %d\n%s", code, out)
	}
}

// OpenSSL reads the request, and the authority makes a certificate of it that the profile takes.
func TestCertCSR(t *testing.T) {
	conformance.Covers(t, "C003", "C233", "C234", "C235", "C237", "C238")
	r := newRenewal(t)
	key, request := r.Path("new.key"), r.Path("new.csr")
	if code, out := r.run("csr", "--key", key, "--out", request); code != exitGood {
		t.Fatalf("csr: exit %d\n%s", code, out)
	}
	if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key: %v, %v; want mode 0600", info.Mode(), err)
	}
	text, err := exec.Command("openssl", "req", "-in", request, "-verify", "-noout", "-text").CombinedOutput()
	if err != nil {
		t.Fatalf("openssl req: %v\n%s", err, text)
	}
	for _, want := range []string{"O = Alfa PEC", "CN = Posta Certificata", "Public-Key: (2048 bit)", "X509v3 Key Usage: critical", "Digital Signature",
		"email:" + apptest.Address, "sha256WithRSAEncryption"} {
		if !strings.Contains(strings.ReplaceAll(string(text), "O=Alfa PEC, CN=Posta", "O = Alfa PEC, CN = Posta"), want) {
			t.Errorf("openssl does not find %q in\n%s", want, text)
		}
	}
	if strings.Contains(string(text), "Basic Constraints") {
		t.Errorf("the request has basic constraints:\n%s", text)
	}
	r.Write(t, "ext", []byte("subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"))
	out, err := exec.Command("openssl", "x509", "-req", "-in", request, "-CA", r.Path("ca.pem"), "-CAkey", r.Path("ca.key"), "-CAcreateserial",
		"-CAserial", r.Path("serial"), "-copy_extensions", "copy", "-extfile", r.Path("ext"), "-out", r.Path("next.pem")).CombinedOutput()
	if err != nil {
		t.Fatalf("openssl x509: %v\n%s", err, out)
	}
	made, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	r.Write(t, "next.key", made)
	if _, out := r.run("check"); strings.Count(out, "WRONG") != 1 || !strings.Contains(out, "the directory does not have it") {
		t.Errorf("check of the certificate of the request:\n%s", out)
	}
	for _, args := range [][]string{{"--key", key, "--out", r.Path("other")}, {"--key", r.Path("k"), "--out", request}, {"--key", r.Path("k"), "--out", r.Path("o"), "--bits", "1024"}} {
		if code, out := r.run(append([]string{"csr"}, args...)...); code != exitUsage {
			t.Errorf("csr %v: exit %d\n%s", args, code, out)
		}
	}
	if _, err := os.Stat(r.Path("k")); err == nil {
		t.Error("a key is left of a request that could not be written")
	}
}
