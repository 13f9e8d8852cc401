package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ceralacca/ceralacca/plugins/host"
)

// buildExample makes the Go example in a folder that every user may pass.
func buildExample(t *testing.T) (dir, path string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "cp")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(dir, "eicar")
	if out, err := exec.Command("go", "build", "-o", path, "../../plugins/examples/eicar").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return dir, path
}

func invoke(t *testing.T, args ...string) (code int, out string) {
	t.Helper()
	var b bytes.Buffer
	code = run(t.Context(), args, &b, &b)
	return code, b.String()
}

// What a plug-in does not take is named by file, line and column, before any mail flows.
func TestAPluginsConfigurationIsCheckedByItsSchema(t *testing.T) {
	dir, path := buildExample(t)
	sum, err := host.Checksum(path)
	if err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile("../../internal/config/testdata/good.toml")
	if err != nil {
		t.Fatal(err)
	}
	good = bytes.Replace(good, []byte(`mode = "none"`), []byte(`mode = "plugins"`), 1)
	lines := strings.Count(string(good), "\n")
	for _, test := range []struct {
		sha, config string
		code        int
		says        string
	}{
		{sum, "word = \"secret\"", exitGood, "eicar            antivirus    eicar 1.0.0, needs content; sha256 agrees; "},
		{sum, "word = 3", exitWrong, fmt.Sprintf("c.toml:%d:1: plugins.eicar.config: word does not fit", lines+6)},
		{sum, "wurd = \"x\"", exitWrong, fmt.Sprintf("c.toml:%d:1: plugins.eicar.config: wurd is not a key of this plug-in", lines+6)},
		{strings.Repeat("0", 64), "", exitWrong, fmt.Sprintf("c.toml:%d:1: plugins.eicar: the plug-in's file is not to be trusted", lines+3)},
	} {
		file := filepath.Join(dir, "c.toml")
		section := fmt.Sprintf("[plugins.eicar]\npath = %q\nsha256 = %q\n%s\n[plugins.eicar.config]\n%s\n", path, test.sha, user(), test.config)
		if err := os.WriteFile(file, append(good, section...), 0o600); err != nil {
			t.Fatal(err)
		}
		if code, out := invoke(t, "plugin", "list", "--config", file); code != test.code || !strings.Contains(out, test.says) {
			t.Errorf("plugin list with %q: %d\n%s\nwant %d and %q", test.config, code, out, test.code, test.says)
		}
		_, out := invoke(t, "check-config", file)
		if test.code == exitWrong && !strings.Contains(out, test.says) {
			t.Errorf("check-config with %q:\n%s\nwant %q", test.config, out, test.says)
		}
		if test.code == exitGood && strings.Contains(out, "plugins.eicar") {
			t.Errorf("check-config:\n%s\nwant nothing of the plug-in", out)
		}
	}
}

// user is the line by which root names another.
func user() string {
	if os.Geteuid() == 0 {
		return `user = "nobody"`
	}
	return "network = true"
}

func TestPluginDescribeAndCheck(t *testing.T) {
	dir, path := buildExample(t)
	if code, out := invoke(t, "plugin", "describe", path); code != exitGood || !strings.Contains(out, `"kind": "antivirus"`) ||
		!strings.Contains(out, `"sha256": "`) {
		t.Errorf("plugin describe: %d\n%s", code, out)
	}
	file := filepath.Join(dir, "eicar.toml")
	if err := os.WriteFile(file, []byte("# a word\nword = 3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out := invoke(t, "plugin", "check", "--config", file, path); code != exitUsage || !strings.Contains(out, "eicar.toml:2:1: word does not fit") {
		t.Errorf("plugin check with a wrong configuration: %d\n%s", code, out)
	}
	var report struct {
		OK     bool
		Failed int
		Checks []struct{ Name, Result, Why, Advice string }
	}
	code, out := invoke(t, "plugin", "check", "--json", "/bin/true")
	if err := json.Unmarshal([]byte(out), &report); err != nil || code != exitWrong || report.OK || report.Failed != 1 || len(report.Checks) < 15 ||
		report.Checks[1].Result != "fail" || report.Checks[1].Why == "" || report.Checks[1].Advice == "" || report.Checks[2].Result != "skip" {
		t.Errorf("plugin check --json /bin/true: %d, %v\n%s", code, err, out)
	}
	if code, out := invoke(t, "plugin", "check", filepath.Join(dir, "none")); code != exitUsage {
		t.Errorf("plugin check of nothing: %d\n%s", code, out)
	}
	if code, out := invoke(t, "plugin", "describe", "/bin/true"); code != exitWrong || !strings.Contains(out, "does not fit") {
		t.Errorf("plugin describe /bin/true: %d\n%s", code, out)
	}
}

func TestPluginNew(t *testing.T) {
	t.Chdir(t.TempDir())
	if code, out := invoke(t, "plugin", "new", "--kind", "notification", "mine"); code != exitGood {
		t.Fatalf("plugin new: %d\n%s", code, out)
	}
	if _, err := os.Stat("mine/main.go"); err != nil {
		t.Error(err)
	}
	for _, args := range [][]string{{"--kind", "notification", "mine"}, {"--kind", "oracle", "x"}, {"--kind", "key", "A b"}, {"x"}} {
		if code, out := invoke(t, append([]string{"plugin", "new"}, args...)...); code != exitUsage {
			t.Errorf("plugin new %q: %d\n%s", args, code, out)
		}
	}
}
