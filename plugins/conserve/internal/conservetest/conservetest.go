// Package conservetest makes for tests what a package needs: a key with its authority, and a time stamping authority that can
// be down. It makes no packages.
package conservetest

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab/pki"
	"github.com/ceralacca/ceralacca/deploy/lab/tsa"
	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/deposit"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/pack"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/stamp"
	"github.com/ceralacca/ceralacca/signer"
)

// Place has what packages are made with. The authorities are real, and their certificates good for years from now.
type Place struct {
	Dir      string // cert.pem and key.pem of who signs, ca.pem of his authority
	StampURL string
	StampCA  string // file
	Key      signer.Key
	Parts    pack.Parts // the authorities and the instructions
	Verifier pack.Verifier
	Down     atomic.Bool  // the time stamping authority
	Asked    atomic.Int64 // how often it was asked
}

// Good fails a test on an error.
func Good(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// New makes a place, for as long as the test runs.
func New(t testing.TB) *Place {
	t.Helper()
	return NewIn(t, t.TempDir())
}

// NewIn is New in a folder that is there.
func NewIn(t testing.TB, dir string) *Place {
	t.Helper()
	now, p := clock.System{}.Now(), &Place{Dir: dir}
	authority, err := pki.NewAuthority("Lab CA", now)
	Good(t, err)
	pair, err := authority.Signing("Alfa S.p.A.", "conserve@alfa.example")
	Good(t, err)
	key, err := pair.KeyPEM()
	Good(t, err)
	for name, text := range map[string][]byte{"cert.pem": pair.CertPEM(), "key.pem": key, "ca.pem": authority.CertPEM()} {
		Good(t, os.WriteFile(filepath.Join(dir, name), text, 0o600))
	}
	p.Key, err = signer.LoadKey(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	Good(t, err)
	p.Verifier.Signers, err = signer.ReadAuthorities(filepath.Join(dir, "ca.pem"))
	Good(t, err)
	Good(t, os.Mkdir(filepath.Join(dir, "tsa"), 0o755))
	stamps, err := tsa.New(filepath.Join(dir, "tsa"), now, tsa.Good())
	Good(t, err)
	roots, err := signer.ReadCertificates(stamps.CA())
	Good(t, err)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.Asked.Add(1)
		if p.Down.Load() {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		stamps.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	p.StampURL, p.StampCA = server.URL, stamps.CA()
	p.Verifier.Stamps = stamp.Authority{URL: server.URL, Roots: roots, HTTP: server.Client()}
	p.Parts = pack.Parts{SignerCA: authority.CertPEM(), StampCA: signer.EncodeCertificates(roots), Readme: pack.Instructions()}
	return p
}

// Record is a deposit of a text.
func Record(key, mailbox, day, text string) deposit.Record {
	return deposit.Record{Key: key, Mailbox: mailbox, Event: "delivered", MediaType: "message/rfc822", Day: day,
		SHA256: fmt.Sprintf("%x", sha256.Sum256([]byte(text))), Size: int64(len(text)), Time: 1}
}

// Take keeps a deposit of a text.
func Take(t testing.TB, box *deposit.Box, r deposit.Record, text string) {
	t.Helper()
	if _, _, err := box.Take(r, strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
}

// Clock is one that passes by sleeping alone. The zero value is the beginning of 1970.
type Clock struct {
	At     time.Time
	Slept  []time.Duration
	Before func(time.Time) error // is asked before each sleep, when it is set
}

// Now implements clock.Clock.
func (c *Clock) Now() time.Time { return c.At }

// Sleep implements clock.Clock.
func (c *Clock) Sleep(ctx context.Context, d time.Duration) error {
	if c.Before != nil {
		if err := c.Before(c.At); err != nil {
			return err
		}
	}
	c.At, c.Slept = c.At.Add(d), append(c.Slept, d)
	return ctx.Err()
}
