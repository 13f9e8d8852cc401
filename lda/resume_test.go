package lda

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/internal/effect"
)

// died stands for the end of the process: nothing after the step happens.
type died struct{ step string }

// killAt lets the agent die at a step, once.
func (w *world) killAt(step, name string) *atomic.Bool {
	var dead atomic.Bool
	w.atStep(func(s, n string) {
		if s == step && (name == "" || n == name) && dead.CompareAndSwap(false, true) {
			panic(died{s})
		}
	})
	return &dead
}

// restart ends the agent and starts it anew on its state.
func (w *world) restart() {
	w.t.Helper()
	w.stop()
	w.atStep(nil)
	w.start()
}

// TestDeathAtEveryStep lets the agent die before and after each durable step of each effect, starts it anew on the
// same state and presents again: nothing is lost, and nothing is twice in a mailbox. What went to the outbound instance
// may be there twice when the death was between its answer and our record; then both are the same bytes.
func TestDeathAtEveryStep(t *testing.T) {
	steps := []string{effect.StepClaim, effect.StepPrepared, effect.StepHandOver, effect.StepDone}
	for _, name := range []string{effectAcceptance, effectTakeCharge, effectDelivery, effectOutcome} {
		t.Run("submission/"+name, func(t *testing.T) {
			w := newWorld(t)
			for _, step := range around(append(steps, effect.StepSync)) {
				w.dieInSubmission(step, name)
			}
		})
		if name == effectAcceptance {
			continue
		}
		t.Run("incoming/"+name, func(t *testing.T) {
			w := newWorld(t)
			for _, step := range around(steps) {
				w.dieInIncoming(step, name)
			}
		})
	}
}

func around(steps []string) []string {
	var out []string
	for _, s := range steps {
		out = append(out, "before "+s, "after "+s)
	}
	return out
}

func (w *world) dieInSubmission(step, name string) {
	w.t.Helper()
	before := len(w.in(mario)) + len(w.in(luigi)) + len(w.in(service))
	text, r, _ := w.submission(&message{from: mario, to: []string{luigi}})
	if strings.HasSuffix(step, effect.StepSync) {
		name = ""
	}
	dead := w.killAt(step, name)
	recipients := []string{luigi, "accettazione" + internal}
	answers := w.present(text, mario, recipients...)
	if !dead.Load() || !slices.Contains(answers, "451 4.3.0") {
		w.t.Errorf("%s of %s: dead %v, answers %v; want a death and a 451", step, name, dead.Load(), answers)
	}
	w.restart()
	same(w.t, step+" of "+name, w.present(text, mario, recipients...), []string{"250 2.0.0", "250 2.0.0"})
	same(w.t, step+" of "+name, w.present(text, mario, recipients...), []string{"250 2.0.0", "250 2.0.0"})
	// acceptance, receipt, envelope, take-charge: four more messages in all.
	if got := len(w.in(mario)) + len(w.in(luigi)) + len(w.in(service)) - before; got != 4 {
		w.t.Errorf("%s of %s: %d messages in the mailboxes, want 4", step, name, got)
	}
	events := slices.DeleteFunc(w.events(r.Identifier), func(e string) bool { return e == "possible-duplicate" })
	same(w.t, "log after "+step+" of "+name, events, []string{
		"acceptance", "transport-envelope", "take-charge", "delivery", "delivery-receipt",
	})
	same(w.t, "fact after "+step+" of "+name, []string{w.fact(r.Identifier, luigi)}, []string{"taken delivered"})
}

func (w *world) dieInIncoming(step, name string) {
	w.t.Helper()
	before := len(w.in(mario))
	text, r, _ := w.incoming(&message{from: anna, to: []string{mario, nessuno}})
	dead := w.killAt(step, name)
	answers := w.present(text, anna, mario, nessuno)
	if !dead.Load() || !slices.Contains(answers, "451 4.3.0") {
		w.t.Errorf("%s of %s: dead %v, answers %v; want a death and a 451", step, name, dead.Load(), answers)
	}
	w.restart()
	for range 2 {
		same(w.t, step+" of "+name, w.present(text, anna, mario, nessuno), []string{"250 2.0.0", "250 2.0.0"})
	}
	if got := len(w.in(mario)) - before; got != 1 {
		w.t.Errorf("%s of %s: %d more messages in the mailbox, want 1", step, name, got)
	}
	copies := map[string][]string{}
	for _, s := range w.out.take() {
		copies[w.describe(s.text)] = append(copies[w.describe(s.text)], string(s.text))
	}
	want := []string{
		"avvenuta-consegna " + mario + " with original", "errore-consegna " + nessuno + " 5.1.1",
		"presa-in-carico " + mario + " " + nessuno,
	}
	var kinds []string
	for kind, texts := range copies {
		kinds = append(kinds, kind)
		if len(slices.Compact(slices.Clone(texts))) != 1 {
			w.t.Errorf("%s of %s: two different copies of %s", step, name, kind)
		}
		twice := step == "after "+effect.StepHandOver || step == "before "+effect.StepDone
		if len(texts) > 1 && !twice {
			w.t.Errorf("%s of %s: %d copies of %s went out", step, name, len(texts), kind)
		}
	}
	slices.Sort(kinds)
	same(w.t, "out after "+step+" of "+name, kinds, want)
	same(w.t, "facts after "+step+" of "+name, []string{w.fact(r.Identifier, mario), w.fact(r.Identifier, nessuno)},
		[]string{"taken delivered", "taken not-delivered"})
}

