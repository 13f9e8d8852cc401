package effect

import (
	"context"
	"fmt"

	"github.com/ceralacca/ceralacca/internal/store"
)

// Ended is an effect that has happened and is still to be written down, with the next one that is prepared or alone. The
// claim keeps its keys until then, also after [Claim.Release]; a run that dies before leaves it prepared, as one that
// died before [Claim.Done] does.
type Ended struct {
	claim *Claim
	keys  []Key
	with  func(store.Tx) error
}

// End says that effects have happened, for [Claim.PrepareAfter] or [Register.Finish] to write down, soon. with is that of
// [Claim.Done]; it may run again when the transaction that it ran in failed.
func (c *Claim) End(keys []Key, with func(store.Tx) error) Ended {
	keys = c.whole(keys)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, key := range keys {
		c.ended[key] = true
	}
	return Ended{claim: c, keys: keys, with: with}
}

// Finish is [Claim.Done] for what ended, in order and in one transaction.
func (r *Register) Finish(ctx context.Context, ended []Ended) error {
	if len(ended) == 0 {
		return nil
	}
	if err := r.write(ctx, parts(ended)); err != nil {
		return err
	}
	forget(ended)
	return nil
}

// Abandon gives back the keys of what ended and could not be written: it stays prepared.
func Abandon(ended []Ended) {
	for _, e := range ended {
		e.claim.register.give(e.claim.fence, e.keys)
	}
}

// part is what one claim writes in a transaction.
type part struct {
	claim *Claim
	step  string
	keys  []Key
	write func(store.Tx) error
}

func parts(ended []Ended) []part {
	all := make([]part, 0, len(ended)+1)
	for _, e := range ended {
		all = append(all, part{claim: e.claim, step: StepDone, keys: e.keys, write: e.write})
	}
	return all
}

func (e Ended) write(tx store.Tx) error {
	for _, key := range e.keys {
		if err := e.claim.finish(tx, key); err != nil {
			return err
		}
	}
	if e.with == nil {
		return nil
	}
	return e.with(tx)
}

// forget takes what is written out of the claims.
func forget(ended []Ended) {
	for _, e := range ended {
		e.claim.mu.Lock()
		for _, key := range e.keys {
			delete(e.claim.keys, key)
			delete(e.claim.ended, key)
		}
		e.claim.mu.Unlock()
		e.claim.register.give(e.claim.fence, e.keys)
	}
}

// write runs the parts in one transaction: between the check that the claims still have their keys and the commit nobody
// can take them. The end of ctx is not obeyed when something is done.
func (r *Register) write(ctx context.Context, parts []part) error {
	run := func() error { return r.commit(ctx, parts) }
	for n := len(parts) - 1; n >= 0; n-- {
		p, inner := parts[n], run
		for _, key := range p.keys {
			if !p.claim.has(key) {
				return fmt.Errorf("%w: %q is no part of the claim", ErrKey, key)
			}
		}
		if p.step == StepDone {
			ctx = context.WithoutCancel(ctx)
		}
		run = func() error { return r.probe.around(p.step, p.keys, inner) }
	}
	return run()
}

func (r *Register) commit(ctx context.Context, parts []part) error {
	for n, p := range parts {
		if err := r.hold(p.claim.fence, p.keys, true); err != nil {
			_ = r.holdAll(parts[:n], false) // that they are held no more is not what failed
			return err
		}
	}
	err := r.store.Update(ctx, func(tx store.Tx) error {
		for _, p := range parts {
			if err := p.write(tx); err != nil {
				return err
			}
		}
		return nil
	})
	if lost := r.holdAll(parts, false); err == nil {
		err = lost
	}
	return err
}

// holdAll renews the leases of all parts; the error is the first.
func (r *Register) holdAll(parts []part, busy bool) (err error) {
	for _, p := range parts {
		if lost := r.hold(p.claim.fence, p.keys, busy); err == nil {
			err = lost
		}
	}
	return err
}
