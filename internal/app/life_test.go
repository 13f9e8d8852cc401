package app

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
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
	if p.trust, err = signer.NewTrust(files); err != nil {
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

// minutes is a clock that ends what sleeps on it after a number of times.
type minutes struct {
	now  time.Time
	left int
}

func (m *minutes) Now() time.Time { return m.now }

func (m *minutes) Sleep(_ context.Context, d time.Duration) error {
	m.now = m.now.Add(d)
	if m.left--; m.left <= 0 {
		return context.Canceled
	}
	return nil
}

// A list of revoked certificates that has ended is an alarm without any mail, once an hour.
func TestEndOfAListIsAnAlarm(t *testing.T) {
	conformance.Covers(t, "C113")
	now := time.Now()
	authority, err := pki.NewAuthority("CA", now)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := authority.Signing("Alfa PEC", "posta-certificata@alfa.example")
	if err != nil {
		t.Fatal(err)
	}
	list, err := authority.CRL()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files := signer.TrustFiles{CA: filepath.Join(dir, "ca"), CRLs: []string{filepath.Join(dir, "crl")}}
	if err := errors.Join(os.WriteFile(files.CA, authority.CertPEM(), 0o600), os.WriteFile(files.CRLs[0], list, 0o600)); err != nil {
		t.Fatal(err)
	}
	p := &parts{key: keyOf{cert: pair.Cert}, watched: []*x509.Certificate{pair.Cert}}
	if p.trust, err = signer.NewTrust(files); err != nil {
		t.Fatal(err)
	}
	ends := p.trust.State(now, p.watched)[0].NextUpdate
	for _, c := range []struct {
		from          time.Duration
		minutes, want int
	}{{-30 * time.Minute, 30, 0}, {time.Second, 59, 1}, {time.Second, 61, 2}} {
		var log bytes.Buffer
		d := Deps{Clock: &minutes{now: ends.Add(c.from), left: c.minutes}, Log: slog.New(slog.NewTextHandler(&log, nil))}
		p.watchCertificate(t.Context(), d, metrics.New())
		if got := strings.Count(log.String(), "a revocation list has ended"); got != c.want || strings.Count(log.String(), "alarm=true") < c.want {
			t.Errorf("%d minutes from %v after the end: %d alarms, want %d:\n%s", c.minutes, c.from, got, c.want, &log)
		}
	}
}

// keyOf is a key of which only the certificate is there.
type keyOf struct {
	signer.Key
	cert *x509.Certificate
}

func (c keyOf) Certificates() []*x509.Certificate { return []*x509.Certificate{c.cert} }
