package app_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab/pki"
	"github.com/ceralacca/ceralacca/internal/app"
	"github.com/ceralacca/ceralacca/internal/app/apptest"
	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/internal/config"
	"github.com/ceralacca/ceralacca/internal/conformance"
)

// alter changes the configuration of a world.
func alter(t *testing.T, w *apptest.World, old, replacement string) {
	t.Helper()
	text, err := os.ReadFile(w.Config)
	if err != nil || !strings.Contains(string(text), old) {
		t.Fatalf("%q is not in the configuration (%v)", old, err)
	}
	w.Write(t, "ceralacca.toml", []byte(strings.Replace(string(text), old, replacement, 1)))
}

// What would keep the daemons from starting is told before they start, at its place in the file.
func TestCheckContents(t *testing.T) {
	conformance.Covers(t, "C003", "C233", "C234")
	garbage := func(name string) func(*testing.T, *apptest.World) {
		return func(t *testing.T, w *apptest.World) { w.Write(t, name, []byte("nothing of the kind\n")) }
	}
	for name, test := range map[string]struct {
		breakIt func(*testing.T, *apptest.World)
		want    []string // what each line begins with after the file, and has
	}{
		"nothing":        {func(*testing.T, *apptest.World) {}, nil},
		"no certificate": {garbage("cert.pem"), []string{":8:1: key.cert: |no certificate"}},
		"no key":         {garbage("key.pem"), []string{":8:1: key.cert: |key.pem"}},
		"no authority":   {func(t *testing.T, w *apptest.World) { w.Write(t, "a", []byte("x")); alter(t, w, "/ca.pem", "/a") }, []string{":10:1: key.ca: |no certificate"}},
		"no list":        {garbage("crl.pem"), []string{":11:1: key.crl: |crl.pem"}},
		"a short secret": {garbage("hmac"), []string{":37:1: hmac.key: |need 32"}},
		"no directory":   {garbage("igpec.p7m"), []string{":13:1: directory.file: |malformed"}},
		"no client":      {garbage("out.pem"), []string{":22:1: agent.out_cert: |PEM"}},
		"two at once":    {func(t *testing.T, w *apptest.World) { garbage("crl.pem")(t, w); garbage("hmac")(t, w) }, []string{":11:1: key.crl|", ":37:1: hmac.key|"}},
		"address of another": {func(t *testing.T, w *apptest.World) {
			alter(t, w, "posta-certificata@alfa", "posta-certificata@other.alfa")
		}, []string{":8:1: key.cert: |rfc822Name posta-certificata@other.alfa.example"}},
		"name of another":      {func(t *testing.T, w *apptest.World) { alter(t, w, `name = "Alfa PEC"`, `name = "Beta PEC"`) }, []string{":8:1: key.cert: |Beta PEC", ":13:1: directory.file: |our name is"}},
		"domain of another":    {func(t *testing.T, w *apptest.World) { w.SignDirectory(t, "beta.example", w.Signing) }, []string{":13:1: directory.file: |does not give us the domain alfa.example"}},
		"certificate revoked":  {revoke, []string{":8:1: key.cert: |revoked"}},
		"key of another":       {otherKey, []string{":8:1: key.cert: |key"}},
		"a good next pair":     {nextPair(0, 24*time.Hour), nil},
		"next is not yet good": {nextPair(24*time.Hour, 48*time.Hour), nil},
		"next ended":           {nextPair(-48*time.Hour, -24*time.Hour), nil}, // the one before the last rotation
		"next without its key": {func(t *testing.T, w *apptest.World) {
			nextPair(0, time.Hour)(t, w)
			garbage("next-key.pem")(t, w)
		}, []string{":8:1: key.next_cert: |next-key.pem"}},
		"next of another": {func(t *testing.T, w *apptest.World) {
			nextPair(0, time.Hour)(t, w)
			alter(t, w, "posta-certificata@alfa", "posta-certificata@other.alfa")
		}, []string{":8:1: key.next_cert: |rfc822Name", ":10:1: key.cert: |rfc822Name"}},
		"a key in a plug-in": {inPlugin, nil},
		"a key in a plug-in, of another": {func(t *testing.T, w *apptest.World) {
			inPlugin(t, w)
			alter(t, w, "posta-certificata@alfa", "posta-certificata@other.alfa")
		}, []string{":9:1: key.cert: |rfc822Name"}},
		"a key in a plug-in, no certificate": {func(t *testing.T, w *apptest.World) {
			inPlugin(t, w)
			garbage("cert.pem")(t, w)
		}, []string{":9:1: key.cert: |no certificate"}},
		"a key in a plug-in, unknown to the directory": {func(t *testing.T, w *apptest.World) {
			inPlugin(t, w)
			w.SignDirectory(t, "beta.example", w.Signing)
		}, []string{":13:1: directory.file: |does not give us the domain alfa.example"}},
		"nothing to publish": {func(t *testing.T, w *apptest.World) {
			published(t, w)
			garbage("further.pem")(t, w)
			garbage("test.pem")(t, w)
			garbage("signer.pem")(t, w)
		}, []string{":44:1: publish.certs: |further.pem", ":45:1: publish.signer_cert: |signer.pem", ":51:1: environments.test.certs: |test.pem"}},
	} {
		w := apptest.New(t)
		test.breakIt(t, w)
		conf, err := config.Load(w.Config)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, _ := app.CheckContents(t.Context(), conf, app.Deps{Clock: clock.System{}, Log: slog.New(slog.DiscardHandler)})
		if len(got) != len(test.want) {
			t.Errorf("%s: %d faults, want %d:\n%v", name, len(got), len(test.want), got)
			continue
		}
		for i, fault := range got {
			begin, has, _ := strings.Cut(test.want[i], "|")
			line := fault.String()
			if !strings.HasPrefix(line, w.Config+begin) || !strings.Contains(line, has) || !strings.Contains(line, "; write ") || strings.Contains(line, "\n") {
				t.Errorf("%s: %q; want %s", name, line, test.want[i])
			}
		}
	}
}

