package postfix_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	files "github.com/ceralacca/ceralacca/deploy/postfix"
	"github.com/ceralacca/ceralacca/internal/config"
	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/internal/postfix"
)

// install writes the two instances of deploy/postfix as its README says, and returns their folders.
func install(t *testing.T) (first, out string) {
	t.Helper()
	dir := t.TempDir()
	first, out = filepath.Join(dir, "first"), filepath.Join(dir, "out")
	values := map[string]string{
		"@MAPS@": filepath.Join(first, "ceralacca"), "@OUT_MAPS@": filepath.Join(out, "ceralacca"), "@CERTIFIED_DOMAINS@": "alfa.example", "@CERTIFIED_PATTERNS@": "alfa[.]example",
		"@INTERNAL_DOMAIN@": "ceralacca.internal", "@OUT_LISTEN@": "127.0.0.1:10026", "@OUT_NEXTHOP@": "[127.0.0.1]:10026",
		"@SUBMISSION_SOCKET@": "/r/sub", "@INCOMING_SOCKET@": "/r/in", "@TLS_POLICY_SOCKET@": "/r/tls", "@MESSAGE_SIZE_LIMIT@": "200000000",
		"@MX_LISTEN@": "127.0.0.1:25", "@SUBMISSION_LISTEN@": "127.0.0.1:587", "@OUT_QUEUE@": dir, "@OUT_DATA@": dir, "@OUT_HOSTNAME@": "out.alfa.example",
	}
	for _, name := range []string{"TRANSPORT_MAPS", "SENDER_TRANSPORT_MAPS", "VIRTUAL_ALIAS_MAPS", "VIRTUAL_MAILBOX_DOMAINS", "RECIPIENT_RESTRICTIONS"} {
		values["@"+name+"@"] = ""
	}
	placeholder := regexp.MustCompile(`@[A-Z_]+@`)
	err := fs.WalkDir(files.Files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.Contains(name, "/") {
			return err
		}
		text, err := fs.ReadFile(files.Files, name)
		if err != nil {
			return err
		}
		target := filepath.Join(dir, path.Dir(name), "ceralacca", path.Base(name))
		if strings.HasSuffix(name, ".cf") {
			target = filepath.Join(dir, name)
		}
		filled := placeholder.ReplaceAllStringFunc(string(text), func(p string) string {
			if value, known := values[p]; known {
				return value
			}
			return "/x" // a socket or a file that nobody opens here
		})
		if name == "first/main.cf" {
			filled = "compatibility_level = 3.6\nmynetworks =\n" + filled
		}
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		return os.WriteFile(target, []byte(filled), 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
	return first, out
}

func settings(out string) *config.Config {
	return &config.Config{
		Provider: config.Provider{Domains: []string{"alfa.example"}}, Agent: config.Agent{Out: "127.0.0.1:10026"},
		Milter: config.Milter{
			SubmissionSocket: config.Endpoint{Network: "unix", Address: "/r/sub"}, IncomingSocket: config.Endpoint{Network: "unix", Address: "/r/in"},
		},
		Network: config.Network{Out: out, TLSPolicySocket: config.Endpoint{Network: "unix", Address: "/r/tls"}},
	}
}

// set changes a setting of an instance as an administrator does.
func set(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("postconf", args...).CombinedOutput(); err != nil {
		t.Fatalf("postconf %q: %v: %s", args, err, out)
	}
}

// TestNothingStandsBetween: what deploy/postfix installs is in order, and each setting that leads certified mail through a system
// of others, or copies or changes it, is named with its file.
func TestNothingStandsBetween(t *testing.T) {
	conformance.Covers(t, "C230")
	if _, err := exec.LookPath("postconf"); err != nil {
		t.Skip("Postfix is not installed")
	}
	others := []string{"beta.example", "pec.gamma.example"}
	first, out := install(t)
	if faults := postfix.Check(t.Context(), first, settings(out), others); len(faults) > 0 {
		t.Fatalf("deploy/postfix as it stands:\n%v", faults)
	}
	for _, c := range []struct {
		instance string // "first" or "out"
		args     []string
		route    string // a line for transport_maps
		says     string
	}{
		{"out", []string{"-e", "relayhost = [smarthost.example]"}, "", `relayhost is "[smarthost.example]": certified mail would pass a system of others`},
		{"out", []string{"-e", "sender_dependent_relayhost_maps = inline:{a=b}"}, "", "sender_dependent_relayhost_maps is"},
		{"out", []string{"-e", "smtp_fallback_relay = other.example"}, "", "smtp_fallback_relay is"},
		{"out", []string{"-P", "smtp/unix/smtp_fallback_relay=other.example"}, "", "master.cf:"},
		{"out", []string{"-e", "default_transport = smtp:other.example"}, "", "default_transport is"},
		{"out", []string{"-e", "default_transport = filter"}, "", "default_transport is"},
		{"out", []string{"-e", "content_filter = smtp:[127.0.0.1]:10024"}, "", "content_filter is"},
		{"out", []string{"-P", "127.0.0.1:10026/inet/content_filter=x:y"}, "", "content_filter is"},
		{"out", []string{"-e", "always_bcc = boss@alfa.example"}, "", "always_bcc is"},
		{"out", []string{"-e", "smtpd_milters = inet:127.0.0.1:9"}, "", "smtpd_milters is"},
		{"out", []string{"-e", "smtp_tls_policy_maps ="}, "", `smtp_tls_policy_maps is "": providers that are new`},
		{"out", []string{"-P", "smtp/unix/smtp_tls_policy_maps="}, "", "smtp/unix: smtp_tls_policy_maps"},
		{"out", []string{"-e", "smtp_tls_security_level = none"}, "", "smtp_tls_security_level is"},
		{"out", nil, "* smtp:[smarthost.example]", `leads * to "smtp:[smarthost.example]"`},
		{"out", nil, "beta.example smtp:[smarthost.example]", "leads beta.example to"},
		{"out", nil, ".gamma.example relay:[smarthost.example]", "leads .gamma.example to"},
		{"out", nil, "x@beta.example smtp:other.example", "leads x@beta.example to"},
		{"out", nil, "beta.example smtp:", ""},
		{"out", nil, "beta.example error:5.1.2 gone", ""},
		{"out", nil, "ordinary.example smtp:[smarthost.example]", ""},
		{"first", []string{"-e", "relayhost = [smarthost.example]"}, "", ""}, // for ordinary mail
		{"first", []string{"-e", "sender_dependent_default_transport_maps ="}, "", `has "" for @alfa.example`},
		{"first", []string{"-P", "ceralacca-out/unix/smtp_fallback_relay=other.example"}, "", "smtp_fallback_relay is"},
		{"first", []string{"-P", "ceralacca-cleanup/unix/always_bcc=boss@alfa.example"}, "", "ceralacca-cleanup/unix: always_bcc is"},
		{"first", []string{"-P", "127.0.0.1:25/inet/content_filter=amavis:[127.0.0.1]:10024"}, "", "content_filter is"},
		{"first", nil, "* smtp:[smarthost.example]", "would not leave by the outbound instance"},
		{"first", nil, "beta.example smtp:[mx.beta.example]", "would not leave by the outbound instance"},
		{"first", nil, "ordinary.example smtp:[smarthost.example]", ""},
	} {
		first, out := install(t)
		dir := map[string]string{"first": first, "out": out}[c.instance]
		if c.args != nil {
			set(t, append([]string{"-c", dir}, c.args...)...)
		}
		if c.route != "" {
			file, err := os.OpenFile(filepath.Join(dir, "ceralacca", "transport"), os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := file.WriteString(c.route + "\n"); err != nil {
				t.Fatal(err)
			}
			_ = file.Close()
		}
		faults := postfix.Check(t.Context(), first, settings(out), others)
		text := faults.Error()
		if c.says == "" && len(faults) == 0 {
			continue
		}
		if len(faults) != 1 || !strings.Contains(text, c.says) || !strings.HasPrefix(text, dir) || c.says == "" {
			t.Errorf("%s: %q %q:\n%s\nwant one fault of %s that says %q", c.instance, c.args, c.route, text, dir, c.says)
		}
	}
}

// TestOutIsFound: without a word in the configuration it is the instance that listens where the agent hands over; when there is
// none, that is said, and an instance that does not serve us is left alone.
func TestOutIsFound(t *testing.T) {
	if _, err := exec.LookPath("postconf"); err != nil {
		t.Skip("Postfix is not installed")
	}
	first, out := install(t)
	conf := settings("")
	if got := postfix.Check(t.Context(), first, conf, nil).Error(); !strings.Contains(got, "no instance in multi_instance_directories listens at agent.out (127.0.0.1:10026)") {
		t.Errorf("without an instance: %s", got)
	}
	set(t, "-c", first, "-e", "multi_instance_directories = "+out)
	set(t, "-c", out, "-e", "relayhost = x.example")
	if got := postfix.Check(t.Context(), first, conf, nil).Error(); !strings.Contains(got, "relayhost") {
		t.Errorf("with one that is found: %s", got)
	}
	conf.Network.Out = filepath.Join(out, "none")
	if got := postfix.Check(t.Context(), first, conf, nil).Error(); !strings.Contains(got, "postconf cannot read that instance") {
		t.Errorf("with one that is not there: %s", got)
	}
	if got := postfix.Check(t.Context(), out, conf, nil); len(got) > 0 {
		t.Errorf("of a Postfix that is not ours: %v", got)
	}
	if got := postfix.Check(t.Context(), t.TempDir(), conf, nil); len(got) > 0 {
		t.Errorf("without a Postfix: %v", got)
	}
	if err := os.Remove(filepath.Join(first, "master.cf")); err != nil {
		t.Fatal(err)
	}
	got := postfix.Check(t.Context(), first, conf, nil)
	if len(got) != 1 || !strings.Contains(got.Error(), "postconf cannot read that instance") || !strings.Contains(got.Error(), "master.cf") {
		t.Errorf("of a Postfix that postconf cannot read: %v", got)
	}
}
