//go:build cgo

package main

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/plugins/check"
	"github.com/ceralacca/ceralacca/plugins/host"
)

// Keys are found by label, by id or by both; certificates come from a file or from the token; all that fit are listed, in the
// order of the configuration, and sign.
func TestKeysInTheToken(t *testing.T) {
	t.Parallel()
	conformance.Covers(t, "C225")
	d := newDevice(t)
	first, second, third := d.pair(), d.pair(), d.pair()
	d.put("first", "01", first)
	d.put("same", "02", second)
	d.put("same", "a3", third)
	if err := d.ImportCertificate("any", "02", second.Cert.Raw); err != nil {
		t.Fatal(err)
	}
	d.want("id", "A3", "label", "same", "certificate", d.file("third", third))
	d.want("id", "02")
	d.want("label", "first", "certificate", d.file("first", first))
	key := d.started()
	entries, err := key.Certificates(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := [][]byte{third.Cert.Raw, second.Cert.Raw, first.Cert.Raw}
	if len(entries) != len(want) {
		t.Fatalf("%d keys, want %d", len(entries), len(want))
	}
	for i, entry := range entries {
		if string(entry.Chain[0]) != string(want[i]) {
			t.Errorf("key %d, %q, has another certificate", i, entry.ID)
		}
		if err := signs(t, key, entry, "text"); err != nil {
			t.Errorf("%s: %v", entry.ID, err)
		}
	}
	if said := problem(t, key); said != "" {
		t.Errorf("it is not well: %s", said)
	}
}

// A key that is not that of its certificate, or that is not clear, is never used, and the others are; what is wrong is said.
func TestOnlyKeysThatFit(t *testing.T) {
	t.Parallel()
	conformance.Covers(t, "C225")
	d := newDevice(t)
	good, other := d.pair(), d.pair()
	d.put("good", "01", good)
	d.put("other", "02", other)
	d.put("twin", "03", other)
	d.put("twin", "04", good)
	d.want("label", "other", "certificate", d.file("good", good)) // the certificate of another key
	d.want("label", "gone", "certificate", d.file("other", other))
	d.want("label", "twin", "certificate", d.file("other", other))
	d.want("label", "good", "certificate", d.file("good", good))
	key := d.started()
	entries, err := key.Certificates(t.Context())
	if err != nil || len(entries) != 1 || entries[0].ID != `label "good"` {
		t.Fatalf("listed: %v, %v; want good alone", entries, err)
	}
	said := problem(t, key)
	for _, want := range []string{`the key with label "other": it is not that of its certificate`,
		`the key with label "gone": the token has no such RSA private key`, `the key with label "twin": the token has 2 such private keys`} {
		if !strings.Contains(said, want) {
			t.Errorf("it does not say %q: %s", want, said)
		}
	}
	if _, err := key.Sign(t.Context(), `label "other"`, make([]byte, 32)); !errors.Is(err, host.ErrUnable) {
		t.Errorf("signing with a key that does not fit: %v", err)
	}
	d.put("gone", "05", other) // it comes without a restart
	if entries, err := key.Certificates(t.Context()); err != nil || len(entries) != 2 {
		t.Errorf("after the key was put into the token: %d keys, %v", len(entries), err)
	}
}

// A key that nobody has certified is listed with a certificate that it signed itself, which nobody would take for ours, so that it can
// sign the request for one; the one that comes into the token takes its place.
func TestKeyWithoutCertificate(t *testing.T) {
	t.Parallel()
	conformance.Covers(t, "C225")
	d := newDevice(t)
	if err := d.Generate("next", "0b"); err != nil { // as an operator makes it
		t.Fatal(err)
	}
	pair := d.pair()
	d.put("other", "0c", pair)
	d.want("label", "next")
	d.want("label", "other")
	key := d.started()
	entries, err := key.Certificates(t.Context())
	if err != nil || len(entries) != 2 {
		t.Fatalf("%d keys, %v; want both", len(entries), err)
	}
	for _, entry := range entries {
		cert, err := x509.ParseCertificate(entry.Chain[0])
		if err != nil || len(entry.Chain) != 1 || cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature) != nil {
			t.Errorf("%s: %d certificates, not one that it signed itself, %v", entry.ID, len(entry.Chain), err)
		}
		if time.Now().Before(cert.NotAfter) || len(cert.EmailAddresses) > 0 {
			t.Errorf("%s: a certificate that may be taken for ours", entry.ID)
		}
		if err := signs(t, key, entry, "text"); err != nil {
			t.Errorf("%s: %v", entry.ID, err)
		}
	}
	if said := problem(t, key); said != "" {
		t.Errorf("it is not well: %s", said)
	}
	if err := d.ImportCertificate("any", "0c", pair.Cert.Raw); err != nil {
		t.Fatal(err)
	}
	if entries, err = key.Certificates(t.Context()); err != nil || len(entries) != 2 || !bytes.Equal(entries[1].Chain[0], pair.Cert.Raw) {
		t.Errorf("the certificate that came into the token is not listed: %d keys, %v", len(entries), err)
	}
}