// TestUncertainDeliveryIsLookedUp: a delivery whose answer was lost is found wherever the user has moved it.
func TestUncertainDeliveryIsLookedUp(t *testing.T) {
	w := newWorld(t)
	text, r, _ := w.incoming(&message{from: anna, to: []string{mario}})
	w.killAt("after "+effect.StepHandOver, effectDelivery)
	same(t, "first", w.present(text, anna, mario), []string{"451 4.3.0"})
	w.dovecot.Move(mario, "Letti")
	w.restart()
	same(t, "second", w.present(text, anna, mario), []string{"250 2.0.0"})
	same(t, "mario", w.in(mario), []string{"posta-certificata"})
	if slices.Contains(w.events(r.Identifier), "possible-duplicate") {
		t.Error("the log speaks of a duplicate although the message was found")
	}
}

func TestUncertainDeliveryThatDidNotArriveIsRepeated(t *testing.T) {
	w := newWorld(t)
	text, r, _ := w.incoming(&message{from: anna, to: []string{mario}})
	w.killAt("before "+effect.StepHandOver, effectDelivery)
	same(t, "first", w.present(text, anna, mario), []string{"451 4.3.0"})
	w.restart()
	same(t, "second", w.present(text, anna, mario), []string{"250 2.0.0"})
	same(t, "mario", w.in(mario), []string{"posta-certificata"})
	if !slices.Contains(w.events(r.Identifier), "possible-duplicate") {
		t.Error("the log does not speak of a possible duplicate")
	}
}

func TestPanicIsTemporaryAndCounted(t *testing.T) {
	w := newWorld(t)
	text, _, _ := w.incoming(&message{from: anna, to: []string{mario}})
	w.atStep(func(step, _ string) {
		if step == "before "+effect.StepClaim {
			panic(errors.New("a fault of ours"))
		}
	})
	same(t, "answer", w.present(text, anna, mario), []string{"451 4.3.0"})
	w.atStep(nil)
	w.alarmed("panic")
	same(t, "answer", w.present(text, anna, mario), []string{"250 2.0.0"})
}

// TestManyPresentationsAtOnce: Postfix presents many recipients in several transactions at once; none is put off.
func TestManyPresentationsAtOnce(t *testing.T) {
	w := newWorld(t)
	text, _, _ := w.submission(&message{from: service, to: []string{mario, luigi}})
	results := make(chan []string, 3)
	for _, to := range []string{mario, luigi, "accettazione" + internal} {
		go func() {
			answers, err := lmtpDialogue(w.config.Agent.LMTPSocket, text, "<"+service+">", []string{to})
			if err != nil {
				answers = []string{fmt.Sprint(err)}
			}
			results <- answers
		}()
	}
	for range 3 {
		same(t, "answers", <-results, []string{"250 2.0.0"})
	}
	same(t, "mario", w.in(mario), []string{"posta-certificata"})
	same(t, "luigi", w.in(luigi), []string{"posta-certificata"})
}

// TestUncertainIsNotGivenUp: a mailbox may have a message, and nobody can look until its time is over. Until somebody
// can, nothing is certified; then what it has is.
func TestUncertainIsNotGivenUp(t *testing.T) {
	conformance.Covers(t, "C160", "C179")
	w := newWorld(t)
	text, _, _ := w.incoming(&message{from: anna, to: []string{mario}})
	dead := w.killAt("after "+effect.StepHandOver, effectDelivery)
	same(t, "answer of who dies", w.present(text, anna, mario), []string{"451 4.3.0"})
	if !dead.Load() {
		t.Fatal("nobody died")
	}
	w.restart()
	w.out.take()
	w.dovecot.Down()
	w.clock.shift.Store(int64(23 * time.Hour))
	same(t, "answer while nobody can look", w.present(text, anna, mario), []string{"451 4.3.0"})
	same(t, "out while nobody can look", w.outgoing(), []string{})
	w.dovecot.Up()
	same(t, "answer later", w.present(text, anna, mario), []string{"250 2.0.0"})
	same(t, "out later", w.outgoing(), []string{anna + ": avvenuta-consegna " + mario + " with original"})
	same(t, "mario", w.in(mario), []string{"posta-certificata"})
}
