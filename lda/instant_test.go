package lda

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/internal/effect"
	"github.com/ceralacca/ceralacca/internal/ledger"
	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/internal/tracking"
	"github.com/ceralacca/ceralacca/pec"
)

// TestUnsoundClock: while nobody keeps the clock nothing is stamped, delivered or told, of whatever comes; then all is.
func TestUnsoundClock(t *testing.T) {
	w := newWorld(t)
	wrong := errors.New("nobody keeps the clock")
	sent := w.submitted()
	envelope, _, _ := w.incoming(&message{from: anna, to: []string{luigi}})
	later, _, _ := w.submission(&message{from: mario, to: []string{luigi}})
	w.unsound.Store(&wrong)
	bounce := w.sample("01-refused", sent.ID)
	for name, answers := range map[string][]string{
		"a submission": w.present(later, mario, luigi, "accettazione"+internal),
		"an envelope":  w.present(envelope, anna, luigi),
		"a bounce":     w.presentAt(w.config.Agent.DSNSocket, bounce, "<>", []string{mario}),
	} {
		if slices.Contains(answers, "250 2.0.0") || answers[0] != "451 4.3.0" {
			t.Errorf("%s without a clock: got %q, want 451 4.3.0", name, answers)
		}
	}
	same(t, "mario", w.in(mario), []string{"accettazione"})
	same(t, "luigi", w.in(luigi), []string{})
	same(t, "out", w.outgoing(), []string{})
	w.unsound.Store(nil)
	same(t, "the envelope when it is kept again", w.present(envelope, anna, luigi), []string{"250 2.0.0"})
	same(t, "luigi when it is kept again", w.in(luigi), []string{"posta-certificata"})
}

