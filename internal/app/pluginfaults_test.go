package app_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ceralacca/ceralacca/internal/app"
	"github.com/ceralacca/ceralacca/internal/app/apptest"
	"github.com/ceralacca/ceralacca/internal/config"
	"github.com/ceralacca/ceralacca/plugins/host"
)

// described is an antivirus that can only say what it is.
const described = `#!/bin/sh
echo '{"name": "av", "kind": "KIND", "version": "1", "protocols": [1, 2], "needs": ["content"], "schema": {
	"type": "object", "additionalProperties": false, "properties": {"word": {"type": "string"},
	"hosts": {"type": "array", "items": {"type": "object", "properties": {"port": {"type": "integer", "maximum": 65535}}}}}}}'
`

// bench is a folder with executables, that every user may pass.
type bench struct {
	t   *testing.T
	dir string
}

// file writes an executable and returns its path.
func (b bench) file(name, text string, mode os.FileMode) string {
	path := filepath.Join(b.dir, name)
	for _, step := range []error{os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), mode), os.Chmod(path, mode)} {
		if step != nil {
			b.t.Fatal(step)
		}
	}
	return path
}

// sum is the SHA-256 of a file, and zeros when there is none.
func sum(path string) string {
	got, err := host.Checksum(path)
	if err != nil {
		return strings.Repeat("0", 64)
	}
	return got
}

// Whatever is wrong around a plug-in is told at its place in the file, in one line, with what to write instead.
func TestWhatIsWrongAroundAPlugin(t *testing.T) {
	dir, err := os.MkdirTemp("", "cp")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	b := bench{t, dir}
	antivirus := strings.Replace(described, "KIND", "antivirus", 1)
	good := b.file("good", antivirus, 0o755)
	open := b.file("open/av", antivirus, 0o755)
	if err := os.Chmod(filepath.Dir(open), 0o777); err != nil {
		t.Fatal(err)
	}
	w := apptest.New(t)
	text, err := os.ReadFile(w.Config)
	if err != nil {
		t.Fatal(err)
	}
	as := `user = "nobody"`
	if os.Geteuid() != 0 {
		as = ""
	}
	lines := func(path, sha string, more ...string) string {
		return fmt.Sprintf("[plugins.av]\npath = %q\nsha256 = %q\n%s\n", path, sha, strings.Join(more, "\n"))
	}
	whole := func(path string) string { return lines(path, sum(path), as) }
	for _, test := range []struct {
		name, text string
		line       int    // after the first of the section
		has, write string // none: nothing is wrong
	}{
		{"nothing", whole(good), 0, "", ""},
		{"not there", whole(dir + "/none"), 1, "/none: no such file", "the path of an executable"},
		{"a folder", whole(dir), 1, "is not an executable file", "the path of an executable"},
		{"not executable", whole(b.file("data", antivirus, 0o644)), 1, "is not an executable file", "the path of an executable"},
		{"for others to change", whole(b.file("loose", antivirus, 0o777)), 1, "chmod go-w " + dir + "/loose", "the path of an executable"},
		{"in a folder for others to change", whole(open), 1, "chmod go-w " + dir + "/open", "the path of an executable"},
		{"another checksum", lines(good, strings.Repeat("0", 64), as), 2, "has the SHA-256 " + sum(good), "sha256 = \"" + sum(good)},
		{"no program", whole(b.file("text", "hello\n", 0o755)), 1, "is not a program", "the path of an executable"},
		{"no interpreter", whole(b.file("perl", "#!/no/perl\n", 0o755)), 1, "the interpreter that its first line names", "the path of an executable"},
		{"unknown user", lines(good, sum(good), `user = "no-such-user"`), 3, "unknown user no-such-user", `user = "ceralacca-plugin"`},
		{"root as user", lines(good, sum(good), `user = "root"`), 3, `user "root" is root`, `user = "ceralacca-plugin"`},
		{"another kind", whole(b.file("spam", strings.Replace(described, "KIND", "antispam", 1), 0o755)), 1, `kind is "antispam", not antivirus`, "plugin check"},
		{"says nothing", whole(b.file("mute", "#!/bin/sh\n", 0o755)), 1, "is not the JSON object of a description", "plugin check"},
		{"fails", whole(b.file("ill", "#!/bin/sh\necho no engine >&2\nexit 3\n", 0o755)), 1, `exit status 3; it says: "no engine`, "plugin check"},
		{"a value it does not take", whole(good) + "[plugins.av.config]\nword = 3\n", 5, "word does not fit: got number, want string", "plugin describe"},
		{"a value deep inside", whole(good) + "[plugins.av.config]\nhosts = [{ port = 1 }, { port = 70000 }]\n", 5, "hosts.1.port does not fit", "plugin describe"},
		{"a key it does not know", whole(good) + "[plugins.av.config]\n\nwurd = 3\n", 6, "wurd is not a key of this plug-in", "plugin describe"},
	} {
		with := strings.Replace(string(text), `mode = "none"`, `mode = "plugins"`, 1) + "\n" + test.text
		w.Write(t, "ceralacca.toml", []byte(with))
		conf, err := config.Load(w.Config)
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		faults := app.PluginFaults(t.Context(), conf)
		if test.has == "" {
			if len(faults) > 0 {
				t.Errorf("%s: %v; want no fault", test.name, faults)
			}
			continue
		}
		at := strings.Count(string(text), "\n") + 2 + test.line
		begin := fmt.Sprintf("%s:%d:", w.Config, at)
		if len(faults) != 1 || !strings.HasPrefix(faults[0].String(), begin) || strings.Contains(faults[0].String(), "\n") ||
			!strings.Contains(faults[0].What, "plugins.av") || !strings.Contains(faults[0].What, test.has) || !strings.Contains(faults[0].Write, test.write) {
			t.Errorf("%s:\n%v\nwant one that begins with %s, says %q, and to write %q", test.name, faults, begin, test.has, test.write)
		}
	}
}

// Whether there is an antivirus is said twice, and must agree.
func TestTheModeAndThePluginsAgree(t *testing.T) {
	w := apptest.New(t)
	alter(t, w, `mode = "none"`, `mode = "plugins"`)
	conf, err := config.Load(w.Config)
	if err != nil {
		t.Fatal(err)
	}
	faults := app.PluginFaults(t.Context(), conf)
	if len(faults) != 1 || !strings.Contains(faults[0].What, "no plug-in is an antivirus") {
		t.Errorf("%v; want that no plug-in is an antivirus", faults)
	}
}
