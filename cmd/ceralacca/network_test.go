package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/internal/app/apptest"
	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/internal/mxcheck/dnstest"
)

// TestNetworkCheck: by exit code, whether all exchangers are ours, one is not, or nobody knows.
func TestNetworkCheck(t *testing.T) {
	conformance.Covers(t, "C230", "C231")
	w := apptest.New(t)
	command(t, "network", "check", "--config", w.Config).says(t, "without network.mx", exitUsage, "", "network.mx is not written")
	text, err := os.ReadFile(w.Config)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(t, filepath.Base(w.Config), append(text, "[network]\nmx = [\"mx.alfa.example\"]\n"...))
	exchanger := dnstest.Name{Addresses: []string{"192.0.2.1"}}
	for _, c := range []struct {
		name     string
		mx       []string
		fails    bool
		code     int
		out, err string
	}{
		{"ours", []string{"mx.alfa.example."}, false, exitGood, "alfa.example: in order\n", ""},
		{"a backup of somebody else", []string{"mx.alfa.example.", "backup.example."}, false, exitWrong, "its mail exchanger backup.example (192.0.2.1)", ""},
		{"nothing known", nil, true, exitUsage, "", "cannot be looked up"},
	} {
		server := dnstest.Start(t, dnstest.Zone{"alfa.example": {MX: c.mx, Fails: c.fails}, "mx.alfa.example": exchanger, "backup.example": exchanger})
		command(t, "network", "check", "--config", w.Config, "--resolver", server).says(t, c.name, c.code, c.out, c.err)
	}
}

func TestNetworkTLSPolicy(t *testing.T) {
	w := apptest.New(t)
	command(t, "network", "tls-policy", "--config", w.Config).says(t, "the table", exitGood, "alfa.example\tencrypt protocols=>=TLSv1.2\n", "")
	version, err := os.ReadFile(w.Path("igpec.p7m"))
	if err != nil {
		t.Fatal(err)
	}
	keepVersion(t, w, time.Now(), version)
	w.SignDirectory(t, "alfa.example\nmanagedDomains: new.example", w.Signing)
	command(t, "network", "tls-policy", "--config", w.Config).says(t, "of the directory in use, not of what is published", exitGood, "alfa.example\tencrypt protocols=>=TLSv1.2\n", "")
	if err := os.RemoveAll(w.Path("state/directory")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(w.Path("igpec.p7m")); err != nil {
		t.Fatal(err)
	}
	r := command(t, "network", "tls-policy", "--config", w.Config)
	if r.code != exitUsage || r.out != "" || !strings.Contains(r.err, "igpec.p7m") {
		t.Errorf("without a directory: %+v", r)
	}
}