// TestUnsoundClockKeepsEvidence: a clock that nobody keeps ends no time of the quarantine.
func TestUnsoundClockKeepsEvidence(t *testing.T) {
	w := newWorld(t)
	text, _, _ := w.infectedSubmission(mario, luigi)
	same(t, "answer", w.present(text, mario, "rifiuto"+internal), []string{"250 2.0.0"})
	wrong := errors.New("nobody keeps the clock")
	w.unsound.Store(&wrong)
	w.clock.shift.Store(int64(40 * 365 * 24 * time.Hour))
	if err := w.agent.retireOld(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := len(w.quarantined()); got != 1 {
		t.Errorf("with a wrong clock: %d messages in the quarantine, want 1", got)
	}
	w.unsound.Store(nil)
	if err := w.agent.retireOld(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := len(w.quarantined()); got != 0 {
		t.Errorf("with a clock that is kept, after 40 years: %d messages in the quarantine, want none", got)
	}
}

// TestUnsoundClockTellsNobody: with a clock that nobody keeps no sender hears that time ran out; with one that is kept he does.
func TestUnsoundClockTellsNobody(t *testing.T) {
	conformance.Covers(t, "C088")
	w := newWorld(t)
	w.accepts(mario, anna)
	wrong := errors.New("nobody keeps the clock")
	w.unsound.Store(&wrong)
	w.at(13 * time.Hour)
	same(t, "with a wrong clock", w.notices(mario), []string{})
	w.unsound.Store(nil)
	w.at(13 * time.Hour)
	same(t, "with a clock that is kept", w.notices(mario), []string{first(anna)})
}

// whileWaiting has something wait for the turn of a message, changes the world meanwhile, and lets it go on.
func (w *world) whileWaiting(message pec.Identifier, do, change func()) {
	w.t.Helper()
	end, err := w.agent.turns.take(w.t.Context(), string(message))
	if err != nil {
		w.t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(do)
	for waiting := 0; waiting < 2; time.Sleep(time.Millisecond) {
		w.agent.turns.mu.Lock()
		waiting = w.agent.turns.busy[string(message)].waiting
		w.agent.turns.mu.Unlock()
	}
	change()
	end()
	running.Wait()
}

// TestClockGoesWrongMeanwhile: what waited for its turn asks again whether the clock may be certified by, and no notice is
// dated by one that was set back.
func TestClockGoesWrongMeanwhile(t *testing.T) {
	conformance.Covers(t, "C088", "C186")
	w := newWorld(t)
	wrong := errors.New("nobody keeps the clock")
	envelope, r, _ := w.incoming(&message{from: anna, to: []string{luigi}})
	w.whileWaiting(r.Identifier,
		func() { same(t, "an envelope", w.present(envelope, anna, luigi), []string{"451 4.3.0"}) },
		func() { w.unsound.Store(&wrong) })
	same(t, "luigi", w.in(luigi), []string{})
	w.unsound.Store(nil)

	about := w.accepts(mario, anna)
	look := func() { w.at(13 * time.Hour) }
	w.whileWaiting(about.Identifier, look, func() { w.unsound.Store(&wrong) })
	same(t, "notices with a wrong clock", w.notices(mario), []string{})
	w.unsound.Store(nil)
	w.clock.shift.Store(int64(13*time.Hour + 2*time.Minute))
	look = func() { w.at(13*time.Hour + 2*time.Minute) }
	w.whileWaiting(about.Identifier, look, func() { w.clock.shift.Store(int64(11 * time.Hour)) })
	same(t, "notices with a clock that was set back", w.notices(mario), []string{})
	w.at(14 * time.Hour)
	same(t, "notices in the end", w.notices(mario), []string{first(anna)})
	w.audited(about.Identifier)
}

// TestClockSetBack: a message whose instant is still to come waits until it has come, with an alarm; a second is waited for.
func TestClockSetBack(t *testing.T) {
	conformance.Covers(t, "C186")
	w := newWorld(t)
	text, r, _ := w.submission(&message{from: mario, to: []string{luigi}, at: w.clock.Now().Add(time.Hour).Truncate(time.Second)})
	recipients := []string{luigi, "accettazione" + internal}
	same(t, "answers an hour before", w.present(text, mario, recipients...), []string{"451 4.3.0", "451 4.3.0"})
	same(t, "events an hour before", w.events(r.Identifier), []string{})
	if log := w.log.String(); !strings.Contains(log, "was set back") || !strings.Contains(log, "alarm=true") {
		t.Errorf("there is no alarm:\n%s", log)
	}
	w.clock.shift.Store(int64(time.Hour - time.Second))
	same(t, "answers about a second before", w.present(text, mario, recipients...), []string{"250 2.0.0", "250 2.0.0"})
	same(t, "luigi", w.in(luigi), []string{"posta-certificata"})
	w.inOrder(r.Identifier, r.Instant)
}

// inOrder checks that nothing in the log about a message, and no fact, is before its first instant, and that no receipt is
// before what it certifies.
func (w *world) inOrder(id pec.Identifier, from time.Time) {
	w.t.Helper()
	delivered := map[string]time.Time{}
	for _, r := range w.records(id) {
		if r.Time.Before(from) {
			w.t.Errorf("%s of %v: at %s, before the message, %s", r.Event, r.Covered, r.Time, from)
		}
		for _, a := range r.Covered {
			switch at := delivered[a.String()]; {
			case r.Event == ledger.EventDelivery:
				delivered[a.String()] = r.Time
			case r.Event == ledger.EventDeliveryReceipt && (at.IsZero() || r.Time.Before(at)):
				w.t.Errorf("the receipt for %s: at %s, the delivery at %s", a, r.Time, at)
			}
		}
	}
}

// TestClockSetDuringWork sets the clock at every step of a submission: what is certified stays in order, nothing is lost
// and nothing is twice, once the clock has come back to where it was.
func TestClockSetDuringWork(t *testing.T) {
	w := newWorld(t)
	random := rand.New(rand.NewPCG(4, 100))
	steps := around([]string{effect.StepClaim, effect.StepPrepared, effect.StepHandOver, effect.StepDone, effect.StepSync})
	for _, by := range []time.Duration{-time.Hour, -10 * 365 * 24 * time.Hour, time.Hour, 10 * 365 * 24 * time.Hour} {
		for _, step := range steps {
			w.clock.shift.Store(0)
			before := len(w.in(luigi))
			at := random.IntN(3) + 1
			w.atStep(func(s, _ string) {
				if s == step {
					if at--; at == 0 {
						w.clock.shift.Store(int64(by))
					}
				}
			})
			text, r, _ := w.submission(&message{from: mario, to: []string{luigi}})
			recipients := []string{luigi, "accettazione" + internal}
			first := w.present(text, mario, recipients...)
			w.inOrder(r.Identifier, r.Instant)
			w.atStep(nil)
			w.clock.shift.Store(max(0, int64(by)))
			same(t, step+": answers when the clock is right, after "+strings.Join(first, ", "), w.present(text, mario, recipients...),
				[]string{"250 2.0.0", "250 2.0.0"})
			w.inOrder(r.Identifier, r.Instant)
			if got := len(w.in(luigi)) - before; got != 1 {
				t.Errorf("%s, %s: luigi has %d copies, want one", step, by, got)
			}
			same(t, step+": fact", []string{w.fact(r.Identifier, luigi)}, []string{"taken delivered"})
		}
	}
}

// TestClockSetBackAfterDelivery: a delivery that the clock puts before the message is dated when the clock is right.
func TestClockSetBackAfterDelivery(t *testing.T) {
	w := newWorld(t)
	w.atStep(func(step, name string) {
		if step == "after "+effect.StepHandOver && name == effectDelivery {
			w.clock.shift.Store(int64(-time.Hour))
		}
	})
	text, r, _ := w.incoming(&message{from: anna, to: []string{mario}})
	same(t, "answer when the clock is wrong", w.present(text, anna, mario), []string{"451 4.3.0"})
	same(t, "mario", w.in(mario), []string{"posta-certificata"})
	same(t, "out", w.outgoing(), []string{betaService + ": presa-in-carico " + mario})
	w.atStep(nil)
	w.clock.shift.Store(0)
	same(t, "answer when it is right", w.present(text, anna, mario), []string{"250 2.0.0"})
	same(t, "mario, afterwards", w.in(mario), []string{"posta-certificata"})
	same(t, "out, afterwards", w.outgoing(), []string{anna + ": avvenuta-consegna " + mario + " with original"})
	w.inOrder(r.Identifier, r.Instant)
}

// TestBounceBeforeItsMessage: no non-delivery is certified before the acceptance of its message.
func TestBounceBeforeItsMessage(t *testing.T) {
	w := newWorld(t)
	r := w.submitted()
	bounce := w.sample("01-refused", r.ID)
	w.clock.shift.Store(int64(-time.Hour))
	same(t, "answer an hour before", w.presentAt(w.config.Agent.DSNSocket, bounce, "<>", []string{mario}), []string{"451 4.3.0"})
	same(t, "mario an hour before", w.in(mario), []string{"accettazione"})
	w.clock.shift.Store(0)
	same(t, "answer", w.presentAt(w.config.Agent.DSNSocket, bounce, "<>", []string{mario}), []string{"250 2.0.0"})
	w.inOrder(r.Identifier, r.Instant)
}

// TestDueAfterAStep: what waits for a mailbox is looked at by the clock as it is: set forward it is tried at once, set back it
// is tried when its time has come; it is never forgotten.
func TestDueAfterAStep(t *testing.T) {
	w := newWorld(t)
	text, _, _ := w.submission(&message{from: pieno, to: []string{bruno}})
	same(t, "answer", w.present(text, pieno, "accettazione"+internal), []string{"250 2.0.0"})
	attempts := func() (n int) {
		err := w.store.View(t.Context(), func(tx store.Tx) error {
			return tracking.Undelivered(tx, func(d tracking.Due) error {
				n += d.Attempts
				return nil
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, step := range []struct {
		to   time.Duration
		want int
	}{{-time.Hour, 1}, {asideFirst + time.Second, 2}, {-24 * time.Hour, 2}, {asideMost, 3}} {
		w.clock.shift.Store(int64(step.to))
		if err := w.agent.retryDue(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := attempts(); got != step.want {
			t.Errorf("with the clock set by %s: %d attempts, want %d", step.to, got, step.want)
		}
	}
}
