package kill

import (
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ceralacca/ceralacca/deploy/lab"
	"github.com/ceralacca/ceralacca/deploy/lab/client"
	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/pec"
)

// A disk that fails under the queue of alfa: Postfix is put off, nobody hears of an acceptance, and nothing is delivered
// to alfa's user; not even when the disk says that it is well again, since what it lost in between is not known. When
// the agent was started anew everything comes, once.
func TestSyncfsFailsAtAlfa(t *testing.T) {
	conformance.Covers(t, "C159", "C183")
	syncfsFails(t, world.Alfa, local, nil)
}

// The same under the queue of beta: alfa has accepted, beta takes no charge and delivers nothing.
func TestSyncfsFailsAtBeta(t *testing.T) {
	conformance.Covers(t, "C115", "C159")
	syncfsFails(t, world.Beta, exchange, map[string][]pec.Kind{env.Users("ALFA")[0].Address: {pec.KindAcceptance}})
}

// syncfsFails makes the disk of a host fail during a scenario; meanwhile is what may lie in the mailboxes then.
func syncfsFails(t *testing.T, host *lab.Host, run scenario, meanwhile map[string][]pec.Kind) {
	says := logged(t, host.Name+"-lda")
	alarms := alarmsOf(t, host)
	set(t, "eio", host.Name)
	t.Cleanup(func() { unset("eio") })
	ref, want := run(t)
	config := strings.ToUpper(host.Name) + "_POSTFIX_CONFIG"
	deferred(t, config, "said: 451")
	only(t, ref, meanwhile)
	if log := says(); !strings.Contains(log, "syncfs failed") || !strings.Contains(log, `alarm=true`) && !strings.Contains(log, `"alarm":true`) {
		t.Errorf("the agent's log has no alarm:\n%s", log)
	}
	if now := alarmsOf(t, host); now <= alarms {
		t.Errorf("alarms of syncfs: got %d, want more than %d", now, alarms)
	}

	unset("eio")
	before := strings.Count(says(), "syncfs failed")
	flushed(t, "the agent refuses again", func() bool { return strings.Count(says(), "syncfs failed") > before })
	only(t, ref, meanwhile)

	restart(t, host.Name+"-lda", func(pid int) error { return syscall.Kill(pid, syscall.SIGTERM) })
	settle(t, ref, want)
}

// only fails the test unless the mailboxes hold just what want says.
func only(t *testing.T, ref string, want map[string][]pec.Kind) {
	t.Helper()
	found, err := env.About(ref)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	for address, list := range found {
		got[address] = client.Kinds(list)
	}
	goal := map[string][]string{}
	for address, kinds := range want {
		for _, k := range kinds {
			goal[address] = append(goal[address], string(k))
		}
	}
	if diff := cmp.Diff(goal, got); diff != "" {
		t.Errorf("what lies in the mailboxes about %s (-want +got):\n%s", ref, diff)
	}
}

// alarmsOf is the number of alarms about syncfs that the agent of a host counts.
func alarmsOf(t *testing.T, host *lab.Host) int {
	return metric(t, host, `ceralacca_alarms_total{alarm="syncfs"}`)
}

// metric reads a number of the agent of a host, 0 when it is not there.
func metric(t *testing.T, host *lab.Host, name string) int {
	t.Helper()
	n, err := env.Metric(strings.ToUpper(host.Name), "METRICS_PORT", name)
	if err != nil {
		t.Fatal(err)
	}
	return int(n)
}