// A configuration that cannot work is refused with a sentence that names the key and what to write.
func TestConfigurationFaults(t *testing.T) {
	t.Parallel()
	other := filepath.Join(t.TempDir(), "nothing")
	for name, test := range map[string]struct {
		change func(*device)
		want   string
	}{
		"no module":     {func(d *device) { d.config["module"] = other }, "module: stat " + other},
		"open module":   {func(d *device) { d.config["module"] = d.loose("m.so", 0o666) }, "can be written by others"},
		"no PIN":        {func(d *device) { _ = os.Remove(d.PINFile) }, "pin_file: open " + "/"},
		"open PIN":      {func(d *device) { _ = os.Chmod(d.PINFile, 0o644) }, "open to group or others"},
		"PIN of others": {func(d *device) { _ = os.Chown(d.PINFile, 1, -1) }, "pin_file: "},
		"closed folder": {func(d *device) {
			_ = os.Chown(filepath.Dir(d.PINFile), 1, -1)
			_ = os.Chmod(filepath.Dir(d.PINFile), 0o755)
		}, "must be able to write there"},
		"certificate": {func(d *device) { d.want("label", "x", "certificate", other) }, "keys, number 2: certificate: "},
		"twice":       {func(d *device) { d.want("label", "first") }, `keys has label "first" twice`},
		"no key":      {func(d *device) { d.config["keys"] = []any{} }, "keys"},
		"no name":     {func(d *device) { d.config["keys"] = []any{map[string]any{}} }, "label"},
		"odd id":      {func(d *device) { d.want("id", "1") }, "id"},
		"odd timeout": {func(d *device) { d.config["answer_timeout"] = "soon" }, "answer_timeout"},
		"unknown":     {func(d *device) { d.config["slot"] = 1 }, "slot"},
	} {
		t.Run(name, func(t *testing.T) {
			if os.Geteuid() != 0 && strings.Contains(name, "of others") {
				t.Skip("only root can give files away")
			}
			t.Parallel()
			d := newDevice(t)
			d.want("label", "first")
			test.change(d)
			_, err := d.plugged(quiet())
			if err == nil || !errors.Is(err, host.ErrConfiguration) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v; want %q", err, test.want)
			}
		})
	}
}

func (d *device) loose(name string, mode os.FileMode) string {
	path := filepath.Join(d.dir, name)
	if err := errors.Join(os.WriteFile(path, nil, mode), os.Chmod(path, mode)); err != nil {
		d.t.Fatal(err)
	}
	return path
}

// Token and module that are not there are said in a sentence that names them.
func TestNoToken(t *testing.T) {
	t.Parallel()
	d := newDevice(t)
	d.want("label", "first")
	d.config["token"] = "another"
	key := d.started()
	_, err := key.Certificates(t.Context())
	if err == nil || !strings.Contains(err.Error(), `no token with the label "another"; there are ["ceralacca"`) {
		t.Errorf("another token: %v", err)
	}
	d.config["token"], d.config["module"] = d.Label, d.loose("m.so", 0o644)
	_, err = d.started().Certificates(t.Context())
	if err == nil || !strings.Contains(err.Error(), "cannot be loaded") {
		t.Errorf("a module that is none: %v", err)
	}
}

// TestPluginCheck: the plug-in obeys every rule of the contract.
func TestPluginCheck(t *testing.T) {
	t.Parallel()
	d, _, _ := simple(t)
	path, err := builtPlugin()
	if err != nil {
		t.Fatal(err)
	}
	o := check.Options{Path: path, Config: d.config, Log: quiet()}
	if os.Geteuid() == 0 {
		o.Isolation.User = "nobody"
	}
	failed, err := check.Run(t.Context(), o, func(l check.Line) {
		t.Log(l)
		if l.Err != nil {
			t.Error(l)
		}
	})
	if failed != 0 || err != nil {
		t.Errorf("%d lines fail, %v", failed, err)
	}
}

// TestSchema: every key has a description.
func TestSchema(t *testing.T) {
	var parsed struct {
		Properties map[string]struct{ Description string }
	}
	if err := json.Unmarshal([]byte(schema), &parsed); err != nil {
		t.Fatal(err)
	}
	for name, property := range parsed.Properties {
		if property.Description == "" {
			t.Errorf("%s has no description", name)
		}
	}
}
