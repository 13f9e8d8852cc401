package app_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/ceralacca/ceralacca/internal/app"
	"github.com/ceralacca/ceralacca/internal/app/apptest"
	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/plugins/host"
)

// watched is a world with an antivirus.
type watched struct {
	*apptest.World
	t         *testing.T
	path, sum string // of the plug-in
	plain     []byte // the configuration without it
}

func newWatched(t *testing.T) *watched {
	t.Helper()
	w := &watched{World: apptest.New(t), t: t}
	if err := os.Chmod(w.Dir, 0o755); err != nil { // the plug-in's user passes through
		t.Fatal(err)
	}
	w.path = w.Path("eicar")
	if out, err := exec.Command("go", "build", "-o", w.path, "../../plugins/examples/eicar").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	if err := os.Chmod(w.path, 0o755); err != nil {
		t.Fatal(err)
	}
	var err error
	if w.sum, err = host.Checksum(w.path); err != nil {
		t.Fatal(err)
	}
	w.plain, err = os.ReadFile(w.Config)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// configure writes a configuration with these plug-ins, and the address of the milter's numbers.
func (w *watched) configure(sections ...string) {
	text := bytes.Replace(w.plain, []byte(`mode = "none"`), []byte(`mode = "plugins"`), 1)
	text = bytes.Replace(text, []byte("[agent]"), []byte("metrics = \"localhost:29927\"\n[agent]"), 1)
	w.Write(w.t, "ceralacca.toml", append(text, strings.Join(sections, "")...))
}

// section is one that fits.
func (w *watched) section(name, word string) string {
	return fmt.Sprintf("[plugins.%s]\npath = %q\nsha256 = %q\n%s\n[plugins.%[1]s.config]\nword = %[5]q\n", name, w.path, w.sum, pluginUser(), word)
}

// pluginUser is the line by which root names another.
func pluginUser() string {
	if os.Geteuid() == 0 {
		return `user = "nobody"`
	}
	return "network = true"
}

var started = regexp.MustCompile(`msg="plug-in started" plugin=(\S+) pid=(\d+)`)

// pids are those of all processes of a plug-in, in the order of their starts.
func (d *daemon) pids(name string) []int {
	var pids []int
	for _, found := range started.FindAllStringSubmatch(d.log.String(), -1) {
		if pid, err := strconv.Atoi(found[2]); err == nil && found[1] == name {
			pids = append(pids, pid)
		}
	}
	return pids
}

func gone(pid int) bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }

// The milter runs the antivirus of its configuration from start to end, starts one that was killed again, and gives its
// numbers.
func TestMilterRunsItsAntivirus(t *testing.T) {
	conformance.Covers(t, "C232")
	w := newWatched(t)
	w.configure(w.section("one", "x"), w.section("two", "y"))
	d := start(t, w.World, app.Milter)
	d.awaitLog(`msg="milter started" provider="Alfa PEC" antivirus=one,two`, 1)
	first := d.pids("one")[0]
	page := ""
	d.await("the numbers", func() bool {
		page = scrape("http://127.0.0.1:29927/metrics")
		return strings.Contains(page, "\nceralacca_plugin_up{plugin=\"one\"} 1\n") && strings.Contains(page, "\nceralacca_crl_expires_timestamp_seconds 1")
	})
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	d.await("the next process", func() bool { return len(d.pids("one")) == 2 })
	folders, err := filepath.Glob(w.Path("plugin-*"))
	if err != nil || len(folders) != 2 {
		t.Errorf("folders of plug-ins beside the sockets: %v, %v; want two", folders, err)
	}
	if err := d.end(); err != nil {
		t.Errorf("it ends with %v\n%s", err, d.log)
	}
	for _, pid := range append(d.pids("one"), d.pids("two")...) {
		if !gone(pid) {
			t.Errorf("the process %d of a plug-in outlives the milter", pid)
		}
	}
	if folders, err = filepath.Glob(w.Path("plugin-*")); err != nil || len(folders) > 0 {
		t.Errorf("left behind: %v, %v", folders, err)
	}
}

