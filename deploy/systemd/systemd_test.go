package systemd_test

import (
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/ceralacca/ceralacca/internal/config"
)

// unit is a unit file: the values of each setting, in order.
type unit map[string][]string

func read(t *testing.T, name string) unit {
	t.Helper()
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	u := unit{}
	for line := range strings.Lines(string(raw)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(key, "#") {
			u[key] = append(u[key], value)
		}
	}
	return u
}

func (u unit) one(key string) string { return strings.Join(u[key], "\n") }

// The units run what the binary offers, with the places of the sample configuration, and one that ends does not take
// the sockets of the other with it.
func TestUnits(t *testing.T) {
	sample, err := config.Load("../ceralacca.toml")
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"milter", "lda"} {
		u := read(t, "ceralacca-"+command+".service")
		for key, want := range map[string]string{
			"ExecStart":                "/usr/local/bin/ceralacca " + command,
			"ExecReload":               "/usr/local/bin/ceralacca check-config " + config.DefaultPath + "\n/bin/kill -HUP $MAINPID",
			"RuntimeDirectory":         path.Base(path.Dir(sample.Agent.AdminSocket.Address)),
			"RuntimeDirectoryPreserve": "yes",  // both units have this folder
			"RuntimeDirectoryMode":     "0751", // plug-ins pass
			"Group":                    "postfix",
			"NoNewPrivileges":          "yes",
			"ProtectSystem":            "strict",
			"LimitCORE":                "0",
			"TimeoutStopSec":           "75s", // more than the minute of what is in hand
		} {
			if got := u.one(key); got != want {
				t.Errorf("%s: %s: got %q, want %q", command, key, got, want)
			}
		}
		// With that filter the kernel could not be asked about the clock, and everything would be deferred.
		if u.one("ProtectClock") == "yes" || !strings.Contains(u.one("SystemCallFilter"), "adjtimex") || u.one("CapabilityBoundingSet") != "" {
			t.Errorf("%s: the clock cannot be asked about, or can be set: %q, %q", command, u.one("ProtectClock"), u.one("SystemCallFilter"))
		}
		for _, key := range []string{"Wants", "After"} {
			if !strings.Contains(u.one(key), "time-sync.target") {
				t.Errorf("%s: %s: got %q, want time-sync.target", command, key, u.one(key))
			}
		}
		if got := u.one("Before"); !strings.Contains(got, "postfix.service") {
			t.Errorf("%s: Before: got %q, want Postfix", command, got)
		}
	}
	if got, want := "/var/lib/"+read(t, "ceralacca-lda.service").one("StateDirectory"), sample.Agent.State; got != want {
		t.Errorf("state: the unit may write to %q, the sample configuration says %q", got, want)
	}
}

// The drop-in for plug-ins gives what plugins/host asks of a daemon that is not root, for the user of the sample, and nothing
// that would let a daemon write more or look at more.
func TestDropInForPlugins(t *testing.T) {
	u := read(t, "plugins.conf")
	for key, want := range map[string]string{
		"AmbientCapabilities":   "CAP_SETUID CAP_SETGID",
		"CapabilityBoundingSet": "CAP_SETUID CAP_SETGID",
		"SupplementaryGroups":   pluginUser,
		"RestrictNamespaces":    "user net",
	} {
		if got := u.one(key); got != want {
			t.Errorf("%s: got %q, want %q", key, got, want)
		}
	}
	if len(u) != 4 {
		t.Errorf("the drop-in has %d settings, want 4: %v", len(u), u)
	}
	sample, err := os.ReadFile("../ceralacca.toml")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(sample), `user = "`+pluginUser+`"`) {
		t.Errorf("the sample configuration runs plug-ins as another user than %s", pluginUser)
	}
	users, err := os.ReadFile("plugins.sysusers")
	if err != nil || !strings.Contains(string(users), "\nu "+pluginUser+" - ") {
		t.Errorf("plugins.sysusers does not make %s: %v", pluginUser, err)
	}
}

// pluginUser is who plug-ins run as.
const pluginUser = "ceralacca-plugin"

// systemd itself finds nothing to say; where it is not installed TestUnits is all there is.
func TestSystemdVerifies(t *testing.T) {
	verify, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Log("systemd is not installed here")
		return
	}
	folder := t.TempDir()
	var args []string
	for _, command := range []string{"milter", "lda"} {
		raw, err := os.ReadFile("ceralacca-" + command + ".service")
		if err != nil {
			t.Fatal(err)
		}
		// The program need not be installed.
		text := strings.ReplaceAll(string(raw), "/usr/local/bin/ceralacca", "/bin/true")
		file := filepath.Join(folder, "ceralacca-"+command+".service")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		args = append(args, file)
		dropIn, err := os.ReadFile("plugins.conf")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(file+".d", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(file+".d", "plugins.conf"), dropIn, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"ceralacca-sms-usage.service", "ceralacca-sms-usage.timer"} {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(folder, name)
		if err := os.WriteFile(file, raw, 0o644); err != nil {
			t.Fatal(err)
		}
		args = append(args, file)
	}
	out, err := exec.Command(verify, append([]string{"verify", "--man=no"}, args...)...).CombinedOutput()
	if err != nil || strings.Contains(string(out), "ceralacca") {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

// What doveadm prints is handed over to the plug-in, and when doveadm fails for one mailbox the others are not lost: the unit
// fails afterwards. When the plug-in's program fails, so does the unit.
func TestUsageOfMailboxes(t *testing.T) {
	raw, err := os.ReadFile("ceralacca-sms-usage.service")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(raw), "ExecStart=/bin/sh -c '")
	text, _, found := strings.Cut(text, "'\n")
	if !found || !strings.Contains(text, "/usr/lib/ceralacca/plugins/sms quota-usage --state /var/lib/ceralacca-sms ") {
		t.Fatalf("the unit has another command than this test knows: %q", text)
	}
	for want, codes := range map[int][2]int{0: {0, 0}, 75: {75, 0}, 1: {0, 1}} {
		dir := t.TempDir()
		for name, script := range map[string]string{"doveadm": "echo \"printed $*\"; exit " + strconv.Itoa(codes[0]),
			"sms": "echo \"$*\" >" + dir + "/got; cat >>" + dir + "/got; exit " + strconv.Itoa(codes[1])} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Mkdir(filepath.Join(dir, "ceralacca-sms-usage"), 0o700); err != nil {
			t.Fatal(err)
		}
		// What systemd does to the text.
		line := strings.NewReplacer("\\\n", " ", "%t", dir, "$$", "$", "/usr/lib/ceralacca/plugins/sms", dir+"/sms").Replace(text)
		cmd := exec.Command("/bin/sh", "-c", line)
		cmd.Env = []string{"PATH=" + dir + ":/usr/bin:/bin"}
		_ = cmd.Run() // its code is looked at
		got, err := os.ReadFile(filepath.Join(dir, "got"))
		if code := cmd.ProcessState.ExitCode(); code != want || err != nil ||
			string(got) != "quota-usage --state /var/lib/ceralacca-sms\nprinted -f tab quota get -A\n" {
			t.Errorf("doveadm %d, sms %d: exit code %d, want %d; handed over %q, %v", codes[0], codes[1], code, want, got, err)
		}
	}
}
