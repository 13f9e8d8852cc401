package effect

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/pec"
)

// defaultLease is how long a claim is safe without [Claim.Renew], [Claim.Prepare] or [Claim.Done].
const defaultLease = 10 * time.Minute

// Register knows who works on what. It is safe for concurrent use.
//
// Its leases are in memory: the agent is the only opener of its store, so that the leases of an earlier process are
// void, and a claim costs no flush of the disk.
type Register struct {
	store store.Store
	clock clock.Clock
	probe Probe
	lease time.Duration

	mu     sync.Mutex
	fence  uint64
	leases map[Key]*lease
}

// lease says who works on a key.
type lease struct {
	fence uint64
	first time.Time // first presentation, as far as is known
	until time.Time
	busy  bool // a transaction of the holder is under way: nobody takes the key now
}

// New makes the register of a store; there MUST be one per store. probe may be nil.
func New(s store.Store, c clock.Clock, probe Probe) *Register {
	return &Register{store: s, clock: c, probe: probe, lease: defaultLease, leases: map[Key]*lease{}}
}

// Probe is the probe of the register, for the steps that are the caller's.
func (r *Register) Probe() Probe { return r.probe }

// Known returns the digests under which effects of a message are recorded, in no order. None: it was never seen.
func (r *Register) Known(ctx context.Context, signer, identifier string) ([][32]byte, error) {
	var known [][32]byte
	err := r.store.View(ctx, func(tx store.Tx) error {
		return digests(tx, Key{Signer: signer, Identifier: identifier}, func(digest [32]byte, _ time.Time) {
			if !slices.Contains(known, digest) {
				known = append(known, digest)
			}
		})
	})
	return known, err
}

// take leases all keys to a claim, or none.
func (r *Register) take(fence uint64, keys []Key) error {
	now := r.clock.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, key := range keys {
		if l := r.leases[key]; l != nil && l.fence != fence && (l.busy || now.Before(l.until)) {
			return lost(ErrHeld)
		}
	}
	for _, key := range keys {
		switch l := r.leases[key]; {
		case l == nil:
			r.leases[key] = &lease{fence: fence, first: now, until: now.Add(r.lease)}
		case l.fence != fence: // it ran out
			r.leases[key] = &lease{fence: fence, first: l.first, until: now.Add(r.lease)}
		}
	}
	return nil
}

func lost(err error) error { return &pec.Error{Op: "effect", Kind: pec.ErrorBusy, Err: err} }

// give ends the leases that a claim still has on keys.
func (r *Register) give(fence uint64, keys []Key) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, key := range keys {
		if l := r.leases[key]; l != nil && l.fence == fence {
			delete(r.leases, key)
		}
	}
}

// hold renews the leases of a claim on keys, unless it lost one. While busy, no other claim gets them.
func (r *Register) hold(fence uint64, keys []Key, busy bool) error {
	now := r.clock.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, key := range keys {
		if l := r.leases[key]; l == nil || l.fence != fence {
			return lost(ErrFenced)
		}
	}
	for _, key := range keys {
		l := r.leases[key]
		l.until, l.busy = now.Add(r.lease), busy
	}
	return nil
}

func (r *Register) nextFence() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fence++
	return r.fence
}
