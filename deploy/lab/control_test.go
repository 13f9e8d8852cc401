package lab_test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab"
	"github.com/ceralacca/ceralacca/deploy/lab/client"
)

// greets says whether a server answers at a port with its greeting.
func greets(h *lab.Host, port int) bool {
	conn, err := net.DialTimeout("tcp", net.JoinHostPort(h.Address, strconv.Itoa(port)), time.Second)
	if err != nil {
		return false
	}
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(time.Second))
	b := make([]byte, 3)
	n, err := conn.Read(b)
	return err == nil && string(b[:n]) == "220"
}

func TestKilledServerIsBackWithinTwoSeconds(t *testing.T) {
	h := shared.Beta
	for _, c := range []struct {
		name    string
		answers func() bool
	}{
		{"beta-postfix", func() bool { return greets(h, h.MXPort) }},
		{"beta-out", func() bool { return greets(h, h.OutPort) }},
		{"beta-dovecot", func() bool { _, err := shared.env.Fetch("BETA", login(h.Users[0])); return err == nil }},
	} {
		before := shared.Processes().PID(c.name)
		if err := shared.Processes().Signal(c.name, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, 2*time.Second, c.name+" runs again", func() bool {
			pid := shared.Processes().PID(c.name)
			return pid != 0 && pid != before
		})
		eventually(t, patience, c.name+" answers again", c.answers)
	}
}

func TestHaltedServerStaysDownUntilResumed(t *testing.T) {
	h := shared.Beta
	if err := shared.Processes().Halt("beta-out"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	if greets(h, h.OutPort) {
		t.Error("the out instance answers although it was halted")
	}
	if err := shared.Resume(t.Context(), "beta-out"); err != nil {
		t.Fatal(err)
	}
	if !greets(h, h.OutPort) {
		t.Error("the out instance does not answer after Resume")
	}
}

// leftovers are the processes and the runtime folder that still name a lab.
func leftovers(t *testing.T, runtime string) []string {
	t.Helper()
	found := processesOf(runtime)
	if _, err := os.Stat(runtime); err == nil {
		found = append(found, runtime)
	}
	return found
}

// processesOf are the command lines that name a lab's runtime folder.
func processesOf(runtime string) (found []string) {
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range lines {
		if raw, err := os.ReadFile(f); err == nil && strings.Contains(string(raw), runtime) {
			found = append(found, strings.ReplaceAll(string(raw), "\x00", " "))
		}
	}
	return found
}

func TestLabctl(t *testing.T) {
	labctl := filepath.Join(t.TempDir(), "labctl")
	if out, err := exec.Command("go", "build", "-o", labctl, "./labctl").CombinedOutput(); err != nil {
		t.Fatalf("build labctl: %v: %s", err, out)
	}
	// A folder as users have them: its path is no argument of sh, nor of Postfix, as it stands.
	dir := filepath.Join(t.TempDir(), "l'aboratorio di prova", ".lab")
	ctl := func(command string) string {
		out, err := exec.Command(labctl, command, "--dir", dir, "--bin", "").CombinedOutput()
		if err != nil {
			t.Fatalf("labctl %s: %v: %s", command, err, out)
		}
		return string(out)
	}
	defer ctl("down")
	for _, kill := range []bool{false, true} {
		ctl("up")
		if out := ctl("up"); !strings.Contains(out, "runs already") || !strings.Contains(out, "alfa-postfix") {
			t.Errorf("second up: got %q, want the state", out)
		}
		source := exec.Command("sh", "-c", "set -a && . ./env && env")
		source.Dir = dir
		raw, err := source.Output()
		if err != nil {
			t.Fatalf("sh cannot source the env file: %v", err)
		}
		env := client.ParseEnv(string(raw))
		runtime := filepath.Dir(filepath.Dir(env["LAB_CA"]))
		if _, err := env.Fetch("GAMMA", env.Users("GAMMA")[0]); err != nil {
			t.Error(err)
		}
		log := filepath.Join(dir, "log", "alfa-postfix.log")
		if info, err := os.Stat(log); env["ALFA_POSTFIX_LOG"] != log || err != nil || info.Size() == 0 {
			t.Errorf("ALFA_POSTFIX_LOG: got %q, want %q with something in it: %v", env["ALFA_POSTFIX_LOG"], log, err)
		}
		if kill {
			killSupervisor(t, dir)
			eventually(t, patience, "every process of the lab has ended with its supervisor", func() bool {
				return len(processesOf(runtime)) == 0
			})
		}
		ctl("down")
		if left := leftovers(t, runtime); len(left) > 0 {
			t.Errorf("after down (supervisor killed: %t): %v", kill, left)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s is still there", dir)
		}
	}
}

func killSupervisor(t *testing.T, dir string) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, "supervisor.pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// A lab that was started within a program leaves its logs, and nothing that names a process or a folder that is gone.
func TestStopLeavesTheLogsAlone(t *testing.T) {
	dir := t.TempDir()
	l, err := lab.Start(t.Context(), lab.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Stop(); err != nil {
		t.Fatal(err)
	}
	if left := leftovers(t, l.Runtime()); len(left) > 0 {
		t.Errorf("after Stop: %v", left)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 || entries[0].Name() != "log" {
		t.Errorf("Stop leaves %v, want the folder log and nothing else", entries)
	}
}

// Whoever starts a lab by sudo can read its values and the keys that it gives away, and remove what the demo saved.
func TestHandOver(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		sudo string
		want uint32
	}{{"", 0}, {"64990", 64990}} {
		t.Setenv("SUDO_UID", c.sudo)
		if err := lab.HandOver(folder); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{folder, file} {
			info, err := os.Stat(name)
			if err != nil {
				t.Fatal(err)
			}
			if got := info.Sys().(*syscall.Stat_t).Uid; got != c.want {
				t.Errorf("SUDO_UID=%q: %s belongs to %d, want %d", c.sudo, name, got, c.want)
			}
		}
	}
}
