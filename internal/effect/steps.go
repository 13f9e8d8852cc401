package effect

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ceralacca/ceralacca/internal/store"
)

// First returns when a key of the claim was first presented.
func (c *Claim) First(key Key) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.keys[key].First
}

// IsPrepared says whether something is prepared under a key of the claim, that may or may not have arrived.
func (c *Claim) IsPrepared(key Key) bool { return c.row(key).State == statePrepared }

// Renew says that the holder lives. It returns [ErrFenced] when the claim was lost meanwhile.
func (c *Claim) Renew() error {
	return c.register.hold(c.fence, c.held(), false)
}

// Prepare makes artefacts durable, in one transaction, before the first of them is handed over. Each of their keys MUST
// be a free one of the claim. It returns [ErrFenced] when the claim was lost.
func (c *Claim) Prepare(ctx context.Context, artefacts ...Prepared) error {
	return c.PrepareAfter(ctx, nil, artefacts...)
}

// PrepareAfter is Prepare that also writes down what ended before, in the same transaction. The end of ctx is not obeyed
// when there is any. On an error nothing is written, and what ended is still to be.
func (c *Claim) PrepareAfter(ctx context.Context, ended []Ended, artefacts ...Prepared) error {
	return c.PrepareWhen(ctx, nil, ended, artefacts...)
}

// PrepareWhen is PrepareAfter that first asks, in the same transaction, whether what is prepared is still true: an error
// of when is returned, and nothing is written. when may be nil.
func (c *Claim) PrepareWhen(ctx context.Context, when func(store.Tx) error, ended []Ended, artefacts ...Prepared) error {
	var keys []Key
	for _, p := range artefacts {
		keys = append(keys, p.Keys...)
	}
	rows := map[Key]keyRow{}
	next := part{claim: c, step: StepPrepared, keys: keys, write: func(tx store.Tx) error {
		if when != nil {
			if err := when(tx); err != nil {
				return err
			}
		}
		for _, p := range artefacts {
			if err := c.prepare(tx, p, rows); err != nil {
				return err
			}
		}
		return nil
	}}
	if err := c.register.write(ctx, append(parts(ended), next)); err != nil {
		return err
	}
	forget(ended)
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.Copy(c.keys, rows)
	return nil
}

// prepare writes an artefact and its keys, whose new rows it adds to rows.
func (c *Claim) prepare(tx store.Tx, p Prepared, rows map[Key]keyRow) error {
	if len(p.Keys) == 0 {
		return fmt.Errorf("%w: an artefact without keys", ErrKey)
	}
	number, err := writeArtefact(tx, p, c.register.clock.Now())
	if err != nil {
		return err
	}
	for _, key := range p.Keys {
		if now := c.row(key).State; now == statePrepared || rows[key].State != "" {
			return fmt.Errorf("%w: %q is prepared", ErrKey, key)
		}
		rows[key] = keyRow{State: statePrepared, First: c.First(key), Artefact: number}
		if err := writeKey(tx, key, rows[key]); err != nil {
			return err
		}
	}
	return nil
}

// Done records that effects have happened, and runs with in the same transaction: the records of the log and the facts
// are there if and only if the effect is. All keys of an artefact are done when one is. with may be nil. The end of ctx
// is not obeyed: what has happened must be known. It returns [ErrFenced], and nothing is written, when the claim was
// lost.
func (c *Claim) Done(ctx context.Context, keys []Key, with func(store.Tx) error) error {
	keys = c.whole(keys)
	ended := []Ended{{claim: c, keys: keys, with: with}}
	if err := c.register.write(ctx, parts(ended)); err != nil {
		return err
	}
	forget(ended)
	return nil
}

func (c *Claim) finish(tx store.Tx, key Key) error {
	row := c.row(key)
	if row.State == statePrepared {
		if err := tx.Delete(tableArtefacts, artefactKey(row.Artefact)); err != nil {
			return err
		}
	}
	return writeKey(tx, key, keyRow{State: stateDone, First: row.First, Done: c.register.clock.Now()})
}

// Withdraw records that what was prepared under some keys, and under those that were prepared together with them, is
// known not to have arrived: they are free again, and keep their first instant. Each MUST be prepared. The end of ctx is
// not obeyed. It returns [ErrFenced], and nothing is written, when the claim was lost.
func (c *Claim) Withdraw(ctx context.Context, keys []Key) error {
	keys = c.whole(keys)
	rows := map[Key]keyRow{}
	err := c.register.write(context.WithoutCancel(ctx), []part{{claim: c, step: StepWithdraw, keys: keys, write: func(tx store.Tx) error {
		for _, key := range keys {
			row := c.row(key)
			if row.State != statePrepared {
				return fmt.Errorf("%w: %q is not prepared", ErrKey, key)
			}
			rows[key] = keyRow{State: stateSeen, First: row.First}
			if err := errors.Join(tx.Delete(tableArtefacts, artefactKey(row.Artefact)), writeKey(tx, key, rows[key])); err != nil {
				return err
			}
		}
		return nil
	}}})
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.Copy(c.keys, rows)
	return nil
}

// Release gives back what is not done. What is prepared stays so, and the instant of a first presentation is kept; when
// the store cannot take it, the next presentation counts as the first. The end of ctx is not obeyed.
func (c *Claim) Release(ctx context.Context) {
	keys := c.held()
	if err := c.register.hold(c.fence, keys, true); err == nil {
		_ = c.remember(context.WithoutCancel(ctx), keys) // the leases end all the same, and nobody waits for an answer
	}
	c.register.give(c.fence, keys)
}

// Forget gives back the claim as if it had never been, but for what is prepared or done.
func (c *Claim) Forget() {
	c.register.give(c.fence, c.held())
}

// remember keeps the first instants of the keys that have no row, if there are any.
func (c *Claim) remember(ctx context.Context, keys []Key) error {
	fresh := slices.DeleteFunc(slices.Clone(keys), func(key Key) bool { return c.row(key).State != "" })
	if len(fresh) == 0 {
		return nil
	}
	return c.register.store.Update(ctx, func(tx store.Tx) error {
		for _, key := range fresh {
			// What is there was written since: a panic came between the end of the effect and our knowing of it.
			now, err := readKey(tx, key)
			if err == nil && now.State == "" {
				err = writeKey(tx, key, keyRow{State: stateSeen, First: c.First(key)})
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// whole adds the keys that were prepared together with those given.
func (c *Claim) whole(keys []Key) []Key {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []Key
	for _, key := range keys {
		number := c.keys[key].Artefact
		for other, row := range c.keys {
			if number != 0 && row.Artefact == number && !slices.Contains(all, other) {
				all = append(all, other)
			}
		}
		if !slices.Contains(all, key) {
			all = append(all, key)
		}
	}
	return all
}

func (c *Claim) has(key Key) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, found := c.keys[key]
	return found
}

func (c *Claim) row(key Key) keyRow {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.keys[key]
}

// held are the keys of the claim that are not done, but for those of an [Ended].
func (c *Claim) held() []Key {
	c.mu.Lock()
	defer c.mu.Unlock()
	keys := make([]Key, 0, len(c.keys))
	for key := range c.keys {
		if !c.ended[key] {
			keys = append(keys, key)
		}
	}
	return keys
}
