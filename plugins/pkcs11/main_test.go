//go:build cgo

package main

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab/pki"
	"github.com/ceralacca/ceralacca/deploy/lab/softhsm"
	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/internal/metrics"
	"github.com/ceralacca/ceralacca/plugins"
	"github.com/ceralacca/ceralacca/plugins/host"
)

// patience bounds what a loaded machine may take.
const patience = 30 * time.Second

// nobody is who the plug-in runs as when root tests it.
const nobody = 65534

func TestMain(m *testing.M) {
	code := m.Run()
	for _, built := range []func() (string, error){builtPlugin, builtShim} {
		if path, err := built(); err == nil {
			_ = os.RemoveAll(filepath.Dir(path))
		}
	}
	os.Exit(code)
}

// compiled makes a file in a folder that others may pass.
func compiled(name string, args ...string) (string, error) {
	dir, err := os.MkdirTemp("", "p11")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, name)
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "OUT", path)
	}
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		return path, fmt.Errorf("%q: %w: %s", args, err, out)
	}
	return path, errors.Join(os.Chmod(dir, 0o755), os.Chmod(path, 0o755))
}

// builtPlugin is the plug-in itself, builtShim a module that counts and fails.
var (
	builtPlugin = sync.OnceValues(func() (string, error) { return compiled("pkcs11", "go", "build", "-o", "OUT", ".") })
	builtShim   = sync.OnceValues(func() (string, error) {
		return compiled("shim.so", "gcc", "-shared", "-fPIC", "-o", "OUT", "testdata/shim.c", "-ldl")
	})
)

// authority certifies the keys of all devices.
var authority = sync.OnceValues(func() (*pki.Authority, error) { return pki.NewAuthority("Test CA", time.Now()) })

// device is a token, the authority that certifies its keys, and the configuration of the plug-in.
type device struct {
	*softhsm.Token
	t      *testing.T
	dir    string
	ca     *pki.Authority
	config map[string]any
}

// newDevice makes a token without keys.
func newDevice(t *testing.T) *device {
	t.Helper()
	dir, err := os.MkdirTemp("", "p11")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	uid := os.Geteuid()
	if uid == 0 {
		uid = nobody
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	token, err := softhsm.New(dir, "ceralacca", uid)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := authority()
	if err != nil {
		t.Fatal(err)
	}
	return &device{token, t, dir, ca, map[string]any{"module": softhsm.Module, "token": token.Label, "pin_file": token.PINFile,
		"environment": map[string]any{softhsm.ConfVariable: token.Conf}, "keys": []any{}}}
}

// shimmed has the module do what the files in the device's folder say.
func (d *device) shimmed() {
	d.t.Helper()
	path, err := builtShim()
	if err != nil {
		d.t.Fatal(err)
	}
	work := filepath.Join(d.dir, "shim")
	if err := errors.Join(os.Mkdir(work, 0o700), os.Chown(work, d.UID, -1)); err != nil {
		d.t.Fatal(err)
	}
	d.config["module"] = path
	d.config["environment"] = map[string]any{softhsm.ConfVariable: d.Conf, "SHIM": work}
}

// say writes a file for the shim, or removes it.
func (d *device) say(file, text string) {
	d.t.Helper()
	path := filepath.Join(d.dir, "shim", file)
	err := os.Remove(path)
	if text != "" {
		err = errors.Join(os.WriteFile(path, []byte(text), 0o644), os.Chown(path, d.UID, -1))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.t.Fatal(err)
	}
}

// logins is how often a PIN was tried.
func (d *device) logins() int {
	text, _ := os.ReadFile(filepath.Join(d.dir, "shim", "logins")) // none: never
	return bytes.Count(text, []byte("\n"))
}

// pair is a key and its certificate.
func (d *device) pair() *pki.Pair {
	d.t.Helper()
	pair, err := d.ca.Signing("Alfa PEC", "posta-certificata@alfa.example")
	if err != nil {
		d.t.Fatal(err)
	}
	return pair
}

// put puts the key of a pair into the token.
func (d *device) put(label, id string, p *pki.Pair) {
	d.t.Helper()
	key, err := p.KeyPEM()
	if err == nil {
		err = d.Import(label, id, key)
	}
	if err != nil {
		d.t.Fatal(err)
	}
}

// file writes a certificate where the plug-in reads it.
func (d *device) file(name string, p *pki.Pair) string {
	d.t.Helper()
	path := filepath.Join(d.dir, name+".pem")
	if err := os.WriteFile(path, p.CertPEM(), 0o644); err != nil {
		d.t.Fatal(err)
	}
	return path
}

// want adds a key to the configuration: name and value in turn.
func (d *device) want(values ...string) {
	key := map[string]any{}
	for i := 0; i < len(values); i += 2 {
		key[values[i]] = values[i+1]
	}
	list, _ := d.config["keys"].([]any)
	d.config["keys"] = append(list, key)
}

// plugged starts the plug-in as the daemons do.
func (d *device) plugged(log *slog.Logger) (host.Key, error) {
	d.t.Helper()
	path, err := builtPlugin()
	if err != nil {
		d.t.Fatal(err)
	}
	may := host.Isolation{}
	if os.Geteuid() == 0 {
		may.User = "nobody"
	}
	run, err := os.MkdirTemp("", "p11")
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = os.RemoveAll(run) })
	if err := os.Chmod(run, 0o755); err != nil {
		d.t.Fatal(err)
	}
	s, err := host.New(d.t.Context(), host.Options{Name: "hsm", Kind: plugins.KindKey, Config: d.config, RunDir: run,
		Program:  host.Program{Path: path, Isolation: may},
		Deadline: 10 * time.Second, Concurrency: 16, Clock: clock.System{}, Log: log, Metrics: metrics.New()})
	if err == nil {
		d.t.Cleanup(s.Stop)
	}
	return host.Key{Supervisor: s}, err
}

// started is plugged without an error.
func (d *device) started() host.Key {
	d.t.Helper()
	key, err := d.plugged(slog.New(slog.NewTextHandler(d.t.Output(), nil)))
	if err != nil {
		d.t.Fatal(err)
	}
	return key
}

// simple is a device with one key, "first", that is at work.
func simple(t *testing.T, prepare ...func(*device)) (*device, host.Key, plugins.KeyEntry) {
	t.Helper()
	d := newDevice(t)
	pair := d.pair()
	d.put("first", "01", pair)
	d.want("label", "first", "certificate", d.file("first", pair))
	for _, p := range prepare {
		p(d)
	}
	key := d.started()
	entries, err := key.Certificates(t.Context())
	if err != nil || len(entries) != 1 {
		t.Fatalf("certificates: %d, %v", len(entries), err)
	}
	return d, key, entries[0]
}

// signs asks for a signature and holds it against the certificate.
func signs(t *testing.T, key host.Key, entry plugins.KeyEntry, text string) error {
	t.Helper()
	digest := sha256.Sum256([]byte(text))
	signature, err := key.Sign(t.Context(), entry.ID, digest[:])
	if err != nil {
		return err
	}
	cert, err := x509.ParseCertificate(entry.Chain[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := cert.CheckSignature(x509.SHA256WithRSA, []byte(text), signature); err != nil {
		t.Errorf("a signature that is not that of the certificate: %v", err)
	}
	return nil
}

// within polls until something holds.
func within(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %s", what, patience)
		}
	}
}

// problem is what the plug-in says of itself.
func problem(t *testing.T, key host.Key) string {
	t.Helper()
	i := key.Current()
	if i == nil {
		return "there is no process"
	}
	h, err := i.Health(t.Context())
	if err != nil {
		return err.Error()
	}
	return h.Problem
}
