package effect_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/ceralacca/ceralacca/internal/effect"
	"github.com/ceralacca/ceralacca/internal/store"
)

const childVariable, stepVariable = "EFFECT_CHILD", "EFFECT_STEP"

// A process is killed before and after each step. The next one finds the group free, prepared or finished, as a whole,
// the record of the log if and only if it is finished, and can bring it to its end.
func TestKilledBetweenSteps(t *testing.T) {
	if path := os.Getenv(childVariable); path != "" {
		liveUntil(t, path, os.Getenv(stepVariable))
		return
	}
	for _, test := range []struct{ step, want string }{
		{"before claim", "free"}, {"after claim", "free"},
		{"before prepared", "free"}, {"after prepared", "prepared"},
		{"before done", "prepared"}, {"in done", "prepared"}, {"after done", "finished"},
	} {
		t.Run(test.step, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "store")
			killAt(t, path, test.step)
			checkState(t, path, test.want)
			finish(t, path)
			checkState(t, path, "finished")
		})
	}
}

func group() []effect.Key { return keys("take-charge", "a@x", "b@x", "c@x") }

func record(tx store.Tx) error {
	_, err := tx.Append("log", []byte("record"))
	return err
}

// liveUntil works on a group and dies at a step.
func liveUntil(t *testing.T, path, step string) {
	die := func() { _ = syscall.Kill(os.Getpid(), syscall.SIGKILL); select {} }
	probe := func(now, _ string) {
		if now == step {
			die()
		}
	}
	r := effect.New(open(t, path), newClock(), probe)
	c := claim(t, r, group()...)
	must(t, c.Prepare(t.Context(), artefact(t, group()...)))
	must(t, c.Done(t.Context(), group(), func(tx store.Tx) error {
		if err := record(tx); err != nil || step != "in done" {
			return err
		}
		die()
		return nil
	}))
	t.Error("the process outlived its step")
}

func killAt(t *testing.T, path, step string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilledBetweenSteps$")
	cmd.Env = append(os.Environ(), childVariable+"="+path, stepVariable+"="+step)
	out, err := cmd.CombinedOutput()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the child ended with %v, want a kill\n%s", err, out)
	}
}

func checkState(t *testing.T, path, want string) {
	t.Helper()
	s := open(t, path)
	defer s.Close()
	c := claim(t, effect.New(s, newClock(), nil), group()[1])
	got := "free"
	switch {
	case len(c.Finished) == 1:
		got = "finished"
	case len(c.Prepared) == 1:
		got = "prepared"
		if diff := same(artefact(t, group()...), c.Prepared[0]); diff != "" {
			t.Errorf("what was prepared (-want +got):\n%s", diff)
		}
	}
	if got != want {
		t.Errorf("the group is %s, want %s", got, want)
	}
	records := 0
	must(t, s.View(t.Context(), func(tx store.Tx) error {
		return tx.Scan("log", nil, func(_, _ []byte) error { records++; return nil })
	}))
	if finished := want == "finished"; (records == 1) != finished || records > 1 {
		t.Errorf("%d records of a group that is %s", records, want)
	}
}

// finish does what the next presentation does.
func finish(t *testing.T, path string) {
	t.Helper()
	s := open(t, path)
	defer s.Close()
	c := claim(t, effect.New(s, newClock(), nil), group()...)
	if len(c.Free) > 0 {
		must(t, c.Prepare(t.Context(), artefact(t, c.Free...)))
	}
	if rest := append(c.Free, preparedKeys(c)...); len(rest) > 0 {
		must(t, c.Done(t.Context(), rest[:1], record))
	}
	c.Release(context.Background())
}

func preparedKeys(c *effect.Claim) []effect.Key {
	var all []effect.Key
	for _, p := range c.Prepared {
		all = append(all, p.Keys...)
	}
	return all
}
