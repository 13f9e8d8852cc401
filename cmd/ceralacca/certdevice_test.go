package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab/pki"
	"github.com/ceralacca/ceralacca/internal/app/apptest"
	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/plugins/host"
)

// inDevice is a renewal whose keys are in a plug-in: it holds the one that signs, as "one", and the next, as "two".
type inDevice struct {
	*renewal
	folder string // of the plug-in
}

func newInDevice(t *testing.T) *inDevice {
	t.Helper()
	r := newRenewal(t)
	folder, err := os.MkdirTemp("", "k")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	path := filepath.Join(folder, "key")
	if out, err := exec.Command("go", "build", "-o", path, "../../test/plugins/obedient").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	sum, err := host.Checksum(path)
	if err := errors.Join(err, os.Chmod(folder, 0o755), os.Chmod(path, 0o755)); err != nil {
		t.Fatal(err)
	}
	user := ""
	if os.Geteuid() == 0 {
		user = "user = \"nobody\"\n"
	}
	text := string(r.read(filepath.Base(r.Config)))
	for _, file := range []string{"key = \"" + r.Path("key.pem"), "next_key = \"" + r.Path("next.key")} {
		text = strings.Replace(text, "\n"+file+"\"\n", "\n", 1)
	}
	text = strings.Replace(text, "[key]\n", "[key]\nplugin = \"hsm\"\n", 1) +
		fmt.Sprintf("\n[plugins.hsm]\npath = %q\nsha256 = %q\nnetwork = true\ndeadline = \"5s\"\n%s[plugins.hsm.config]\nfolder = %q\n", path, sum, user, folder)
	r.Write(t, filepath.Base(r.Config), []byte(text))
	d := &inDevice{r, folder}
	d.hold("cert.pem", "key.pem", r.Signing)
	return d
}

// hold puts a key into the plug-in.
func (d *inDevice) hold(cert, key string, p *pki.Pair) {
	d.t.Helper()
	text, err := p.KeyPEM()
	if err != nil {
		d.t.Fatal(err)
	}
	d.tell(key, text)
	d.tell(cert, p.CertPEM())
}

func (d *inDevice) tell(file string, text []byte) {
	d.t.Helper()
	if err := os.WriteFile(filepath.Join(d.folder, file), text, 0o644); err != nil {
		d.t.Fatal(err)
	}
}

// wantNamed asks that cert and next_cert name these.
func (d *inDevice) wantNamed(when string, current, next *pki.Pair) {
	d.t.Helper()
	if !bytes.Equal(d.read("cert.pem"), current.CertPEM()) || !bytes.Equal(d.read("next.pem"), next.CertPEM()) {
		d.t.Errorf("%s: cert and next_cert are not those that they should be", when)
	}
}

// No certificate is taken into use whose key the device does not have, or with which it does not sign, nor one that others do not
// take; what is refused changes nothing.
func TestCertRotateInDeviceRefuses(t *testing.T) {
	conformance.Covers(t, "C210", "C225")
	d := newInDevice(t)
	first := d.Signing
	d.SignDirectory(t, "alfa.example", first, d.next)
	now := time.Now()
	for _, c := range []struct {
		name, says string
		harm       func()
	}{
		{"whose key is not in the device", `does not have its key; it has one with the certificate of serial number`, func() {}},
		{"whose key does not sign", "which is of no use", func() {
			d.hold("next.pem", "next.key", d.next)
			d.tell("answer", []byte("later"))
		}},
		{"while the device is away", "does not say whether it has its key", func() {
			d.tell("answer", nil)
			if err := os.Remove(filepath.Join(d.folder, "cert.pem")); err != nil {
				t.Fatal(err)
			}
		}},
		{"not in the directory", "the directory does not have it", func() {
			d.hold("cert.pem", "key.pem", first)
			d.SignDirectory(t, "alfa.example", first)
		}},
		{"of another address", "subjectAltName has no rfc822Name", func() {
			d.use(now.Add(-time.Hour), now.AddDate(2, 0, 0), "posta-certificata@other.example")
			d.hold("next.pem", "next.key", d.next)
			d.SignDirectory(t, "alfa.example", first, d.next)
		}},
		{"that ended", "certificate is outside its dates", func() {
			d.use(now.Add(-48*time.Hour), now.Add(-time.Hour), apptest.Address)
			d.hold("next.pem", "next.key", d.next)
			d.SignDirectory(t, "alfa.example", first, d.next)
		}},
		{"in the directory for an hour", "wait until", func() {
			d.use(now.Add(-time.Hour), now.AddDate(2, 0, 0), apptest.Address)
			d.hold("next.pem", "next.key", d.next)
			d.SignDirectory(t, "alfa.example", first)
			d.keepDirectory(now.Add(-48*time.Hour), d.read("igpec.p7m"))
			d.SignDirectory(t, "alfa.example", first, d.next)
			d.keepDirectory(now.Add(-time.Hour), d.read("igpec.p7m"))
		}},
	} {
		c.harm()
		code, out := d.run("rotate", "--reload", "touch "+d.Path("reloaded"))
		if code != exitWrong || !strings.Contains(out, c.says) {
			t.Errorf("rotate to one %s: exit %d, %s; want 1 and %q", c.name, code, out, c.says)
		}
		d.wantNamed("after one "+c.name, first, d.next)
		if _, err := os.Stat(d.Path("reloaded")); err == nil {
			t.Errorf("the daemons were reloaded for one %s", c.name)
		}
	}
	if code, out := d.run("rotate", "--early", "--reload", ""); code != exitGood {
		t.Errorf("rotate --early: exit %d, %s", code, out)
	}
	d.wantNamed("after --early", d.next, first)
}

