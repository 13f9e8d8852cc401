package property

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"time"

	"github.com/ceralacca/ceralacca/internal/effect"
	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/pec"
)

// op is what one step of a walk does; a step reads its numbers modulo what there is, so that a walk stays one when
// others are left out.
type op string

const (
	opPresent op = "present" // a message of Postfix's queue, some of its recipients still waiting
	opGo      op = "go"      // a presentation under way goes to its next point
	opKill    op = "kill"    // the process dies and another one starts
	opHours   op = "hours"   // time passes, in quarters of an hour
	opDovecot op = "dovecot" // what Dovecot does with the next hand-over
	opOut     op = "out"     // what the outbound instance does with the next one
	opBlind   op = "blind"   // the next look into a mailbox fails
	opDisk    op = "disk"    // the next commit fails
	opNotice  op = "notice"  // another provider certifies something
	opBounce  op = "bounce"  // a DSN about a recipient of another provider
	opCrowd   op = "crowd"   // from here on the presentations of a message do not wait for each other
)

type step struct {
	op   op
	a, b int
}

func (s step) String() string { return fmt.Sprintf("%s %d %d", s.op, s.a, s.b) }

// answer is what a peer does with a hand-over.
type answer int

const (
	takes answer = iota
	defers
	refuses
	takesAndDies // it has the message, and the answer is lost
	dies         // it does not have it, and nobody knows
	answers
)

// ways are seeded faults: the zero value has none, and each of the others MUST be found.
type ways struct {
	laterFactWins, doneBeforeHandOver, claimsBlind, noLook, answersEarly, forgetsFacts, acceptsLate, composesAnew, notFenced bool
}

// artefact is something that arrived.
type artefact struct {
	kind      string
	message   *message
	recipient string
	digest    [32]byte
}

// message is what Postfix holds.
type message struct {
	number     int
	identifier pec.Identifier
	digest     [32]byte
	submission bool
	signer     string
	sender     pec.Address
	recipients []pec.Recipient
	local      []pec.Address        // presented to the agent
	waiting    map[pec.Address]bool // of local: not answered 250
	queued     bool                 // it was presented at least once
	diverted   bool                 // it is not what it says, and nothing is certified of it
	bounces    map[pec.Address]bool // DSNs in the queue, by recipient
}

// life is one process: when it dies, nothing of it writes any more.
type life struct {
	inner    store.Store
	w        *world
	dead     bool
	register *effect.Register
}

var _ store.Store = (*life)(nil)

var errDead = errors.New("the process is dead")
var errDisk = errors.New("the disk is full")

// Update implements store.Store: what the model learns in the transaction counts when it is committed.
func (l *life) Update(ctx context.Context, fn func(store.Tx) error) error {
	if l.dead {
		return errDead
	}
	if l.w.diskFails {
		l.w.diskFails = false
		return errDisk
	}
	l.w.learnt = nil
	if err := l.inner.Update(ctx, fn); err != nil {
		return err
	}
	for _, learn := range l.w.learnt {
		learn()
	}
	l.w.learnt = nil
	return nil
}

// View implements store.Store.
func (l *life) View(ctx context.Context, fn func(store.Tx) error) error {
	if l.dead {
		return errDead
	}
	return l.inner.View(ctx, fn)
}

// Close implements store.Store.
func (l *life) Close() error { return nil }

type stoppedClock struct{ now time.Time }

func (c *stoppedClock) Now() time.Time                             { return c.now }
func (c *stoppedClock) Sleep(context.Context, time.Duration) error { return nil }

// session is a presentation under way.
type session struct {
	w     *world
	life  *life
	turn  string // of the message, for what lda takes in turn; empty is none
	next  func() (string, bool)
	stop  func()
	yield func(string) bool
	ended []effect.Ended
}

// world is all that lives as long as a walk.
type world struct {
	ways     ways
	store    store.Store
	clock    *stoppedClock
	life     *life
	messages []*message
	running  []*session
	now      *session // that which runs
	turns    map[string]*session

	dovecot, out     answer
	blind, diskFails bool
	crowded          bool

	boxes    map[string][]artefact
	relayed  []artefact
	made     int // artefacts composed, so that no two are alike
	model    *model
	learnt   []func()
	violated string
}

func address(s string) pec.Address {
	a, err := pec.ParseAddress(s)
	if err != nil {
		panic(err)
	}
	return a
}

const provider, other = "Alfa", "Beta"

