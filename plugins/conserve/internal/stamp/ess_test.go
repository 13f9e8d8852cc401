package stamp

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/digitorus/timestamp"

	"github.com/ceralacca/ceralacca/deploy/lab/tsa"
	"github.com/ceralacca/ceralacca/internal/clock"
)

func certificate(t *testing.T, path string) *x509.Certificate {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// genuine is openssl ts as an authority.
func genuine(t *testing.T) (*tsa.Authority, Authority) {
	t.Helper()
	real, err := tsa.New(t.TempDir(), clock.System{}.Now(), tsa.Good())
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(real)
	t.Cleanup(server.Close)
	return real, Authority{URL: server.URL, Roots: []*x509.Certificate{certificate(t, real.CA())}, HTTP: server.Client()}
}

// exchanged is an answer with the twin in the place of the certificate that stamped: the signature holds, the chain too.
func exchanged(t *testing.T, real *tsa.Authority, answer []byte) []byte {
	t.Helper()
	own, twin := certificate(t, real.Own()), certificate(t, real.Twin())
	if len(own.Raw) != len(twin.Raw) || bytes.Count(answer, own.Raw) != 1 {
		t.Fatal("the certificates cannot be exchanged")
	}
	changed := bytes.Clone(answer)
	at := bytes.Index(changed, own.Raw)
	copy(changed[at:], twin.Raw)
	after := at + len(twin.Raw)
	named := bytes.Index(changed[after:], append(bytes.Clone(own.RawIssuer), 2, 1, 2)) // the first is that of the SignerInfo
	if named < 0 {
		t.Fatal("the SignerInfo does not name its certificate")
	}
	changed[after+named+len(own.RawIssuer)+2] = 3
	return changed
}

// A stamp names its certificate, by SHA-1 or SHA-2 as openssl writes it; with another one in it, of the same key, it is none.
func TestStampNamesItsCertificate(t *testing.T) {
	real, a := genuine(t)
	data := []byte("an index")
	for _, digest := range []string{"sha1", "sha256", "sha384", "sha512", "sha224"} {
		if err := real.Identify(digest); err != nil {
			t.Fatal(err)
		}
		answer, err := a.Stamp(t.Context(), data)
		if digest == "sha224" {
			if !errors.Is(err, ErrStamp) {
				t.Errorf("%s, which is not read: %v, want ErrStamp", digest, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", digest, err)
			continue
		}
		if _, err := a.Check(exchanged(t, real, answer), data); !errors.Is(err, ErrStamp) || !strings.Contains(err.Error(), "another certificate") {
			t.Errorf("%s, with another certificate: %v, want ErrStamp about it", digest, err)
		}
	}
}

// Signed anew with the same statement, without the attribute it is none, and with it, it is one.
func TestStampWithoutTheName(t *testing.T) {
	real, a := genuine(t)
	data := []byte("an index")
	answer, err := a.Stamp(t.Context(), data)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	run := func(args ...string) {
		t.Helper()
		cmd := exec.Command("openssl", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("openssl %q: %v, %s", args, err, out)
		}
	}
	inner, err := token(answer)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "token"), inner, 0o600); err != nil {
		t.Fatal(err)
	}
	run("cms", "-verify", "-noverify", "-binary", "-inform", "DER", "-in", "token", "-out", "statement")
	for option, good := range map[string]bool{"-cades": true, "-binary": false} {
		run("cms", "-sign", "-nodetach", "-binary", option, "-outform", "DER", "-econtent_type", "id-smime-ct-TSTInfo", "-in", "statement",
			"-signer", real.Own(), "-inkey", real.Key(), "-out", "signed")
		signed, err := os.ReadFile(filepath.Join(dir, "signed"))
		if err != nil {
			t.Fatal(err)
		}
		_, err = a.Check(wrap(append([]byte{0x30, 3, 2, 1, 0}, signed...)), data)
		if good && err != nil || !good && (!errors.Is(err, ErrStamp) || !strings.Contains(err.Error(), "does not say with which certificate")) {
			t.Errorf("with %s: %v", option, err)
		}
	}
}

// wrap is a SEQUENCE of more than 255 bytes.
func wrap(content []byte) []byte {
	return append([]byte{0x30, 0x82, byte(len(content) >> 8), byte(len(content))}, content...)
}

// What was not granted is none, whatever token is with it; granted with modifications is granted.
func TestStatus(t *testing.T) {
	_, a := genuine(t)
	data := []byte("an index")
	answer, err := a.Stamp(t.Context(), data)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(answer, []byte{0x30, 3, 2, 1, 0}) + 4
	for status, good := range map[byte]bool{0: true, 1: true, 2: false, 3: false, 5: false, 0xff: false} {
		changed := bytes.Clone(answer)
		changed[at] = status
		if _, err := a.Check(changed, data); good != (err == nil) || !good && !errors.Is(err, ErrStamp) {
			t.Errorf("status %d: %v", status, err)
		}
	}
	for name, broken := range map[string][]byte{"nothing": nil, "more": append(bytes.Clone(answer), 0), "a half": answer[:len(answer)/2],
		"no token": {0x30, 5, 0x30, 3, 2, 1, 0}, "long": make([]byte, most+1), "deep": deep()} {
		if _, err := a.Check(broken, data); !errors.Is(err, ErrStamp) {
			t.Errorf("%s: %v, want ErrStamp", name, err)
		}
	}
}

// deep is as much nesting as is read: each level has no length of its own (BER).
func deep() []byte {
	const levels = most/4 - 16
	inner := append(bytes.Repeat([]byte{0x30, 0x80}, levels), make([]byte, 2*levels)...)
	long := func(content []byte) []byte {
		n := len(content)
		return append([]byte{0x30, 0x83, byte(n >> 16), byte(n >> 8), byte(n)}, content...)
	}
	return long(append([]byte{0x30, 3, 2, 1, 0}, long(inner)...))
}

// Whatever an authority answers, it is judged.
func FuzzCheck(f *testing.F) {
	real, err := tsa.New(f.TempDir(), clock.System{}.Now(), tsa.Good())
	if err != nil {
		f.Fatal(err)
	}
	sum := sha256.Sum256([]byte("an index"))
	question, err := (&timestamp.Request{HashAlgorithm: crypto.SHA256, HashedMessage: sum[:], Certificates: true}).Marshal()
	if err != nil {
		f.Fatal(err)
	}
	answer, err := real.Answer(question)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(answer)
	f.Add([]byte{0x30, 5, 0x30, 3, 2, 1, 0})
	f.Fuzz(func(t *testing.T, answer []byte) {
		if _, err := (Authority{}).Check(answer, []byte("an index")); !errors.Is(err, ErrStamp) {
			t.Errorf("Check without an authority = %v, want ErrStamp", err)
		}
	})
}
