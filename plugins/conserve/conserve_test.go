package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/plugins"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/conservetest"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/pack"
)

// hand is a clock that the test moves.
type hand struct{ at atomic.Int64 }

var _ clock.Clock = (*hand)(nil)

func (h *hand) Now() time.Time { return time.Unix(h.at.Load(), 0) }

func (h *hand) Sleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }

// world is a place with keys, an authority, and a configuration.
type world struct {
	t     *testing.T
	dir   string
	s     settings
	place *conservetest.Place
	clock *hand
	more  string // of the configuration
}

const box = "mario@alfa.example"

// noon is a day in November at 12 in Rome.
var noon = time.Date(2026, 11, 3, 11, 0, 0, 0, time.UTC)

func newWorld(t *testing.T) *world {
	t.Helper()
	dir, err := os.MkdirTemp("", "conserve") // which others may enter
	good(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	good(t, os.Chmod(dir, 0o755))
	w := &world{t: t, dir: dir, clock: &hand{}}
	w.clock.at.Store(noon.Unix())
	w.place = conservetest.NewIn(t, dir)
	w.s = settings{Folder: w.path("state"), Owner: "Alfa S.p.A.", Certificate: w.file("cert.pem"), Key: w.file("key.pem"), Signers: w.file("ca.pem"),
		StampURL: w.place.StampURL, StampAuthorities: w.place.StampCA, StoreDirectory: w.path("store")}
	return w
}

func (w *world) file(name string) string { return filepath.Join(w.dir, name) }

// path is a folder that is there.
func (w *world) path(name string) string {
	good(w.t, os.MkdirAll(w.file(name), 0o755))
	return w.file(name)
}

func good(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// open is a plug-in at work, without its own loop.
func (w *world) open() *depositor {
	w.t.Helper()
	s := w.s
	good(w.t, s.check())
	d, err := open(s, slog.New(slog.NewTextHandler(w.t.Output(), nil)))
	good(w.t, err)
	d.keeper.Clock = w.clock
	return d
}

func text(key string) string { return "Subject: " + key + "\r\n\r\n" + strings.Repeat(key+"\r\n", 50) }

func bundle(key, event string) plugins.Bundle {
	sum := sha256.Sum256([]byte(text(key)))
	return plugins.Bundle{Key: key, Mailbox: box, Event: event, Size: int64(len(text(key))), SHA256: sum[:], MediaType: "message/rfc822", Time: noon.Unix()}
}

func (w *world) deposit(d *depositor, b plugins.Bundle) plugins.Effect {
	w.t.Helper()
	e, err := d.Deposit(w.t.Context(), b, plugins.NewContent(strings.NewReader(text(b.Key)), b.Size))
	good(w.t, err)
	return e
}

func (w *world) state(d *depositor, key string) plugins.State {
	w.t.Helper()
	s, _, err := d.Status(w.t.Context(), key)
	good(w.t, err)
	return s
}

func (w *world) midnight() { w.clock.at.Store(noon.Add(13 * time.Hour).Unix()) }

func (w *world) config() string {
	lines := fmt.Sprintf("folder = %q\nowner = %q\ncertificate = %q\nkey = %q\nsigners = %q\nstamp_url = %q\nstamp_authorities = %q\n",
		w.s.Folder, w.s.Owner, w.s.Certificate, w.s.Key, w.s.Signers, w.s.StampURL, w.s.StampAuthorities)
	if len(w.s.Space) > 0 {
		lines += "space = " + string(w.s.Space) + "\n"
	}
	b := w.s.StoreS3
	if b == nil {
		lines += fmt.Sprintf("store_directory = %q\n", w.s.StoreDirectory)
	}
	lines += w.more
	if b != nil {
		lines += fmt.Sprintf("[store_s3]\nendpoint = %q\nregion = %q\nbucket = %q\nprefix = %q\naccess_key_file = %q\nsecret_key_file = %q\nauthorities = %q\n",
			b.Endpoint, b.Region, b.Bucket, b.Prefix, b.AccessKeyFile, b.SecretKeyFile, b.Authorities)
	}
	good(w.t, os.WriteFile(w.file("c.toml"), []byte(lines), 0o600))
	return w.file("c.toml")
}

func (w *world) command(args ...string) (string, int) {
	w.t.Helper()
	var out bytes.Buffer
	args = append([]string{args[0], "--config", w.config()}, args[1:]...)
	code := command{out: &out, err: &out}.run(w.t.Context(), args)
	return out.String(), code
}

// A day becomes a package when it is over and the authority answers, not before; what comes late goes into an additional
// one; and sha256sum and openssl alone find them good, by the commands that stand in the package.
func TestDayBecomesAPackage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.open()
	for _, key := range []string{"one", "two"} {
		if e := w.deposit(d, bundle(key, "delivered")); e.Outcome != plugins.Done {
			t.Fatalf("Deposit = %+v", e)
		}
	}
	good(t, d.keeper.Pass(t.Context()))
	if w.state(d, "one") != plugins.Pending {
		t.Error("a package before midnight")
	}
	w.midnight()
	w.place.Down.Store(true)
	if d.keeper.Pass(t.Context()) == nil || w.state(d, "one") != plugins.Pending {
		t.Error("preserved without a time stamp")
	}
	w.place.Down.Store(false)
	good(t, d.keeper.Pass(t.Context()))
	w.deposit(d, bundle("late", "delivered"))
	w.deposit(d, bundle("one", "delivered")) // again, from a host that did not hear the answer
	good(t, d.keeper.Pass(t.Context()))
	for _, key := range []string{"one", "two", "late"} {
		if w.state(d, key) != plugins.Kept {
			t.Errorf("%s is not kept", key)
		}
	}
	for number, documents := range map[string]int{"001": 2, "002": 1} {
		w.holds(box+"/2026-11-03-"+number, documents)
	}
	if out, code := w.command("verify", "--all"); code != exitGood || strings.Count(out, ": good, ") != 2 {
		t.Errorf("verify --all: %d, %s", code, out)
	}
	if left, _ := os.ReadDir(w.file("state/spool")); len(left) != 0 {
		t.Errorf("the spool is not empty: %v", left)
	}
	if u, _ := w.open().Usage(t.Context(), box); u.Items != 3 {
		t.Errorf("Usage after a restart = %+v", u)
	}
}

// holds hands out a package and runs what its LEGGIMI.txt says; then spoils each file and wants that noticed.
func (w *world) holds(name string, documents int) {
	w.t.Helper()
	folder := filepath.Join(w.t.TempDir(), "x")
	if out, code := w.command("exhibit", name, folder); code != exitGood {
		w.t.Fatalf("exhibit: %d, %s", code, out)
	}
	readme, err := os.ReadFile(filepath.Join(folder, pack.Readme))
	good(w.t, err)
	for _, line := range pack.Commands() {
		if !strings.Contains(string(readme), "\n    "+line+"\n") {
			w.t.Errorf("%s does not say %q", pack.Readme, line)
		}
		cmd := exec.Command("sh", "-c", line)
		cmd.Dir = folder
		if out, err := cmd.CombinedOutput(); err != nil {
			w.t.Errorf("%s: %v, %s", line, err, out)
		}
	}
	if out, err := exec.Command("openssl", "cms", "-verify", "-cades", "-binary", "-inform", "DER", "-in", filepath.Join(folder, pack.Signed),
		"-CAfile", filepath.Join(folder, pack.SignerCA), "-purpose", "any", "-out", os.DevNull).CombinedOutput(); err != nil || !strings.Contains(string(out), "CAdES Verification successful") {
		w.t.Errorf("the signature is no CAdES-BES: %v, %s", err, out)
	}
	if out, err := exec.Command("xmllint", "--noout", "--relaxng", "internal/sincro/testdata/pindex.rng", filepath.Join(folder, pack.Index)).CombinedOutput(); err != nil {
		w.t.Errorf("xmllint: %v, %s", err, out)
	}
	names, err := os.ReadDir(filepath.Join(folder, "documenti"))
	if err != nil || len(names) != documents {
		w.t.Errorf("%d documents, %v; want %d", len(names), err, documents)
	}
	if out, code := w.command("verify", folder); code != exitGood {
		w.t.Errorf("verify: %d, %s", code, out)
	}
	for _, name := range []string{"documenti/00001.eml", pack.Index, pack.Signed, pack.Stamp} {
		path := filepath.Join(folder, name)
		whole, err := os.ReadFile(path)
		good(w.t, err)
		spoilt := bytes.Clone(whole)
		spoilt[len(spoilt)-20] ^= 1
		good(w.t, os.WriteFile(path, spoilt, 0o600))
		if out, code := w.command("verify", folder); code != exitWrong {
			w.t.Errorf("verify with %s changed: %d, %s", name, code, out)
		}
		good(w.t, os.WriteFile(path, whole, 0o600))
	}
}

// What is kept is what the rules say, and a mailbox that is full waits and is told of.
func TestRulesAndSpace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.s.Keep, w.s.Space = "received", []byte("1500")
	d := w.open()
	if e := w.deposit(d, bundle("sent", "accepted")); e.Outcome != plugins.Done || e.Reference != notKept || w.state(d, "sent") != plugins.Unknown {
		t.Errorf("what is not kept: %+v", e)
	}
	w.deposit(d, bundle("a", "delivered"))
	filler := bundle("filling-of-some-length", "delivered")
	if e := w.deposit(d, filler); e.Outcome != plugins.Done {
		t.Errorf("the second: %+v", e)
	}
	if e := w.deposit(d, bundle("more-than-there-is-room", "delivered")); e.Outcome != plugins.Later || d.Health().Problem == "" {
		t.Errorf("full: %+v, %+v", e, d.Health())
	}
	if e := w.deposit(d, filler); e.Outcome != plugins.Done {
		t.Errorf("what is there already, in a full mailbox: %+v", e)
	}
	if out, code := w.command("status"); code != exitGood || !strings.Contains(out, "[##################--]  93 %") {
		t.Errorf("status: %d, %s", code, out)
	}
	other := filler
	other.SHA256, other.Size = bundle("a", "").SHA256, bundle("a", "").Size
	if e, err := d.Deposit(t.Context(), other, plugins.NewContent(strings.NewReader(text("a")), other.Size)); err != nil || e.Outcome != plugins.Refused {
		t.Errorf("other content under a key: %+v, %v", e, err)
	}
	wrong := bundle("wrong", "delivered")
	wrong.SHA256, wrong.Size = make([]byte, 32), 10
	if e, err := d.Deposit(t.Context(), wrong, plugins.NewContent(strings.NewReader("0123456789"), 10)); err == nil || w.state(d, "wrong") != plugins.Unknown {
		t.Errorf("content without its digest: %+v, %v", e, err)
	}
}
