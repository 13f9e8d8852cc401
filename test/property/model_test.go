package property

import (
	"slices"
	"strings"
	"time"

	"github.com/ceralacca/ceralacca/internal/effect"
	"github.com/ceralacca/ceralacca/internal/ledger"
	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/internal/tracking"
	"github.com/ceralacca/ceralacca/pec"
)

// subject is a recipient of a message of a provider.
type subject struct {
	sender     string
	identifier pec.Identifier
	recipient  string
}

// model is what must be true, in plain maps: of what was committed, and of what arrived.
type model struct {
	final          map[subject]tracking.FactKind
	taken          map[subject]bool
	contradictions map[subject]int
	due            map[string][]artefact // what was put aside, by row
	toldFirst      map[string]bool       // by identifier and recipient: a notice arrived when nothing was known
}

func newModel() *model {
	return &model{final: map[subject]tracking.FactKind{}, taken: map[subject]bool{}, contradictions: map[subject]int{}, due: map[string][]artefact{},
		toldFirst: map[string]bool{}}
}

func (m *message) about(a pec.Address) subject {
	return subject{m.signer, m.identifier, a.String()}
}

// record adds a fact as lda does, and has the model learn it when it is committed.
func (w *world) record(tx store.Tx, m *message, f tracking.Fact) error {
	f.Sender, f.Identifier, f.Time = m.signer, m.identifier, w.clock.now
	if w.ways.laterFactWins {
		key := []byte(f.Sender + "\x00" + string(f.Identifier) + "\x00" + f.Recipient.String())
		if err := tx.Delete("tracking.fact", key); err != nil {
			return err
		}
	}
	standing, err := tracking.Record(tx, f)
	if err != nil {
		return err
	}
	about := m.about(f.Recipient)
	w.learnt = append(w.learnt, func() { w.model.learn(about, f.Kind) })
	if standing == nil {
		return nil
	}
	r := w.event(m, ledger.EventContradiction, f.Recipient)
	r.Detail = string(f.Kind) + " after " + string(standing.Kind)
	return ledger.Append(tx, r)
}

func (m *model) learn(about subject, kind tracking.FactKind) {
	switch now := m.final[about]; {
	case kind == tracking.Taken:
		m.taken[about] = true
	case now == "":
		m.final[about] = kind
	case now != kind:
		m.contradictions[about]++
	}
}

func (w *world) event(m *message, e ledger.Event, covered ...pec.Address) ledger.Record {
	return ledger.Record{Identifier: m.identifier, Time: w.clock.now, Sender: m.sender, Recipients: m.recipients, Event: e, Provider: m.signer,
		Covered: covered}
}

// arrive is the moment of truth: what is in somebody's hands cannot be taken back.
func (w *world) arrive(place string, list []artefact) {
	for _, a := range list {
		w.arriveOne(place, a)
	}
}

func (w *world) arriveOne(place string, a artefact) {
	if a.message.submission && a.kind != acceptance && !w.acceptanceIsThere(a.message) {
		w.violate("before the acceptance: %s of m%d for %s", a.kind, a.message.number, a.recipient)
	}
	earlier := w.allOf(a.message, a.recipient)
	for _, old := range earlier {
		if old.message.digest != a.message.digest {
			w.violate("two contents certified under one identifier: m%d and m%d", old.message.number, a.message.number)
		}
	}
	for _, old := range earlier {
		switch {
		case old.kind == a.kind && old.digest != a.digest:
			w.violate("made twice: %s of m%d for %s", a.kind, a.message.number, a.recipient)
		case old.kind == a.kind && place != outside:
			w.violate("in the mailbox twice: %s of m%d for %s", a.kind, a.message.number, a.recipient)
		case old.kind == notDelivered && a.kind == delivery, old.kind == delivery && a.kind == notDelivered,
			old.kind == receipt && a.kind == notDelivered, old.kind == notDelivered && a.kind == receipt:
			w.violate("a contradiction: %s after %s of m%d for %s", a.kind, old.kind, a.message.number, a.recipient)
		}
	}
	if a.kind == receipt && !slices.ContainsFunc(earlier, func(old artefact) bool { return old.kind == delivery }) {
		w.violate("a receipt that lies: m%d is not in the mailbox of %s", a.message.number, a.recipient)
	}
	known := w.model.final[subject{a.message.signer, a.message.identifier, a.recipient}]
	if a.kind == notDelivered && known == tracking.Delivered {
		w.violate("a notice against a recorded outcome: m%d for %s", a.message.number, a.recipient)
	}
	if a.kind == notDelivered && known == "" {
		w.model.toldFirst[string(a.message.identifier)+a.recipient] = true
	}
	if place == outside {
		w.relayed = append(w.relayed, a)
		return
	}
	w.boxes[place] = append(w.boxes[place], a)
}

// acceptanceIsThere says whether the sender has the acceptance, or a row that waits for his mailbox.
func (w *world) acceptanceIsThere(m *message) bool {
	is := func(a artefact) bool { return a.kind == acceptance && a.message == m }
	for _, list := range w.model.due {
		if slices.ContainsFunc(list, is) {
			return true
		}
	}
	return slices.ContainsFunc(w.boxes[m.sender.String()], is)
}

