package effect_test

import (
	"errors"
	"testing"

	"github.com/ceralacca/ceralacca/internal/effect"
	"github.com/ceralacca/ceralacca/internal/store"
)

// What is due no more is not prepared: nothing of it is written, the claim stays as it was, and what ended before is still
// to be written.
func TestPrepareWhen(t *testing.T) {
	r, s, _ := register(t)
	before, k := key("before", "a@b.example"), key("timeout", "a@b.example")
	c := claim(t, r, before, k)
	if err := c.Prepare(t.Context(), effect.Prepared{Keys: []effect.Key{before}}); err != nil {
		t.Fatal(err)
	}
	ended := []effect.Ended{c.End([]effect.Key{before}, func(tx store.Tx) error { return tx.Put("log", []byte("before"), nil) })}
	known := errors.New("known meanwhile")
	err := c.PrepareWhen(t.Context(), func(store.Tx) error { return known }, ended, effect.Prepared{Keys: []effect.Key{k}})
	if !errors.Is(err, known) || c.IsPrepared(k) || logged(t, s, "before") {
		t.Errorf("due no more: %v, prepared %v, what ended is written: %v", err, c.IsPrepared(k), logged(t, s, "before"))
	}
	seen := false
	when := func(tx store.Tx) error {
		_, seen = tx.Get("log", []byte("before"))
		return nil
	}
	if err := c.PrepareWhen(t.Context(), when, ended, effect.Prepared{Keys: []effect.Key{k}}); err != nil || !c.IsPrepared(k) || !seen {
		t.Errorf("due: %v, prepared %v; it sees what ended: %v", err, c.IsPrepared(k), seen)
	}
}
