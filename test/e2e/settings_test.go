package e2e

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// postfixSet changes parameters of the instance whose folder is in variable, such as "ALFA_OUT_CONFIG", and has it read
// them; what was there comes back when the test ends.
func postfixSet(t *testing.T, variable, logVariable string, parameters ...string) {
	t.Helper()
	file := env[variable] + "/main.cf"
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.WriteFile(file, before, 0o644); err != nil {
			t.Error(err)
		}
		postfixReload(t, variable, logVariable)
	})
	if out, err := exec.Command("postconf", append([]string{"-c", env[variable], "-e"}, parameters...)...).CombinedOutput(); err != nil {
		t.Fatalf("postconf: %v\n%s", err, out)
	}
	postfixReload(t, variable, logVariable)
}

func postfixReload(t *testing.T, variable, logVariable string) {
	t.Helper()
	log := logFile(t, env[logVariable])
	if out, err := exec.Command("postfix", "-c", env[variable], "reload").CombinedOutput(); err != nil {
		t.Fatalf("postfix reload: %v\n%s", err, out)
	}
	eventually(t, log, "reload -- version")
}

// reconfigure changes a piece of the daemons' configuration of a host and has its milter read it; what was there comes
// back when the test ends.
func reconfigure(t *testing.T, host, from, to string) {
	t.Helper()
	before, err := os.ReadFile(env[host+"_CONFIG"])
	if err != nil {
		t.Fatal(err)
	}
	after := strings.Replace(string(before), from, to, 1)
	if after == string(before) {
		t.Fatalf("there is no %q in the configuration", from)
	}
	t.Cleanup(func() { reread(t, host, before) })
	reread(t, host, []byte(after))
}

func reread(t *testing.T, host string, text []byte) {
	t.Helper()
	if err := os.WriteFile(env[host+"_CONFIG"], text, 0o644); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(env[host+"_MILTER_PID"])
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil {
		t.Fatal(err)
	}
	log := daemonLog(t, strings.ToLower(host)+"-milter")
	if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, log, "the configuration was read again")
}
