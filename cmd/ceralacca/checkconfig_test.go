package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/internal/app/apptest"
	"github.com/ceralacca/ceralacca/internal/conformance"
)

// A line of the sender map that stops the daemon is a line of check-config.
func TestCheckConfigReadsTheSenderMap(t *testing.T) {
	w := apptest.New(t)
	text, err := os.ReadFile(w.Config)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(t, "ceralacca.toml", append(text, fmt.Sprintf("[submission]\nsender_map = %q\n", w.Path("senders"))...))
	w.Write(t, "senders", []byte("# who\nmario@alfa.example info@alfa.example\nluigi@alfa.example nothing\n"))
	command(t, "check-config", w.Config).says(t, "a broken line", exitWrong,
		w.Path("senders")+":3:1: \"nothing\" of login \"luigi@alfa.example\" is not an address; write luigi@alfa.example box@alfa.example\n",
		"(warning)")
	w.Write(t, "senders", []byte("mario@alfa.example info@alfa.example\n"))
	command(t, "check-config", w.Config).says(t, "a good map", exitGood, "in order", "(warning)")
}

// A published file without us waits for a person while the version in use knows us; a reload passes, so check-config does.
func TestCheckConfigAsksTheDirectoryInUse(t *testing.T) {
	conformance.Covers(t, "C185")
	w := apptest.New(t)
	version, err := os.ReadFile(w.Path("igpec.p7m"))
	if err != nil {
		t.Fatal(err)
	}
	w.SignDirectory(t, "beta.example", w.Signing)
	command(t, "check-config", w.Config).says(t, "nothing kept", exitWrong, "does not give us the domain alfa.example", "(warning)")
	keepVersion(t, w, time.Now(), version)
	command(t, "check-config", w.Config).says(t, "the version in use knows us", exitGood, "in order", "does not give us the domain alfa.example")
}

// A Postfix that serves us and gives up before the agent does is a fault; any other is not looked at.
func TestCheckConfigLooksAtQueueLifetimes(t *testing.T) {
	if _, err := exec.LookPath("postconf"); err != nil {
		t.Skip("Postfix is not installed")
	}
	w := apptest.New(t)
	dir := t.TempDir()
	t.Setenv("MAIL_CONFIG", dir)
	main := filepath.Join(dir, "main.cf")
	const ours = "ceralacca-agent unix - - n - - lmtp\n"
	const large = "message_size_limit = 200000000\n"
	for _, test := range []struct {
		name, main, master string
		code               int
		says               string
	}{
		{"two days", "maximal_queue_lifetime = 2d\n", ours, exitGood, "in order"},
		{"the default", "", ours, exitGood, "in order"},
		{"a day", "# x\nmaximal_queue_lifetime = 24h\n", ours, exitWrong, main + ":2:1: maximal_queue_lifetime is 24h"},
		{"bounces", "bounce_queue_lifetime = 0\n", ours, exitWrong, main + ":1:1: bounce_queue_lifetime is 0"},
		{"another Postfix", "maximal_queue_lifetime = 1h\n", "", exitGood, "in order"},
	} {
		for name, text := range map[string]string{"main.cf": test.main + large + "compatibility_level = 3.6\n", "master.cf": test.master} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		command(t, "check-config", w.Config).says(t, test.name, test.code, test.says, "(warning)")
	}
}

