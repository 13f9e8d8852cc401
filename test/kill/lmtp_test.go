package kill

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/pec"
)

// killLMTPAt runs a scenario in which Postfix's lmtp client dies while the agent that it talks to is at a point
// ("beta before handover delivery"). Whatever the point, the end is the same as if nothing had happened.
func killLMTPAt(t *testing.T, point string, run scenario) {
	conformance.Covers(t, "C159", "C165")
	point = strings.TrimSpace(point)
	host, _, _ := strings.Cut(point, " ")
	var ref string
	var want map[string][]pec.Kind
	held(t, point, func() { ref, want = run(t) }, func() {
		if killLMTP(t, host) == 0 && !strings.HasSuffix(point, "after reply") {
			t.Error("Postfix had no lmtp client")
		}
	})
	settle(t, ref, want)
	clearOut(t, want)
}

// killLMTP kills the lmtp clients of the first instance of a host, waits until they are gone, and returns how many it
// killed.
func killLMTP(t *testing.T, host string) int {
	t.Helper()
	master := world.Processes().PID(host + "-postfix")
	clients := childrenOf(t, master, "lmtp")
	for _, pid := range clients {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "the lmtp clients are gone", func() bool {
		for _, pid := range clients {
			if parent, _ := processOf(pid); parent == master {
				return false
			}
		}
		return true
	})
	return len(clients)
}

// childrenOf are the processes that a parent started whose program has a name.
func childrenOf(t *testing.T, parent int, name string) []int {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	var found []int
	for _, entry := range entries {
		var pid int
		if _, err := fmt.Sscanf(entry.Name(), "%d", &pid); err != nil {
			continue
		}
		if of, program := processOf(pid); of == parent && program == name {
			found = append(found, pid)
		}
	}
	return found
}

// processOf is the parent of a process and the name of its program; zero when there is none any more.
func processOf(pid int) (parent int, program string) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, ""
	}
	text := string(raw)
	open, end := strings.IndexByte(text, '('), strings.LastIndexByte(text, ')')
	var state string
	if _, err := fmt.Sscan(text[end+1:], &state, &parent); err != nil || state == "Z" {
		return 0, ""
	}
	return parent, text[open+1 : end]
}