func revoke(t *testing.T, w *apptest.World) {
	t.Helper()
	list, err := w.Authority.CRL(w.Signing.Cert)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(t, "crl.pem", list)
}

func otherKey(t *testing.T, w *apptest.World) {
	t.Helper()
	other, err := pki.NewAuthority("Other CA", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	key, err := other.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	w.Write(t, "key.pem", key)
}

// nextPair configures a next certificate that is good between two instants from now.
func nextPair(from, to time.Duration) func(*testing.T, *apptest.World) {
	return func(t *testing.T, w *apptest.World) {
		t.Helper()
		now := time.Now()
		next, err := w.Authority.SigningBetween("Alfa PEC", "posta-certificata@alfa.example", now.Add(from-time.Minute), now.Add(to))
		if err != nil {
			t.Fatal(err)
		}
		key, err := next.KeyPEM()
		if err != nil {
			t.Fatal(err)
		}
		w.Write(t, "next.pem", next.CertPEM())
		w.Write(t, "next-key.pem", key)
		alter(t, w, "[key]\n", fmt.Sprintf("[key]\nnext_cert = %q\nnext_key = %q\n", w.Path("next.pem"), w.Path("next-key.pem")))
	}
}

// inPlugin says that a plug-in has the key, which is not asked here.
func inPlugin(t *testing.T, w *apptest.World) {
	t.Helper()
	alter(t, w, "[key]\n", "[key]\nplugin = \"hsm\"\n")
	alter(t, w, fmt.Sprintf("\nkey = %q\n", w.Path("key.pem")), "\n")
	text, err := os.ReadFile(w.Config)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(t, filepath.Base(w.Config), append(text, "[plugins.hsm]\npath = \"/usr/lib/hsm\"\nsha256 = \""+strings.Repeat("0", 64)+"\"\n"...))
}

// published configures what directory export publishes, with no file there.
func published(t *testing.T, w *apptest.World) {
	t.Helper()
	text, err := os.ReadFile(w.Config)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(t, filepath.Base(w.Config), append(text, strings.ReplaceAll(strings.ReplaceAll(`[publish]
ldif_url = "https://www.alfa.example/alfa.ldif.p7m"
certs = ["@/further.pem"]
signer_cert = "@/signer.pem"
signer_key = "@/key.pem"
[environments.test]
unit = "Test"
service_mailbox = "ricevuteATtest.example"
domains = ["test.example"]
certs = ["@/test.pem"]
`, "@", w.Dir), "AT", "@")...))
}
