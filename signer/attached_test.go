package signer

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/ceralacca/ceralacca/internal/conformance"
)

// OpenSSL finds content, signature and certificate in one file, which is DER; the same content gives the same bytes.
func TestSealAttachedIsWhatOpenSSLVerifies(t *testing.T) {
	conformance.Covers(t, "C211", "C212")
	p := newParty(t)
	content := []byte("dn: providerName=Alfa,o=postacert\nobjectClass: provider\n\x00\r\n \n")
	der, err := SealAttached(t.Context(), p.key, content)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "alfa.ldif.p7m")
	if err := os.WriteFile(file, der, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", file, "-CAfile", p.caFile).Output()
	if err != nil || !bytes.Equal(out, content) {
		t.Errorf("openssl cms -verify: %v, content %q; want %q", err, out, content)
	}
	signer := filepath.Join(t.TempDir(), "signer.pem")
	if out, err := exec.Command("openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", file, "-CAfile", p.caFile,
		"-signer", signer, "-out", os.DevNull).CombinedOutput(); err != nil {
		t.Fatalf("openssl: %v: %s", err, out)
	}
	if chain, err := ReadCertificates(signer); err != nil || len(chain) != 1 || !chain[0].Equal(p.cert) {
		t.Errorf("the signer's certificate is not in the file: %v", err)
	}
	// What OpenSSL writes again in DER is what it read.
	again, err := exec.Command("openssl", "cms", "-cmsout", "-inform", "DER", "-in", file, "-outform", "DER").Output()
	if err != nil || !bytes.Equal(again, der) {
		t.Errorf("OpenSSL writes %d other bytes than the %d it read (%v): it is not DER", len(again), len(der), err)
	}
	second, err := SealAttached(t.Context(), p.key, content)
	if err != nil || !bytes.Equal(second, der) {
		t.Errorf("signing again gives other bytes: %v", err)
	}
	changed := bytes.Replace(der, []byte("Alfa"), []byte("Beta"), 1)
	if _, _, _, err := OpenAttached(changed); !errors.Is(err, ErrSignature) {
		t.Errorf("OpenAttached of a changed file: %v, want %v", err, ErrSignature)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := SealAttached(ended, p.key, content); !errors.Is(err, context.Canceled) {
		t.Errorf("SealAttached after the end: %v", err)
	}
	if _, err := SealAttached(t.Context(), p.key, make([]byte, maxAttached)); err == nil {
		t.Error("SealAttached of what nobody would read: no error")
	}
}