// The files of certificates are exchanged and taken back, and no key is touched. The one that signs may be gone from the device.
func TestCertRotateInDevice(t *testing.T) {
	conformance.Covers(t, "C210", "C225")
	d := newInDevice(t)
	d.hold("next.pem", "next.key", d.next)
	d.SignDirectory(t, "alfa.example", d.Signing, d.next)
	code, out := d.run("check")
	if code != exitGood || !strings.Contains(out, "its key is in the plug-in, as one, and signs") ||
		!strings.Contains(out, "its key is in the plug-in, as two, and signs") || !strings.Contains(out, "what to do: ceralacca cert rotate\n") {
		t.Errorf("check before: exit %d\n%s", code, out)
	}
	if code, out := d.run("rotate", "--reload", "touch "+d.Path("reloaded")); code != exitGood {
		t.Fatalf("rotate: exit %d\n%s", code, out)
	}
	if _, err := os.Stat(d.Path("reloaded")); err != nil {
		t.Error("the daemons were not told to reload")
	}
	d.wantNamed("after rotate", d.next, d.Signing)
	if code, out := d.run("check"); code != exitGood || !strings.Contains(out, "then remove next_cert, and its key from the plug-in and the device") {
		t.Errorf("check after: exit %d\n%s", code, out)
	}
	if code, out := d.run("rotate", "--reload", ""); code != exitWrong || !strings.Contains(out, "--undo goes back to it") {
		t.Errorf("rotate twice: exit %d\n%s", code, out)
	}
	if code, out := d.run("rotate", "--undo", "--reload", ""); code != exitGood {
		t.Errorf("undo: exit %d\n%s", code, out)
	}
	d.wantNamed("after undo", d.Signing, d.next)

	d.hold("cert.pem", "key.pem", d.next) // the device lost the one that signs
	if code, out := d.run("check"); code != exitWrong || !strings.Contains(out, "does not have its key") {
		t.Errorf("check of a key that is gone: exit %d\n%s", code, out)
	}
	if code, out := d.run("rotate", "--reload", ""); code != exitGood {
		t.Errorf("rotate away from a key that is gone: exit %d\n%s", code, out)
	}
	d.wantNamed("after that", d.next, d.Signing)
}

// A plug-in that reads the very files would not find its keys after the exchange: it is taken back.
func TestCertRotateOfFilesThatThePlugInReads(t *testing.T) {
	conformance.Covers(t, "C225")
	d := newInDevice(t)
	d.hold("next.pem", "next.key", d.next)
	d.SignDirectory(t, "alfa.example", d.Signing, d.next)
	if err := os.Chmod(d.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"cert.pem", "next.pem"} {
		own := filepath.Join(d.folder, file)
		if err := errors.Join(os.Chmod(d.Path(file), 0o644), os.Remove(own), os.Symlink(d.Path(file), own)); err != nil {
			t.Fatal(err)
		}
	}
	code, out := d.run("rotate", "--reload", "touch "+d.Path("reloaded"))
	if code != exitWrong || !strings.Contains(out, "[plugins.hsm.config]") {
		t.Errorf("rotate: exit %d\n%s", code, out)
	}
	d.wantNamed("after that", d.Signing, d.next)
	if _, err := os.Stat(d.Path("reloaded")); err == nil {
		t.Error("the daemons were reloaded")
	}
}

// The request for a key in a device is signed by it, and OpenSSL makes a certificate of it that fits.
func TestCertCSRInDevice(t *testing.T) {
	conformance.Covers(t, "C003", "C225", "C233", "C234", "C235", "C237", "C238")
	d := newInDevice(t)
	bare, err := pki.NewAuthority("not certified", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	d.hold("next.pem", "next.key", &bare.Pair)
	request := d.Path("two.csr")
	if code, out := d.run("csr", "--key", "two", "--out", request); code != exitGood || !strings.Contains(out, "signed by the key two") {
		t.Fatalf("csr: exit %d\n%s", code, out)
	}
	d.Write(t, "ext", []byte("subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"))
	out, err := exec.Command("openssl", "x509", "-req", "-in", request, "-CA", d.Path("ca.pem"), "-CAkey", d.Path("ca.key"), "-CAcreateserial",
		"-CAserial", d.Path("serial"), "-copy_extensions", "copy", "-extfile", d.Path("ext"), "-out", d.Path("next.pem")).CombinedOutput()
	if err != nil {
		t.Fatalf("openssl x509: %v\n%s", err, out)
	}
	if _, out := d.run("check"); strings.Count(out, "WRONG") != 1 || !strings.Contains(out, "the directory does not have it") ||
		!strings.Contains(out, "its key is in the plug-in, as two, and signs") {
		t.Errorf("check of the certificate of the request:\n%s", out)
	}
	for _, c := range []struct{ key, out, says string }{
		{"o", d.Path("other"), "write more of its name"}, {"three", d.Path("other"), "it has one with the certificate"},
		{"two", request, "is there already"},
	} {
		if code, out := d.run("csr", "--key", c.key, "--out", c.out); code != exitUsage || !strings.Contains(out, c.says) {
			t.Errorf("csr --key %s: exit %d\n%s; want %q", c.key, code, out, c.says)
		}
	}
}
