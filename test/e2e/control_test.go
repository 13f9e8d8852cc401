package e2e

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// reconfigure puts sections into the configuration of a host and has one of its daemons, "milter" or "lda", read it
// again; when the test ends the old one is back.
func reconfigure(t *testing.T, host, daemon, sections string) {
	t.Helper()
	before, err := os.ReadFile(env[host+"_CONFIG"])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { reload(t, host, daemon, string(before)) })
	reload(t, host, daemon, string(before)+"\n"+sections+"\n")
}

// reload writes a configuration and waits until the daemon has read it.
func reload(t *testing.T, host, daemon, text string) {
	t.Helper()
	if err := os.WriteFile(env[host+"_CONFIG"], []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	log := daemonLog(t, strings.ToLower(host)+"-"+daemon)
	raw, err := os.ReadFile(env[host+"_"+strings.ToUpper(daemon)+"_PID"])
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	const done, failed = "the configuration was read again", "the configuration was not read again"
	for end := time.Now().Add(patience); !strings.Contains(log(), done); { // t.Context has ended when this runs at the end of a test
		if strings.Contains(log(), failed) || time.Now().After(end) {
			t.Fatalf("the configuration was not read again:\n%s", log())
		}
		time.Sleep(20 * time.Millisecond)
	}
}
