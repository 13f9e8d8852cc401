package app_test

import (
	"log/slog"
	"os"
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
		"name of another":     {func(t *testing.T, w *apptest.World) { alter(t, w, `name = "Alfa PEC"`, `name = "Beta PEC"`) }, []string{":8:1: key.cert: |Beta PEC", ":13:1: directory.file: |our name is"}},
		"domain of another":   {func(t *testing.T, w *apptest.World) { w.SignDirectory(t, "beta.example", w.Signing) }, []string{":13:1: directory.file: |does not give us the domain alfa.example"}},
		"certificate revoked": {revoke, []string{":8:1: key.cert: |revoked"}},
		"key of another":      {otherKey, []string{":8:1: key.cert: |key"}},
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
