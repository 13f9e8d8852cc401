package app

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab/pki"
	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/internal/config"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/plugins"
	"github.com/ceralacca/ceralacca/plugins/host"
	"github.com/ceralacca/ceralacca/signer"
)

// journal is a log that a test reads while it is written.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

// alarms is how many there were so far.
func (j *journal) alarms() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Count(j.text.String(), "alarm=true")
}

// keyPlugin is a loader whose configuration signs with a plug-in, and the folder of that plug-in.
func keyPlugin(t *testing.T, log *journal) (loader, *parts, string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "k")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "key")
	if out, err := exec.Command("go", "build", "-o", path, "../../test/plugins/obedient").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	if err := errors.Join(os.Chmod(dir, 0o755), os.Chmod(path, 0o755)); err != nil {
		t.Fatal(err)
	}
	sum, err := host.Checksum(path)
	if err != nil {
		t.Fatal(err)
	}
	section := config.Plugin{Name: "hsm", Path: path, SHA256: sum, Network: true, Deadline: 2 * time.Second, Concurrency: 4,
		Values: map[string]any{"folder": dir}}
	if os.Geteuid() == 0 {
		section.User = "nobody"
	}
	address, err := pec.ParseAddress("posta-certificata@alfa.example")
	if err != nil {
		t.Fatal(err)
	}
	c := &config.Config{Plugins: []config.Plugin{section}, Key: config.Key{Plugin: "hsm"}}
	c.Provider.Name, c.Provider.Address = "Alfa PEC", address
	d := Deps{Clock: clock.System{}, Log: slog.New(slog.NewTextHandler(log, nil))}
	l := loader{deps: d, plugins: newPlugHost(d, nil, socketIn(dir), plugins.KindKey)}
	t.Cleanup(l.plugins.close)
	p := &parts{config: c, described: map[string]plugins.Description{"hsm": {Kind: plugins.KindKey}}}
	if p.set, err = l.plugins.prepare(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	l.plugins.swap(p.set)
	return l, p, dir
}

// hold gives the plug-in a key with a certificate for an address.
func hold(t *testing.T, dir, address string) {
	t.Helper()
	ca, err := pki.NewAuthority("Test CA", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	pair, err := ca.Signing("Alfa PEC", address)
	if err != nil {
		t.Fatal(err)
	}
	key, err := pair.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	tell(t, dir, "cert.pem", pair.CertPEM())
	tell(t, dir, "key.pem", key)
}

func tell(t *testing.T, dir, file string, content []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, file), content, 0o644); err != nil {
		t.Fatal(err)
	}
}

// A key behind a plug-in signs; a signature that is not the certificate's never comes out, nor does anything from a plug-in
// that is slow or dies: all of it is temporary, with an alarm.
func TestKeyPlugin(t *testing.T) {
	var log journal
	l, p, dir := keyPlugin(t, &log)
	hold(t, dir, "posta-certificata@alfa.example")
	key, err := l.key(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte("what is certified"))
	signature, err := key.Sign(t.Context(), digest[:])
	if err != nil || len(signature) != 256 && len(signature) != 512 {
		t.Errorf("Sign: %d bytes, %v", len(signature), err)
	}
	for _, test := range []struct {
		answer string
		want   error
	}{
		{"wrong", signer.ErrKey}, {"later", host.ErrUnable}, {"slow", host.ErrSlow}, {"hang", host.ErrSlow}, {"die", host.ErrDied},
	} {
		tell(t, dir, "answer", []byte(test.answer))
		before := log.alarms()
		signature, err := key.Sign(t.Context(), digest[:])
		if !errors.Is(err, test.want) || signature != nil {
			t.Errorf("%s: %x, %v; want %v", test.answer, signature, err, test.want)
		}
		if log.alarms() <= before { // who dies is one more of the supervisor's
			t.Errorf("%s: no alarm", test.answer)
		}
	}
	tell(t, dir, "answer", nil)
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if _, err := key.Sign(t.Context(), digest[:]); err == nil {
			break
		} else if time.Now().After(end) {
			t.Fatalf("it came back and does not sign: %v", err)
		}
	}
}

// The certificate that the configuration names says which key of the plug-in signs, whatever certificate the plug-in has for it.
// One that belongs to none of them is no start, and the sentence names it and what there is.
func TestKeyPluginOfACertificate(t *testing.T) {
	var log journal
	l, p, dir := keyPlugin(t, &log)
	hold(t, dir, "posta-certificata@alfa.example")
	bare, err := pki.NewAuthority("bare", time.Now()) // a key that nobody certified
	if err != nil {
		t.Fatal(err)
	}
	key, err := bare.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	tell(t, dir, "next.pem", bare.CertPEM())
	tell(t, dir, "next.key", key)
	ca, err := pki.NewAuthority("Test CA", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	from, to := time.Now().Add(-time.Hour), time.Now().AddDate(1, 0, 0)
	named, err := ca.SigningKey("Alfa PEC", "posta-certificata@alfa.example", bare.Key, from, to)
	if err != nil {
		t.Fatal(err)
	}
	p.config.Key.Cert = filepath.Join(t.TempDir(), "cert.pem")
	use := func(text []byte) (signer.Key, error) {
		t.Helper()
		if err := os.WriteFile(p.config.Key.Cert, text, 0o644); err != nil {
			t.Fatal(err)
		}
		return l.key(t.Context(), p)
	}
	signs, err := use(append(named.CertPEM(), ca.CertPEM()...))
	if err != nil {
		t.Fatal(err)
	}
	if chain := signs.Certificates(); len(chain) != 2 || !chain[0].Equal(named.Cert) {
		t.Errorf("it signs with %d certificates, want those of the file", len(chain))
	}
	digest := sha256.Sum256([]byte("what is certified"))
	if _, err := signs.Sign(t.Context(), digest[:]); err != nil { // it is held against the certificate
		t.Error(err)
	}
	other, err := ca.Signing("Alfa PEC", "posta-certificata@alfa.example")
	if err != nil {
		t.Fatal(err)
	}
	_, err = use(other.CertPEM())
	for _, want := range []string{p.config.Key.Cert, fmt.Sprintf("serial number %X", other.Cert.SerialNumber), "one with the certificate of serial number", "two without a certificate"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("a certificate of no key: %v; want %q", err, want)
		}
	}
	foreign, err := ca.SigningKey("Alfa PEC", "posta-certificata@beta.example", bare.Key, from, to)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := use(foreign.CertPEM()); !strings.Contains(fmt.Sprint(err), "rfc822Name") {
		t.Errorf("a certificate of somebody else: %v", err)
	}
}

// Without a certificate that is good for us there is no start, and the sentence names the line.
func TestKeyPluginOfSomebodyElse(t *testing.T) {
	var log journal
	l, p, dir := keyPlugin(t, &log)
	if _, err := l.key(t.Context(), p); err == nil || !strings.Contains(err.Error(), "plugins.hsm") {
		t.Errorf("no certificate: %v", err)
	}
	hold(t, dir, "posta-certificata@beta.example")
	if _, err := l.key(t.Context(), p); err == nil || !strings.Contains(err.Error(), `its key "one"`) {
		t.Errorf("the certificate of another: %v", err)
	}
}
