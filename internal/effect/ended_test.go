package effect_test

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/ceralacca/ceralacca/internal/effect"
	"github.com/ceralacca/ceralacca/internal/store"
)

// What ended is written with what is prepared next, and shares its flush; until then its key is nobody else's.
func TestEndedIsWrittenWithTheNext(t *testing.T) {
	commits := 0
	s := open(t, filepath.Join(t.TempDir(), "store"), store.OnCommit(func(int) { commits++ }))
	r := effect.New(s, newClock(), nil)
	a, b := key("e", "a@x"), key("e", "b@x")
	first, second := claim(t, r, a), claim(t, r, b)
	must(t, first.Prepare(t.Context(), artefact(t, a)))
	ended := []effect.Ended{first.End([]effect.Key{a}, func(tx store.Tx) error { return tx.Put("log", []byte("a"), nil) })}
	first.Release(t.Context())
	if _, err := r.Claim(t.Context(), []effect.Key{a}); !errors.Is(err, effect.ErrHeld) {
		t.Errorf("Claim of what ended and is not written: %v, want ErrHeld", err)
	}
	before := commits
	must(t, second.PrepareAfter(t.Context(), ended, artefact(t, b)))
	if commits != before+1 {
		t.Errorf("%d commits for an end and a preparation, want one", commits-before)
	}
	if again := claim(t, r, a); len(again.Finished) != 1 || !logged(t, s, "a") {
		t.Errorf("after the commit: %+v, log %t, want it finished with its record", again, logged(t, s, "a"))
	}
}

// A preparation that fails leaves what ended to be written, alone and in order.
func TestEndedOutlivesAFailedPreparation(t *testing.T) {
	r, s, _ := register(t)
	a, b := key("e", "a@x"), key("e", "b@x")
	c := claim(t, r, a, b)
	var order []string
	end := func(k effect.Key) effect.Ended {
		return c.End([]effect.Key{k}, func(tx store.Tx) error {
			order = append(order, k.Recipient)
			return tx.Put("log", []byte(k.Recipient), nil)
		})
	}
	ended := []effect.Ended{end(a), end(b)}
	other := claim(t, r, key("e", "c@x"))
	if err := other.PrepareAfter(t.Context(), ended, effect.Prepared{}); !errors.Is(err, effect.ErrKey) || logged(t, s, "a@x") {
		t.Fatalf("a preparation without keys: %v, log %t", err, logged(t, s, "a@x"))
	}
	order = nil
	must(t, r.Finish(t.Context(), ended))
	if !logged(t, s, "a@x") || !logged(t, s, "b@x") || len(order) != 2 || order[0] != "a@x" {
		t.Errorf("written: %v", order)
	}
}

// What is given up is found prepared by the next run.
func TestAbandoned(t *testing.T) {
	r, _, _ := register(t)
	k := key("e", "a@x")
	c := claim(t, r, k)
	must(t, c.Prepare(t.Context(), artefact(t, k)))
	ended := []effect.Ended{c.End([]effect.Key{k}, nil)}
	c.Release(t.Context())
	effect.Abandon(ended)
	again := claim(t, r, k)
	if len(again.Prepared) != 1 {
		t.Fatalf("after giving up: %+v, want it prepared", again)
	}
	if err := r.Finish(t.Context(), ended); !errors.Is(err, effect.ErrFenced) {
		t.Errorf("Finish of what was given up: %v, want ErrFenced", err)
	}
}

func logged(t *testing.T, s store.Store, row string) (found bool) {
	t.Helper()
	must(t, s.View(t.Context(), func(tx store.Tx) error {
		_, found = tx.Get("log", []byte(row))
		return nil
	}))
	return found
}