// allOf is all that arrived about a recipient of a message, wherever.
func (w *world) allOf(m *message, recipient string) (found []artefact) {
	for _, list := range append([][]artefact{w.relayed}, w.lists()...) {
		for _, a := range list {
			if a.message.identifier == m.identifier && a.recipient == recipient {
				found = append(found, a)
			}
		}
	}
	return found
}

func (w *world) lists() (all [][]artefact) {
	for _, box := range []string{"mario@alfa.example", "a1@alfa.example", "a2@alfa.example", "a3@alfa.example", service} {
		all = append(all, w.boxes[box])
	}
	return all
}

// durable looks, at the moment of a 250, whether what Postfix forgets now is written.
func (w *world) durable(m *message, recipient pec.Address) {
	err := w.store.View(ctx, func(tx store.Tx) error {
		state, err := tracking.Outcome(tx, m.signer, m.identifier, recipient)
		if err == nil && state.Final == nil {
			w.violate("250 too early: nothing is written of %s of m%d", recipient, m.number)
		}
		return err
	})
	if err != nil {
		w.violate("the store does not read: %v", err)
	}
}

// settle lets all end without faults, and then says what is missing.
func (w *world) settle() {
	w.dovecot, w.out, w.blind, w.diskFails = takes, takes, false, false
	for round := 0; round < 4 && w.violated == ""; round++ {
		for len(w.running) > 0 && w.violated == "" {
			for n := range w.running {
				w.advance(n)
			}
		}
		w.clock.now = w.clock.now.Add(15 * time.Minute)
		for _, m := range w.messages {
			if m.queued {
				w.present(m, 0)
			}
		}
		w.resumeBounces()
		w.retry()
	}
	if w.violated == "" {
		w.complete()
	}
}

// complete holds the end against the model: nothing vanished, nothing is unfinished, and the log agrees with itself.
func (w *world) complete() {
	err := w.store.View(ctx, func(tx store.Tx) error {
		unfinished, err := effect.FindUnfinished(tx, w.clock.now.Add(time.Hour))
		if err != nil {
			return err
		}
		for _, u := range unfinished {
			w.violate("unfinished: %s", u.Sentence())
		}
		if due, err := tracking.DueBefore(tx, w.clock.now.Add(1000*time.Hour), 1); err != nil || len(due) > 0 {
			w.violate("a notification still waits: %v %v", due, err)
		}
		for _, m := range w.messages {
			if err := w.ended(tx, m); err != nil {
				return err
			}
		}
		findings, err := ledger.Audit{Ours: ours, Settled: w.clock.now}.Run(tx)
		for _, f := range findings {
			if f.Fault && !w.toldBeforeItWasWritten(f) {
				w.violate("the audit: %s: %s", f.Identifier, f.Text)
			}
		}
		return err
	})
	if err != nil {
		w.violate("the store does not read: %v", err)
	}
}

// toldBeforeItWasWritten knows the one finding that is no fault: a notice of ours arrived when nothing else was known, the
// process died before it was written, and its provider's delivery receipt was written first. The log has the two in the
// order in which they were written; the sender holds both, and the log has the contradiction.
func (w *world) toldBeforeItWasWritten(f ledger.Finding) bool {
	for key := range w.model.toldFirst {
		recipient, ok := strings.CutPrefix(key, string(f.Identifier))
		if ok && f.Text == "The sender was told that "+recipient+" has no message, after its provider had said that it has." {
			return true
		}
	}
	return false
}

// ended looks at one message and its recipients.
func (w *world) ended(tx store.Tx, m *message) error {
	for _, r := range m.recipients {
		state, err := tracking.Outcome(tx, m.signer, m.identifier, r.Address)
		if err != nil {
			return err
		}
		about := m.about(r.Address)
		got := tracking.FactKind("")
		if state.Final != nil {
			got = state.Final.Kind
		}
		if got != w.model.final[about] || (state.Taken != nil) != w.model.taken[about] {
			w.violate("another fact: %q, taken %t, of %s of m%d, the model has %q, %t", got, state.Taken != nil, r.Address, m.number,
				w.model.final[about], w.model.taken[about])
		}
		if m.queued && !m.diverted && ours(r.Address.Domain()) && got == "" {
			w.violate("vanished: m%d for %s", m.number, r.Address)
		}
		if m.queued && !m.diverted && ours(r.Address.Domain()) {
			w.told(m, r.Address, got)
		}
	}
	return nil
}

// told looks for the one outcome of a recipient of ours, in the hands of its sender.
func (w *world) told(m *message, a pec.Address, final tracking.FactKind) {
	want := map[tracking.FactKind]string{tracking.Delivered: receipt, tracking.NotDelivered: notDelivered}[final]
	kinds := map[string]bool{}
	for _, old := range w.allOf(m, a.String()) {
		kinds[old.kind] = true
	}
	if !kinds[want] || kinds[delivery] != (final == tracking.Delivered) || !kinds[takeCharge] {
		w.violate("the sender of m%d was not told of %s: %s, there is %v", m.number, a, want, kinds)
	}
}
