package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/plugins"
)

// Rhythm of the engine.
const (
	tick       = time.Second
	lockPause  = 100 * time.Millisecond
	housekeep  = time.Hour
	lockWorry  = 30 * time.Second // a process that waits this long for the other is not well
	stampsKept = 25 * time.Hour   // a digest is a day at most, and so is what a cap counts
)

// box is a mailbox with something to tell, or that was told something today.
type box struct {
	mailbox string
	pending []event
	open    []*notice
	sent    []stamp
	next    time.Time // when to look at it
	busy    bool      // a worker has it, and with it all but pending
}

// stamp is a notice that was made.
type stamp struct {
	class string
	made  time.Time
}

// engine takes events and sends notices. It is safe for concurrent use.
//
// Taking needs nothing but the disk. Sending is for one process at a time, the one that has the lock: while the host swaps
// two releases there are two of them.
type engine struct {
	c     config
	store store
	rules *ruler
	clock clock.Clock
	log   *slog.Logger

	breakers map[channel]*breaker
	wake     chan struct{}
	started  time.Time

	mu     sync.Mutex
	boxes  map[string]*box  // nil until this process has the lock
	faults map[string]error // of the state folder, by what was done with it
	counts map[legState]int
	end    context.CancelFunc // of run; nil before it
	ended  chan struct{}      // closed when run has returned
}

var (
	_ plugins.Notifier = (*engine)(nil)
	_ plugins.Healther = (*engine)(nil)
)

func open(c config, k clock.Clock, log *slog.Logger) (*engine, error) {
	e := &engine{c: c, store: store(c.state), clock: k, log: log, wake: make(chan struct{}, 1), counts: map[legState]int{}, faults: map[string]error{},
		ended: make(chan struct{}), breakers: map[channel]*breaker{}, started: k.Now()}
	if err := e.store.make(); err != nil {
		return nil, err
	}
	var err error
	if e.rules, err = newRuler(c); err != nil {
		return nil, err
	}
	for _, ch := range []channel{c.sms, c.mail} {
		if ch != nil {
			e.breakers[ch] = &breaker{}
		}
	}
	return e, nil
}

// Notify implements plugins.Notifier. It is done when the event is on the disk: it does not wait for anybody.
func (e *engine) Notify(_ context.Context, got plugins.Event) (plugins.Effect, error) {
	name := nameOf("event " + got.Key)
	answer := plugins.Effect{Outcome: plugins.Done, Reference: name}
	if r := e.rules.of(got.Mailbox); r == nil || !r.wants(got.Name) {
		return answer, nil
	}
	return answer, e.take(event{Mailbox: got.Mailbox, Kind: got.Name, Taken: e.clock.Now(), name: name})
}

func (e *engine) take(ev event) error {
	fresh, err := e.store.take(ev)
	if err != nil || !fresh {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.boxes == nil {
		return nil // who has the lock later finds it
	}
	e.add(ev)
	e.poke()
	return nil
}

// poke lets the engine look at its mailboxes before the next tick.
func (e *engine) poke() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// add puts an event with its mailbox; mu is held.
func (e *engine) add(ev event) {
	b := e.box(ev.Mailbox)
	if slices.ContainsFunc(b.pending, func(other event) bool { return other.name == ev.name }) {
		return
	}
	b.pending, b.next = append(b.pending, ev), time.Time{}
}

func (e *engine) box(mailbox string) *box {
	b := e.boxes[mailbox]
	if b == nil {
		b = &box{mailbox: mailbox}
		e.boxes[mailbox] = b
	}
	return b
}

// fault keeps what is wrong with the state folder, nil for nothing, until the same is tried again.
func (e *engine) fault(what string, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if old := e.faults[what]; err != nil && (old == nil || old.Error() != err.Error()) {
		e.log.Error("sms: the state folder", slog.Any("error", err))
	}
	e.faults[what] = err
}

// load reads what a former process left.
func (e *engine) load() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	boxes := map[string]*box{}
	e.boxes = boxes
	told := map[string]bool{}
	err := e.loadNotices(told)
	var events []event
	if err == nil {
		events, err = e.store.events()
	}
	if err != nil {
		e.boxes = nil
		return err
	}
	for _, ev := range events {
		if !told[ev.name] {
			e.add(ev)
		}
	}
	return nil
}