func newWorld(dir string, w ways) (*world, error) {
	s, err := store.Open(filepath.Join(dir, "state.db"))
	if err != nil {
		return nil, err
	}
	n := &world{ways: w, store: s, clock: &stoppedClock{now: time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)},
		boxes: map[string][]artefact{}, turns: map[string]*session{}, model: newModel()}
	n.live()
	n.add(true, "m0@alfa.example", "mario@alfa.example", "a1@alfa.example", "a2@alfa.example", "b1@beta.example")
	n.add(true, "m1@alfa.example", "mario@alfa.example", "a1@alfa.example", "b1@beta.example", "b2@beta.example")
	n.add(false, "m2@beta.example", "anna@beta.example", "a1@alfa.example", "a2@alfa.example", "a3@alfa.example")
	n.add(false, "m2@beta.example", "anna@beta.example", "a1@alfa.example", "a2@alfa.example") // says it is the one before
	n.add(true, "m4@alfa.example", "a2@alfa.example", "a1@alfa.example", "a2@alfa.example", "a3@alfa.example")
	return n, nil
}

func (w *world) add(submission bool, id, sender string, recipients ...string) {
	m := &message{number: len(w.messages), identifier: pec.Identifier(id), submission: submission, signer: other, sender: address(sender),
		waiting: map[pec.Address]bool{}, bounces: map[pec.Address]bool{}}
	m.digest = sha256.Sum256(fmt.Append(nil, "message", m.number))
	if submission {
		m.signer = provider
	}
	for _, r := range recipients {
		a := address(r)
		m.recipients = append(m.recipients, pec.Recipient{Address: a, Type: pec.Certified})
		if ours(a.Domain()) {
			m.local, m.waiting[a] = append(m.local, a), true
		}
	}
	w.messages = append(w.messages, m)
}

func ours(domain string) bool { return domain == "alfa.example" }

// live starts a process on what is in the store.
func (w *world) live() {
	w.life = &life{inner: w.store, w: w}
	w.life.register = w.newRegister()
}

func (w *world) newRegister() *effect.Register {
	probe := func(step, name string) {
		if w.now != nil {
			w.now.at(step + " " + name)
		}
	}
	return effect.New(w.life, w.clock, probe)
}

// kill ends the process: its presentations stop where they stand.
func (w *world) kill() {
	w.life.dead = true
	for _, s := range w.running {
		s.stop()
	}
	w.running, w.turns = nil, map[string]*session{}
	w.live()
}

var errKilled = errors.New("killed")

// at is a point at which others may run, or the process may die.
func (s *session) at(point string) {
	if !s.yield(point) {
		panic(errKilled)
	}
}

// begin starts a presentation; turn is what it takes in turn with others, empty for nothing.
func (w *world) begin(turn string, do func(*session)) {
	s := &session{w: w, life: w.life, turn: turn}
	if w.ways.claimsBlind {
		other := *w.life
		other.register = w.newRegister()
		s.life = &other
	}
	s.next, s.stop = iter.Pull(func(yield func(string) bool) {
		s.yield = yield
		defer func() {
			if cause := recover(); cause != nil && cause != errKilled { //nolint:errorlint // the very value that at panics with
				panic(cause)
			}
		}()
		s.at("begin")
		do(s)
	})
	w.running = append(w.running, s)
}

// advance lets a presentation run to its next point.
func (w *world) advance(n int) {
	if len(w.running) == 0 {
		return
	}
	n %= len(w.running)
	s := w.running[n]
	if s.turn != "" {
		if holder := w.turns[s.turn]; holder != nil && holder != s {
			return
		}
		w.turns[s.turn] = s
	}
	w.now = s
	_, more := s.next()
	w.now = nil
	if more {
		return
	}
	w.running = append(w.running[:n], w.running[n+1:]...)
	if s.turn != "" {
		delete(w.turns, s.turn)
	}
}

// violate keeps the first thing that must not be.
func (w *world) violate(format string, args ...any) {
	if w.violated == "" {
		w.violated = fmt.Sprintf(format, args...)
	}
}

func (w *world) do(s step) {
	switch s.op {
	case opPresent:
		w.present(w.messages[s.a%len(w.messages)], s.b)
	case opGo:
		w.advance(s.a)
	case opKill:
		w.kill()
	case opHours:
		w.clock.now = w.clock.now.Add(time.Duration(s.a%8+1) * 15 * time.Minute * time.Duration(1+s.b%2*12))
		w.retry()
	case opDovecot:
		w.dovecot = answer(s.a % int(answers))
	case opOut:
		w.out = answer(s.a % int(answers))
	case opBlind:
		w.blind = true
	case opDisk:
		w.diskFails = true
	case opNotice:
		w.notice(s.a, s.b)
	case opBounce:
		w.bounce(s.a, s.b)
	case opCrowd:
		w.crowded = w.crowded || len(w.running) == 0
	}
}
