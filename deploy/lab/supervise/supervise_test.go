package supervise_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab/supervise"
	"github.com/ceralacca/ceralacca/internal/clock"
)

func start(t *testing.T, script string) (*supervise.Supervisor, string) {
	t.Helper()
	dir := t.TempDir()
	s := supervise.New(dir, clock.System{})
	t.Cleanup(s.Close)
	err := s.Start(supervise.Program{
		Name: "one", Args: []string{"/bin/sh", "-c", script}, Log: filepath.Join(dir, "log"), Stop: time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s, dir
}

// eventually polls until the condition holds, for at most two seconds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if condition() {
			return
		}
	}
	t.Fatalf("after 2 s still not: %s", what)
}

// alive says whether a process runs; one that waits to be reaped does not.
func alive(pid int) bool {
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && !strings.Contains(string(raw), ") Z ")
}

func TestKilledProgramIsStartedAgain(t *testing.T) {
	s, _ := start(t, "exec sleep 1000")
	first := s.PID("one")
	if err := s.Signal("one", syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "another process runs", func() bool { pid := s.PID("one"); return pid != 0 && pid != first && alive(pid) })
	raw, err := os.ReadFile(s.PIDFile("one"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.TrimSpace(string(raw)), strconv.Itoa(s.PID("one")); got != want {
		t.Errorf("pid file: got %s, want %s", got, want)
	}
}

func TestChildrenEndWithTheirParent(t *testing.T) {
	s, dir := start(t, "trap '' TERM; sleep 1000 & echo $! >&2; wait; sleep 1000")
	log := filepath.Join(dir, "log")
	child := 0
	eventually(t, "the child runs", func() bool {
		raw, _ := os.ReadFile(log)
		child, _ = strconv.Atoi(strings.TrimSpace(string(raw)))
		return child > 0
	})
	if err := s.Halt("one"); err != nil {
		t.Fatal(err)
	}
	if alive(child) {
		t.Errorf("child %d still runs after Halt", child)
	}
	if _, err := os.Stat(s.PIDFile("one")); err == nil {
		t.Error("the pid file is still there after Halt")
	}
}
