package app

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab/pki"
	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/internal/metrics"
	"github.com/ceralacca/ceralacca/signer"
)

// The end of the certificate that signs is an alarm at sixty, thirty and seven days, once each, and then again and again; so is its
// revocation.
func TestEndOfTheCertificateIsAnAlarm(t *testing.T) {
	conformance.Covers(t, "C210")
	now := time.Now()
	authority, err := pki.NewAuthority("CA", now)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := authority.SigningBetween("Alfa PEC", "posta-certificata@alfa.example", now.AddDate(-1, 0, 0), now.Add(100*day))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	keyPEM, err := pair.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	crl, err := authority.CRL()
	if err != nil {
		t.Fatal(err)
	}
	revoking, err := authority.CRL(pair.Cert)
	if err != nil {
		t.Fatal(err)
	}
	p := &parts{}
	if p.key, err = signer.LoadKey(write("cert", pair.CertPEM()), write("key", keyPEM)); err != nil {
		t.Fatal(err)
	}
	files := signer.TrustFiles{CA: write("ca", authority.CertPEM()), CRLs: []string{write("crl", crl)}}
	if p.trust, err = signer.NewTrust(files, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	var l life
	look := func(after time.Duration) int {
		log.Reset()
		l.look(p, now.Add(after), slog.New(slog.NewTextHandler(&log, nil)), metrics.New())
		return strings.Count(log.String(), "alarm=true")
	}
	for _, c := range []struct {
		day, want int
	}{{0, 0}, {39, 0}, {41, 1}, {41, 0}, {69, 0}, {71, 1}, {92, 0}, {94, 1}, {99, 0}} {
		if got := look(time.Duration(c.day) * day); got != c.want {
			t.Errorf("on day %d: %d alarms, want %d:\n%s", c.day, got, c.want, &log)
		}
	}
	for i, after := range []time.Duration{time.Minute, 2 * time.Minute, 62 * time.Minute} {
		if got, want := look(100*day+after), []int{1, 0, 1}[i]; got != want {
			t.Errorf("%v after the end: %d alarms, want %d:\n%s", after, got, want, &log)
		}
	}
	write("crl", revoking)
	if err := p.trust.Reload(); err != nil {
		t.Fatal(err)
	}
	l = life{}
	if look(0) != 1 || !strings.Contains(log.String(), "revoked") {
		t.Errorf("a certificate that is revoked is no alarm:\n%s", &log)
	}
}
