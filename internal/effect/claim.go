package effect

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/ceralacca/ceralacca/internal/store"
)

// Claim is the exclusive right to work on some keys, until [Claim.Release] or until the lease runs out. It is safe for
// concurrent use on different keys; its fields stay as they were at [Register.Claim].
type Claim struct {
	// Free are the keys that nobody has worked on.
	Free []Key
	// Finished are those that are done; they are not part of the claim.
	Finished []Key
	// Prepared are the artefacts that an earlier run prepared, and that may or may not have arrived. All keys of such an
	// artefact are part of the claim, also those that were not asked for.
	Prepared []Prepared
	// Others are other digests that were presented earlier under the signer and identifier of a key; only these three
	// fields are set. Whoever finds any holds a message that is not what it says, and calls [Claim.Forget].
	Others []Key

	register *Register
	fence    uint64

	mu    sync.Mutex
	keys  map[Key]keyRow // what is claimed and not done
	ended map[Key]bool   // of keys: what has happened and is still to be written; Release leaves them
}

// Claim takes all keys for the caller, or none: when another claim holds one it returns [ErrHeld], a [pec.ErrorBusy].
// What an earlier run prepared is taken over. The caller MUST call Release.
func (r *Register) Claim(ctx context.Context, keys []Key) (*Claim, error) {
	for _, key := range keys {
		if err := key.check(); err != nil {
			return nil, err
		}
	}
	c := &Claim{register: r, fence: r.nextFence(), keys: map[Key]keyRow{}, ended: map[Key]bool{}}
	err := r.probe.around(StepClaim, keys, func() error {
		if err := r.take(c.fence, keys); err != nil {
			return err
		}
		return r.store.View(ctx, func(tx store.Tx) error { return c.read(tx, keys) })
	})
	if err != nil {
		r.give(c.fence, append(c.held(), keys...))
		return nil, err
	}
	r.give(c.fence, c.Finished)
	return c, nil
}

// read parts the keys by what the store knows of them. The claim has their leases: nobody changes these rows.
func (c *Claim) read(tx store.Tx, keys []Key) error {
	var artefacts []uint64
	for _, key := range keys {
		row, err := readKey(tx, key)
		if err != nil {
			return err
		}
		switch _, twice := c.keys[key]; {
		case twice || slices.Contains(c.Finished, key):
		case row.State == stateDone:
			c.Finished = append(c.Finished, key)
		case row.State == statePrepared:
			c.keys[key] = row
			if !slices.Contains(artefacts, row.Artefact) {
				artefacts = append(artefacts, row.Artefact)
			}
		default:
			c.Free = append(c.Free, key)
			c.keys[key] = row
		}
	}
	for _, number := range artefacts {
		if err := c.takeOver(tx, number); err != nil {
			return err
		}
	}
	c.setFirst()
	return c.findOthers(tx)
}

// takeOver makes a prepared artefact with all its keys part of the claim.
func (c *Claim) takeOver(tx store.Tx, number uint64) error {
	p, err := readArtefact(tx, number)
	if err != nil {
		return err
	}
	if err := c.register.take(c.fence, p.Keys); err != nil {
		return err
	}
	for _, key := range p.Keys {
		row, err := readKey(tx, key)
		if err != nil {
			return err
		}
		c.keys[key] = row
	}
	c.Prepared = append(c.Prepared, p)
	return nil
}

// setFirst gives the keys their first instant: that of their row, or that of this claim.
func (c *Claim) setFirst() {
	c.register.mu.Lock()
	defer c.register.mu.Unlock()
	for key, row := range c.keys {
		l := c.register.leases[key]
		if l == nil || l.fence != c.fence {
			continue // lost already: the next step says so
		}
		if row.First.IsZero() {
			row.First = l.first
			c.keys[key] = row
		}
		l.first = row.First
	}
}

// findOthers looks for messages that say they are the same and are not: in the rows and among who works just now.
func (c *Claim) findOthers(tx store.Tx) error {
	mine := map[Key]time.Time{}
	for key, row := range c.keys {
		message := Key{Signer: key.Signer, Identifier: key.Identifier, Digest: key.Digest}
		if first, found := mine[message]; !found || row.First.Before(first) {
			mine[message] = row.First
		}
	}
	for message, first := range mine {
		c.findWorking(message)
		err := digests(tx, message, func(digest [32]byte, seen time.Time) {
			if digest != message.Digest && !seen.After(first) {
				c.addOther(Key{Signer: message.Signer, Identifier: message.Identifier, Digest: digest})
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *Claim) findWorking(message Key) {
	c.register.mu.Lock()
	defer c.register.mu.Unlock()
	for key, l := range c.register.leases {
		if key.Signer == message.Signer && key.Identifier == message.Identifier && key.Digest != message.Digest && l.fence < c.fence {
			c.addOther(Key{Signer: key.Signer, Identifier: key.Identifier, Digest: key.Digest})
		}
	}
}

func (c *Claim) addOther(key Key) {
	if !slices.Contains(c.Others, key) {
		c.Others = append(c.Others, key)
	}
}
