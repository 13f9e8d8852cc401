package main

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ceralacca/ceralacca/deploy/lab/pki"
	lab "github.com/ceralacca/ceralacca/deploy/lab/s3"
	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/plugins"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/pack"
)

const prefix = "archivio/alfa"

// newBucket is a world whose packages go to a real store over TLS, with a certificate of its own authority.
func newBucket(t *testing.T) (*world, *lab.Server) {
	t.Helper()
	w := newWorld(t)
	authority, err := pki.NewAuthority("Store CA", clock.System{}.Now())
	good(t, err)
	pair, err := authority.Server("localhost", "127.0.0.1")
	good(t, err)
	key, err := pair.KeyPEM()
	good(t, err)
	w.path("keys")
	for name, text := range map[string][]byte{"s3.pem": pair.CertPEM(), "s3.key": key, "keys/ca.pem": authority.CertPEM(),
		"keys/access": []byte(lab.Access + "\n"), "keys/secret": []byte(lab.Secret + "\n")} {
		good(t, os.WriteFile(w.file(name), text, 0o600))
	}
	server, err := lab.New(w.path("s3"), w.file("s3.pem"), w.file("s3.key"))
	good(t, err)
	t.Cleanup(server.Stop)
	good(t, server.Start(t.Context()))
	w.s.StoreDirectory = ""
	w.s.StoreS3 = &bucket{Endpoint: "https://" + server.Address, Region: lab.Region, Bucket: lab.Bucket, Prefix: prefix,
		AccessKeyFile: w.file("keys/access"), SecretKeyFile: w.file("keys/secret"), Authorities: w.file("keys/ca.pem")}
	return w, server
}

// A bucket that is down keeps no deposit from being taken; when it is back, all is preserved, and sha256sum and openssl find
// good what is handed out. An object that is changed or taken away later is found.
func TestBucket(t *testing.T) {
	t.Parallel()
	w, server := newBucket(t)
	server.Stop()
	d := w.open()
	for range tolerated + 1 { // before the first night
		if err := d.keeper.Pass(t.Context()); err == nil || !strings.Contains(err.Error(), "the store cannot be reached") {
			t.Fatalf("with the store down: %v", err)
		}
	}
	if h := d.Health(); !strings.Contains(h.Problem, "the store cannot be reached") {
		t.Errorf("Health = %+v", h)
	}
	for _, key := range []string{"one", "two"} {
		if e := w.deposit(d, bundle(key, "delivered")); e.Outcome != plugins.Done {
			t.Fatalf("Deposit = %+v", e)
		}
	}
	w.midnight()
	if d.keeper.Pass(t.Context()) == nil || w.state(d, "one") != plugins.Pending {
		t.Error("preserved without a store")
	}
	good(t, server.Start(t.Context()))
	good(t, d.keeper.Pass(t.Context()))
	name := box + "/2026-11-03-001"
	if h := d.Health(); h.Problem != "" || w.state(d, "one") != plugins.Kept || w.state(d, "two") != plugins.Kept {
		t.Errorf("Health = %+v", h)
	}
	w.holds(name, 2)
	_, content, ok, err := d.Exhibit(t.Context(), "two")
	if err != nil || !ok {
		t.Fatalf("Exhibit: %v, %v", ok, err)
	}
	if got, err := io.ReadAll(content); err != nil || string(got) != text("two") {
		t.Errorf("Exhibit gives %q, %v", got, err)
	}
	good(t, content.Close())
	w.findsWhatChanged(server, name)
}