// TestCheckConfigLooksAtLimits: fewer than 50 recipients, or messages that do not fit once they are sealed, are faults wherever
// Postfix has the limit; so is a Postfix that would expand aliases of certified domains.
func TestCheckConfigLooksAtLimits(t *testing.T) {
	conformance.Covers(t, "C012", "C247")
	if _, err := exec.LookPath("postconf"); err != nil {
		t.Skip("Postfix is not installed")
	}
	w := apptest.New(t)
	dir := t.TempDir()
	t.Setenv("MAIL_CONFIG", dir)
	main, master := filepath.Join(dir, "main.cf"), filepath.Join(dir, "master.cf")
	kept := filepath.Join(dir, "as-written")
	for name, text := range map[string]string{"as-written": "/^(.+@alfa[.]example)$/ $1\n", "mine": "info@alfa.example gino@gamma.example\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const large, small = "message_size_limit = 200000000\n", "message_size_limit = 150000000\n"
	services := func(options string) string {
		return "ceralacca-agent unix - - n - - lmtp\n# smtp\n127.0.0.1:2525 inet n - n - - smtpd\n  -o cleanup_service_name=ceralacca-cleanup\n" +
			options + "ceralacca-cleanup unix n - n - 0 cleanup\n"
	}
	for name, test := range map[string]struct {
		main, master string
		code         int
		says         string
	}{
		"in order":           {large + "virtual_alias_maps = regexp:" + kept + " texthash:" + dir + "/mine\n", services(""), exitGood, "in order"},
		"no maps":            {large + "virtual_alias_maps =\n", services("  -o smtpd_recipient_limit=50\n"), exitGood, "in order"},
		"recipients":         {large + "smtpd_recipient_limit = 49\n", services(""), exitWrong, main + ":2:1: smtpd_recipient_limit is 49: the law guarantees 50 recipients of a message; write smtpd_recipient_limit = 50 or more\n"},
		"of a listener":      {large, services("  -o smtpd_recipient_limit=10\n"), exitWrong, master + ":5:1: smtpd_recipient_limit is 10: the law"},
		"per minute":         {large, services("  -o { smtpd_client_recipient_rate_limit = 20 }\n"), exitWrong, master + ":5:1: smtpd_client_recipient_rate_limit is 20: the law"},
		"size":               {small, services(""), exitWrong, main + ":1:1: message_size_limit is 150000000: less than limits.hard_size and a quarter, so that what we take would be refused when it is sealed; write message_size_limit = 196608000\n"},
		"size of a listener": {large, services("  -o message_size_limit=31457280\n"), exitWrong, master + ":5:1: message_size_limit is 31457280: less"},
		"expanded":           {large + "virtual_alias_maps = texthash:" + dir + "/mine regexp:" + kept + "\n", services(""), exitWrong, main + ":2:1: virtual_alias_maps begins with texthash:" + dir + "/mine, which does not leave addresses of alfa.example as they are"},
		"expanded by -o":     {large, services("") + "  -o virtual_alias_maps=texthash:" + dir + "/mine\n", exitWrong, master + ":6:1: virtual_alias_maps begins with texthash"},
	} {
		t.Run(name, func(t *testing.T) {
			for name, text := range map[string]string{"main.cf": test.main + "compatibility_level = 3.6\n", "master.cf": test.master} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			command(t, "check-config", w.Config).says(t, name, test.code, test.says, "(warning)")
		})
	}
}

// TestCheckConfigReadsTheAliases: an alias that leads outside, or to what is no address, is a line of check-config.
func TestCheckConfigReadsTheAliases(t *testing.T) {
	conformance.Covers(t, "C012")
	if _, err := exec.LookPath("postmap"); err != nil {
		t.Skip("Postfix is not installed")
	}
	w := apptest.New(t)
	dir := t.TempDir()
	t.Setenv("MAIL_CONFIG", dir)
	for _, name := range []string{"main.cf", "master.cf"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(w.Config)
	if err != nil {
		t.Fatal(err)
	}
	file := w.Path("aliases")
	w.Write(t, "ceralacca.toml", append(text, fmt.Sprintf("[incoming]\nalias_maps = [\"texthash:%s\"]\n", file)...))
	w.Write(t, "aliases", []byte("# all\ninfo@alfa.example mario@alfa.example\nfuori@alfa.example mario@alfa.example, x@gamma.example\nx@ordinario.example y@gamma.example\n"))
	command(t, "check-config", w.Config).says(t, "outside", exitWrong, file+
		":3:1: alias fuori@alfa.example: x@gamma.example is in no certified domain: every message to fuori@alfa.example would be a non-delivery; write addresses", "(warning)")
	w.Write(t, "aliases", []byte("info@alfa.example |/bin/cat\n"))
	command(t, "check-config", w.Config).says(t, "a command", exitWrong, file+":1:1: alias info@alfa.example: alias target \"|/bin/cat\"", "(warning)")
	w.Write(t, "aliases", []byte("info@alfa.example mario@alfa.example\n"))
	command(t, "check-config", w.Config).says(t, "good", exitGood, "in order", "(warning)")
}