// SIGHUP starts what is new, and only then ends what is old; what did not change goes on, and a fault changes nothing.
func TestReloadSwapsTheAntivirus(t *testing.T) {
	w := newWatched(t)
	w.configure(w.section("kept", "x"), w.section("old", "y"))
	d := start(t, w.World, app.Milter)
	d.awaitLog("milter started", 1)
	kept, old := d.pids("kept")[0], d.pids("old")[0]
	d.reload <- syscall.SIGHUP
	d.awaitLog("the configuration was read again", 1)

	bad := w.section("new", "z")
	w.configure(w.section("kept", "x"), strings.Replace(bad, w.sum, strings.Repeat("0", 64), 1))
	d.reload <- syscall.SIGHUP
	d.awaitLog("the old one stays", 1)
	if log := d.log.String(); !strings.Contains(log, "ceralacca.toml:") || !strings.Contains(log, "plugins.new") {
		t.Errorf("the log does not say where the fault is:\n%s", log)
	}
	if gone(kept) || gone(old) || len(d.pids("kept")) != 1 || len(d.pids("old")) != 1 {
		t.Fatalf("a reload without a change, or with a fault, changed what runs:\n%s", d.log)
	}

	w.configure(w.section("kept", "x"), w.section("new", "z"))
	d.reload <- syscall.SIGHUP
	d.awaitLog("the configuration was read again", 2)
	d.await("the end of the old one", func() bool { return gone(old) })
	if gone(kept) || len(d.pids("kept")) != 1 || len(d.pids("new")) != 1 || gone(d.pids("new")[0]) {
		t.Errorf("after the change of one section:\n%s", d.log)
	}
	w.configure(w.section("kept", "other"), w.section("new", "z"))
	d.reload <- syscall.SIGHUP
	d.awaitLog("the configuration was read again", 3)
	page := scrape("http://127.0.0.1:29927/metrics")
	if strings.Count(page, "\nceralacca_plugin_up{") != 2 || strings.Count(page, "\nceralacca_plugin_up{plugin=\"kept\"} 1") != 1 {
		t.Errorf("the numbers after a section went and another changed:\n%s", page)
	}
	w.Write(t, "ceralacca.toml", w.plain)
	d.reload <- syscall.SIGHUP
	d.awaitLog("the configuration was read again", 4)
	d.await("the end of all", func() bool { return gone(kept) && gone(d.pids("new")[0]) })
	if !strings.Contains(d.log.String(), "no message is checked for viruses") {
		t.Errorf("the log does not warn that nobody looks for viruses:\n%s", d.log)
	}
	if err := d.end(); err != nil {
		t.Errorf("it ends with %v\n%s", err, d.log)
	}
}

// An antivirus that is missing, is another than was pinned, does not take its configuration, or is not wanted, keeps the
// daemons from starting, with one sentence that names file and line.
func TestNoStartWithoutTheAntivirus(t *testing.T) {
	conformance.Covers(t, "C232")
	w := newWatched(t)
	good := w.section("eicar", "x")
	w.configure(good)
	lines := strings.Count(string(w.plain), "\n") + 1
	for _, test := range []struct {
		name, section string
		says          []string
	}{
		{"no plug-in", "", []string{`antivirus.mode is "plugins", and no plug-in is an antivirus`, "ceralacca.toml:"}},
		{"no such file", strings.Replace(good, w.path, w.path+"2", 1),
			[]string{fmt.Sprintf("ceralacca.toml:%d:1", lines+2), "plugins.eicar", "no such file"}},
		{"another checksum", strings.Replace(good, w.sum, strings.Repeat("0", 64), 1),
			[]string{fmt.Sprintf("ceralacca.toml:%d:1", lines+3), "SHA-256", w.sum}},
		{"a key that it does not know", strings.Replace(good, "word =", "wort =", 1),
			[]string{fmt.Sprintf("ceralacca.toml:%d:1", lines+6), "wort is not a key"}},
		{"a user that is not there", good[:strings.Index(good, pluginUser())] + "user = \"nobody-of-that-name\"\n",
			[]string{fmt.Sprintf("ceralacca.toml:%d:1", lines+4), "nobody-of-that-name"}},
	} {
		w.configure(test.section)
		for name, run := range map[string]runner{"milter": app.Milter, "agent": app.Agent} {
			err := starting(t, w.World, run)
			for _, says := range test.says {
				if err == nil || !strings.Contains(err.Error(), says) {
					t.Errorf("%s: the %s says %v; want %q", test.name, name, err, says)
				}
			}
		}
	}
	w.Write(t, "ceralacca.toml", append(append([]byte{}, w.plain...), good...))
	if err := starting(t, w.World, app.Milter); err == nil || !strings.Contains(err.Error(), `antivirus.mode is "none", and plugins.eicar is an antivirus`) {
		t.Errorf("an antivirus that nobody is to ask: %v", err)
	}
}