// findsWhatChanged spoils a package that is good in the store's own folder.
func (w *world) findsWhatChanged(server *lab.Server, name string) {
	w.t.Helper()
	path := server.Path(prefix + "/" + name + "/" + pack.Object(1))
	whole, err := os.ReadFile(path)
	good(w.t, err)
	if out, code := w.command("verify", "--all"); code != exitGood {
		w.t.Fatalf("verify: %d, %s", code, out)
	}
	spoilt := bytes.Clone(whole)
	spoilt[9] ^= 1
	good(w.t, os.WriteFile(path, spoilt, 0o600))
	if out, code := w.command("verify", name); code != exitWrong || !strings.Contains(out, "WRONG") || !strings.Contains(out, "documenti/00002.eml was changed") {
		w.t.Errorf("with an object changed: %d, %s", code, out)
	}
	good(w.t, os.WriteFile(path, whole, 0o600))
	good(w.t, os.Remove(filepath.Join(filepath.Dir(filepath.Dir(path)), pack.Sums)))
	if out, code := w.command("verify", "--all"); code != exitWrong || !strings.Contains(out, "WRONG: it is not in the store") {
		w.t.Errorf("with its last file gone: %d, %s", code, out)
	}
	server.Stop()
	if out, code := w.command("verify", name); code != exitWrong || !strings.Contains(out, "the store cannot be reached") {
		w.t.Errorf("with the store down: %d, %s", code, out)
	}
}

// What is wrong in the configuration stops the start and is told with its key; what only the store can say does not.
func TestBucketConfiguration(t *testing.T) {
	t.Parallel()
	w, _ := newBucket(t)
	good(t, os.WriteFile(w.file("keys/open"), []byte(lab.Secret), 0o644))
	good(t, os.WriteFile(w.file("keys/two"), []byte("a key\nand another\n"), 0o600))
	genuine := *w.s.StoreS3
	for _, test := range []struct {
		want   string
		change func(*settings, *bucket)
	}{
		{"either store_directory or [store_s3]", func(s *settings, _ *bucket) { s.StoreS3 = nil }},
		{"either store_directory or [store_s3]", func(s *settings, _ *bucket) { s.StoreDirectory = w.path("store") }},
		{"store_s3.endpoint is http://", func(_ *settings, b *bucket) { b.Endpoint = "http://store.example" }},
		{"store_s3.insecure is for", func(_ *settings, b *bucket) { b.Insecure = true }},
		{"store_s3.authorities is for", func(_ *settings, b *bucket) { b.Endpoint, b.Insecure = "http://store.example", true }},
		{"write https://HOST", func(_ *settings, b *bucket) { b.Endpoint = "store.example" }},
		{"without a path", func(_ *settings, b *bucket) { b.Endpoint += "/bucket" }},
		{"store_s3.timeout", func(_ *settings, b *bucket) { b.Timeout = "soon" }},
		{"store_s3.access_key_file", func(_ *settings, b *bucket) { b.AccessKeyFile = w.file("keys/none") }},
		{"store_s3.secret_key_file", func(_ *settings, b *bucket) { b.SecretKeyFile = w.file("keys/open") }},
		{"the key alone, on one line", func(_ *settings, b *bucket) { b.SecretKeyFile = w.file("keys/two") }},
		{"store_s3.authorities", func(_ *settings, b *bucket) { b.Authorities = w.file("keys/access") }},
	} {
		b, s := genuine, w.s
		s.StoreS3 = &b
		test.change(&s, &b)
		err := s.check()
		if err == nil {
			_, err = open(s, slog.New(slog.DiscardHandler))
		}
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v; want it to say %q", err, test.want)
		}
	}
	good(t, os.WriteFile(w.file("keys/secret"), []byte("another"), 0o600))
	d := w.open()
	w.deposit(d, bundle("one", "delivered"))
	if err := d.keeper.Pass(t.Context()); err == nil || !strings.Contains(err.Error(), "the store refuses the key") {
		t.Errorf("with a wrong secret: %v", err)
	}
	good(t, os.WriteFile(w.file("c.toml"), []byte("store_s3 = 1\n"), 0o600))
	if _, err := readSettings(w.file("c.toml"), "conserve"); err == nil {
		t.Error("a store_s3 that is no table is taken")
	}
}