// loadNotices puts notices with their mailboxes, and finishes what a crash interrupted; mu is held.
func (e *engine) loadNotices(told map[string]bool) error {
	now := e.clock.Now()
	open, err := e.store.notices("out")
	if err != nil {
		return err
	}
	replaced := map[string]bool{}
	for _, n := range open {
		replaced[n.Instead] = true
	}
	for _, n := range open {
		if replaced[n.ID] {
			if err := e.store.drop(n.ID); err != nil {
				return err
			}
			continue
		}
		for _, name := range n.Events {
			told[name] = true
		}
		if err := e.store.finish(n, now); err != nil {
			return err
		}
		b := e.box(n.Mailbox)
		b.open = append(b.open, n)
		b.sent = append(b.sent, stamp{n.Class, n.Made})
	}
	for day := -1; day < 3; day++ {
		closed, err := e.store.notices("sent/" + dayOf(now.AddDate(0, 0, -day)))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		for _, n := range closed {
			for _, name := range n.Events {
				told[name] = true
			}
			if now.Sub(n.Made) < stampsKept {
				b := e.box(n.Mailbox)
				b.sent = append(b.sent, stamp{n.Class, n.Made})
			}
		}
	}
	return nil
}

// due takes the mailboxes to look at now.
func (e *engine) due(now time.Time) []*box {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []*box
	for name, b := range e.boxes {
		if b.busy {
			continue
		}
		b.sent = slices.DeleteFunc(b.sent, func(s stamp) bool { return now.Sub(s.made) > stampsKept })
		switch {
		case len(b.pending)+len(b.open) == 0:
			if len(b.sent) == 0 {
				delete(e.boxes, name)
			}
		case !now.Before(b.next):
			b.busy = true
			out = append(out, b)
		}
	}
	return out
}

// serve does what can be done for a mailbox now.
func (e *engine) serve(ctx context.Context, b *box) {
	e.mu.Lock()
	pending := slices.Clone(b.pending)
	e.mu.Unlock()
	next, used, err := e.plan(b, pending)
	if err == nil {
		var sending time.Time
		if sending, err = e.deliver(ctx, b); !sending.IsZero() && (next.IsZero() || sending.Before(next)) {
			next = sending
		}
	}
	if err != nil {
		next = e.clock.Now().Add(5 * tick)
		e.log.Error("sms: a notice waits", slog.String("mailbox", b.mailbox), slog.Any("error", err))
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	fresh := len(b.pending) > len(pending)
	b.pending = slices.DeleteFunc(b.pending, func(ev event) bool { return used[ev.name] })
	b.busy, b.next = false, next
	if fresh && err == nil {
		b.next = time.Time{}
	}
	if len(b.pending) > 0 && !b.next.After(e.clock.Now()) {
		e.poke() // what came meanwhile need not wait for a tick
	}
}

// Health implements plugins.Healther.
func (e *engine) Health() plugins.Health {
	now := e.clock.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	var h plugins.Health
	measure := func(name string, value float64) {
		h.Measures = append(h.Measures, plugins.Measure{Name: name, Value: value})
	}
	pending, open, oldest := 0, 0, now
	for _, b := range e.boxes {
		pending += len(b.pending)
		open += len(b.open)
		for _, ev := range b.pending {
			oldest = earlier(oldest, ev.Taken)
		}
	}
	rules, wrong := e.rules.state()
	faulty := errors.Join(e.faults["lock"], e.faults["load"], e.faults["forget"], e.faults["spool"])
	measure("rules_count", float64(rules))
	measure("events_waiting_count", float64(pending))
	measure("notices_open_count", float64(open))
	measure("oldest_event_seconds", now.Sub(oldest).Seconds())
	for _, s := range []legState{done, refused, expired, unknown} {
		measure("sendings_"+string(s)+"_count", float64(e.counts[s]))
	}
	switch {
	case wrong != nil:
		h.Problem = "the rules that were read last stay in force: " + wrong.Error()
	case faulty != nil:
		h.Problem = faulty.Error()
	case e.boxes == nil && now.Sub(e.started) > lockWorry:
		h.Problem = "another process has the lock in " + e.c.state + " and sends: end it"
	}
	for ch, b := range e.breakers {
		if why, since := b.problem(); why != "" {
			h.Problem = fmt.Sprintf("%s does not work since %s: %s", ch.name(), since.In(e.c.zone).Format(time.DateTime), why)
		}
	}
	if len(h.Problem) > 1000 {
		h.Problem = h.Problem[:1000]
	}
	return h
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
