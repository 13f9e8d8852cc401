package property

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ceralacca/ceralacca/internal/effect"
	"github.com/ceralacca/ceralacca/internal/ledger"
	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/internal/tracking"
	"github.com/ceralacca/ceralacca/pec"
)

// The walk of a message as package lda makes it, with the calls that it makes of effect, tracking and ledger, and
// without MIME and signatures: an artefact is its digest.

const (
	acceptance   = "acceptance"
	takeCharge   = "take-charge"
	delivery     = "delivery"
	receipt      = "receipt"
	notDelivered = "not-delivered"
	outcome      = "outcome" // the effect of both
	notice       = "notification"

	service = "ricevute@alfa.example"
	outside = "out"

	giveUp = 22 * time.Hour
)

var ctx = context.Background()

var (
	errLater     = errors.New("later")
	errUncertain = errors.New("it may have arrived")
	errRefused   = errors.New("refused for good")
)

func (m *message) key(name string, recipient pec.Address) effect.Key {
	return effect.Key{Signer: m.signer, Identifier: string(m.identifier), Digest: m.digest, Effect: name, Recipient: recipient.String()}
}

// plan is an artefact that is due.
type plan struct {
	m    *message
	kind string
	keys []effect.Key
	to   string // the mailbox, or outside
	done func(tx store.Tx, p effect.Prepared) error
}

// present presents the waiting recipients whose bit is set in chosen, all when none is.
func (w *world) present(m *message, chosen int) {
	if len(w.running) > 5 {
		return
	}
	var list []pec.Address
	for n, a := range m.local {
		if m.waiting[a] && (chosen == 0 || chosen&(1<<n) != 0) {
			list = append(list, a)
		}
	}
	if chosen&8 != 0 {
		slices.Reverse(list)
	}
	if len(list) == 0 && m.queued {
		return
	}
	m.queued = true
	w.begin(w.turnOf(m), func(s *session) { s.message(m, list) })
}

// message is one presentation.
func (s *session) message(m *message, list []pec.Address) {
	defer func() { effect.Abandon(s.ended) }()
	answers := map[pec.Address]bool{}
	s.walk(m, list, answers)
	if s.w.ways.answersEarly {
		s.answer(m, list, answers)
	}
	if s.written() != nil {
		return
	}
	s.at("before reply")
	s.answer(m, list, answers)
}

func (s *session) answer(m *message, list []pec.Address, answers map[pec.Address]bool) {
	for _, a := range list {
		if !answers[a] || !m.waiting[a] {
			continue
		}
		if !m.diverted {
			s.w.durable(m, a)
		}
		m.waiting[a] = false
	}
}

// walk takes the steps of the verdict.
func (s *session) walk(m *message, list []pec.Address, answers map[pec.Address]bool) {
	if !m.submission && s.isAnother(m) {
		m.diverted = true
		for _, a := range list {
			answers[a] = true
		}
		return
	}
	steps := []func(*message) error{s.accept, s.takeCharge}
	if s.w.ways.acceptsLate {
		steps = []func(*message) error{s.takeCharge, s.accept}
	}
	for _, do := range steps {
		if do(m) != nil {
			return
		}
	}
	for _, a := range list {
		answers[a] = s.deliver(m, a) == nil
	}
}

// isAnother says whether the identifier is that of a message with other content.
func (s *session) isAnother(m *message) bool {
	known, err := s.life.register.Known(ctx, m.signer, string(m.identifier))
	return m.diverted || err == nil && len(known) > 0 && !slices.Contains(known, m.digest)
}

func (s *session) accept(m *message) error {
	if !m.submission {
		return nil
	}
	return s.issue(plan{m: m, kind: acceptance, keys: []effect.Key{m.key(acceptance, pec.Address{})}, to: m.sender.String(),
		done: func(tx store.Tx, _ effect.Prepared) error {
			return errors.Join(ledger.Append(tx, s.w.event(m, ledger.EventAcceptance)), ledger.Append(tx, s.w.event(m, ledger.EventEnvelope)),
				tracking.PutSubmission(tx, fmt.Sprint("t", m.number), tracking.Submission{Identifier: m.identifier, Sender: m.sender,
					Recipients: m.recipients, Time: s.w.clock.now}))
		}})
}

func (s *session) takeCharge(m *message) error {
	p := plan{m: m, kind: takeCharge, to: service}
	if !m.submission {
		p.to = outside
	}
	for _, a := range m.local {
		p.keys = append(p.keys, m.key(takeCharge, a))
	}
	p.done = func(tx store.Tx, prepared effect.Prepared) error {
		var covered []pec.Address
		for _, k := range prepared.Keys {
			a := address(k.Recipient)
			covered = append(covered, a)
			if err := s.w.record(tx, m, tracking.Fact{Kind: tracking.Taken, Recipient: a, Provider: provider}); err != nil {
				return err
			}
		}
		if !m.submission {
			if err := ledger.Append(tx, s.w.event(m, ledger.EventReception, covered...)); err != nil {
				return err
			}
		}
		return ledger.Append(tx, s.w.event(m, ledger.EventTakeCharge, covered...))
	}
	return s.issue(p)
}

// deliver ends one recipient: nil when Postfix may forget it.
func (s *session) deliver(m *message, a pec.Address) error {
	if err := s.resume(m, a); err != nil {
		return err
	}
	if s.final(m, a) == tracking.NotDelivered {
		return nil
	}
	first, err := s.intoBox(m, a)
	switch {
	case err == nil:
		return s.conclude(m, a, receipt)
	case errors.Is(err, errRefused), !s.w.crowded && !errors.Is(err, errUncertain) && !first.IsZero() && s.w.clock.now.Sub(first) >= giveUp:
		return s.conclude(m, a, notDelivered)
	}
	return err
}

func (s *session) final(m *message, a pec.Address) (kind tracking.FactKind) {
	_ = s.life.View(ctx, func(tx store.Tx) error { // what cannot be read is not known
		state, err := tracking.Outcome(tx, m.signer, m.identifier, a)
		if err == nil && state.Final != nil {
			kind = state.Final.Kind
		}
		return err
	})
	return kind
}

// tableRefused keeps what a mailbox has refused for good.
const tableRefused = "test.refused"

// intoBox puts the message into a mailbox.
func (s *session) intoBox(m *message, a pec.Address) (first time.Time, err error) {
	key := m.key(delivery, a)
	claim, err := s.life.register.Claim(ctx, []effect.Key{key})
	if err != nil {
		return time.Time{}, err
	}
	defer claim.Release(ctx)
	if len(claim.Finished) > 0 {
		return time.Time{}, s.refusedEarlier(key)
	}
	first = claim.First(key)
	again := len(claim.Prepared) > 0
	p := effect.Prepared{Keys: []effect.Key{key}, Instant: s.w.clock.now, Digest: m.digest, To: a}
	if !again {
		if err := s.prepare(claim, p); err != nil {
			return first, err
		}
	}
	done := func(tx store.Tx) error {
		if err := s.w.record(tx, m, tracking.Fact{Kind: tracking.Delivered, Recipient: a, Provider: provider}); err != nil {
			return err
		}
		r := s.w.event(m, ledger.EventDelivery, a)
		r.Detail = a.String()
		return ledger.Append(tx, r)
	}
	switch err = s.handOver(claim, []artefact{{delivery, m, a.String(), m.digest}}, a.String(), again); {
	case err == nil:
		s.ended = append(s.ended, claim.End(p.Keys, done))
	case errors.Is(err, errRefused):
		if claim.Done(ctx, p.Keys, func(tx store.Tx) error { return tx.Put(tableRefused, fmt.Append(nil, key), nil) }) != nil {
			return first, errUncertain
		}
	case !errors.Is(err, errUncertain) && !again:
		if claim.Withdraw(ctx, p.Keys) != nil {
			return first, errUncertain
		}
	case again:
		return first, fmt.Errorf("%w: %w", errUncertain, err)
	}
	return first, err
}

func (s *session) refusedEarlier(key effect.Key) error {
	var refused bool
	err := s.life.View(ctx, func(tx store.Tx) error {
		_, refused = tx.Get(tableRefused, fmt.Append(nil, key))
		return nil
	})
	if refused {
		return errRefused
	}
	return err
}

func (s *session) conclude(m *message, a pec.Address, kind string) error {
	return s.issue(s.outcome(m, a, kind))
}

// outcome is the receipt or the notice; both have one key, and whichever is prepared first stands.
func (s *session) outcome(m *message, a pec.Address, kind string) plan {
	p := plan{m: m, kind: kind, keys: []effect.Key{m.key(outcome, a)}, to: m.sender.String()}
	if !m.submission {
		p.to = outside
	}
	p.done = func(tx store.Tx, prepared effect.Prepared) error {
		if string(prepared.Data) == receipt {
			return ledger.Append(tx, s.w.event(m, ledger.EventDeliveryReceipt, a))
		}
		if err := s.w.record(tx, m, tracking.Fact{Kind: tracking.NotDelivered, Recipient: a, Provider: provider}); err != nil {
			return err
		}
		return ledger.Append(tx, s.w.event(m, ledger.EventNonDelivery, a))
	}
	return p
}

// resume ends what an earlier run began to certify.
func (s *session) resume(m *message, a pec.Address) error {
	p := s.outcome(m, a, "")
	claim, err := s.life.register.Claim(ctx, p.keys)
	if err != nil {
		return err
	}
	defer claim.Forget()
	against := len(claim.Prepared) > 0 && string(claim.Prepared[0].Data) == notDelivered && s.final(m, a) != ""
	if !against || s.w.ways.forgetsFacts {
		return s.again(claim, p)
	}
	// An outcome came between what was prepared and now: what did not arrive does not any more.
	if s.w.blind {
		s.w.blind = false
		return errUncertain
	}
	if prepared := claim.Prepared[0]; !s.w.holds(p.to, prepared.Digest) {
		return claim.Withdraw(ctx, prepared.Keys)
	}
	return s.again(claim, p)
}

// issue makes sure that each effect of a plan happened, as lda's does.
func (s *session) issue(p plan) error {
	claim, err := s.life.register.Claim(ctx, p.keys)
	if err != nil {
		return err
	}
	defer claim.Release(ctx)
	if err := s.again(claim, p); err != nil || len(claim.Free) == 0 {
		return err
	}
	prepared := effect.Prepared{Keys: claim.Free, Instant: s.w.clock.now, Digest: s.w.compose(), To: p.m.sender, Data: []byte(p.kind)}
	if err := s.prepare(claim, prepared); err != nil {
		return err
	}
	return s.finish(claim, p, prepared, false)
}

func (s *session) again(claim *effect.Claim, p plan) error {
	for _, prepared := range claim.Prepared {
		if s.w.ways.composesAnew {
			prepared.Digest = s.w.compose()
		}
		if err := s.finish(claim, p, prepared, true); err != nil {
			return err
		}
	}
	return nil
}

// compose is a signature: no two are alike.
func (w *world) compose() [32]byte {
	w.made++
	return sha256.Sum256(fmt.Append(nil, "artefact", w.made))
}

func (s *session) prepare(claim *effect.Claim, p effect.Prepared) error {
	err := claim.PrepareAfter(ctx, s.ended, p)
	if err == nil {
		s.ended = nil
	}
	return err
}

func (s *session) written() error {
	err := s.life.register.Finish(ctx, s.ended)
	if err == nil {
		s.ended = nil
	}
	return err
}

// finish hands over what is prepared, and has it written that it is done.
func (s *session) finish(claim *effect.Claim, p plan, prepared effect.Prepared, again bool) error {
	if err := s.written(); err != nil {
		return err
	}
	var list []artefact
	for _, k := range prepared.Keys {
		list = append(list, artefact{string(prepared.Data), p.m, k.Recipient, prepared.Digest})
	}
	if s.w.ways.doneBeforeHandOver {
		if err := claim.Done(ctx, prepared.Keys, func(tx store.Tx) error { return p.done(tx, prepared) }); err != nil {
			return err
		}
		return s.handOver(claim, list, p.to, again)
	}
	var aside *tracking.Due
	err := s.handOver(claim, list, p.to, again)
	if errors.Is(err, errRefused) {
		aside, err = s.w.aside(list, p.to), nil
	}
	if err != nil {
		return err
	}
	s.ended = append(s.ended, claim.End(prepared.Keys, func(tx store.Tx) error {
		if aside != nil {
			s.w.learnt = append(s.w.learnt, func() { s.w.model.due[aside.ID] = list })
			if err := tracking.PutDue(tx, *aside); err != nil {
				return err
			}
		}
		return p.done(tx, prepared)
	}))
	if again || p.to == outside {
		return s.written()
	}
	return nil
}

// handOver gives what is prepared to a mailbox or to the outbound instance, which cannot be asked what it has.
func (s *session) handOver(claim *effect.Claim, list []artefact, to string, again bool) error {
	w := s.w
	s.at("before handover")
	if !w.ways.notFenced {
		if err := claim.Renew(); err != nil {
			return err
		}
	}
	how := &w.out
	if to != outside {
		how = &w.dovecot
		if again && !w.ways.noLook {
			if w.blind {
				w.blind = false
				return errUncertain
			}
			if w.holds(to, list[0].digest) {
				return nil
			}
		}
	}
	answered := *how
	*how = takes
	if answered == takes || answered == takesAndDies {
		w.arrive(to, list)
	}
	s.at("after handover")
	switch {
	case answered == takes:
		return nil
	case answered == refuses && to != outside:
		return errRefused
	case answered == takesAndDies, answered == dies:
		return errUncertain
	}
	return errLater
}

// holds looks into a mailbox.
func (w *world) holds(box string, digest [32]byte) bool {
	return slices.ContainsFunc(w.boxes[box], func(a artefact) bool { return a.digest == digest })
}

// aside is a notification that no mailbox takes now.
func (w *world) aside(list []artefact, to string) *tracking.Due {
	return &tracking.Due{ID: fmt.Sprintf("%x", list[0].digest[:8]), Identifier: list[0].message.identifier, To: address(to), Since: w.clock.now,
		Next: w.clock.now.Add(10 * time.Minute)}
}

// retry tries what was put aside.
func (w *world) retry() {
	var due []tracking.Due
	err := w.life.View(ctx, func(tx store.Tx) (err error) {
		due, err = tracking.DueBefore(tx, w.clock.now, 10)
		return err
	})
	if err != nil {
		w.violate("the rows that are due do not read: %v", err)
	}
	for _, d := range due {
		list, known := w.model.due[d.ID]
		if !known {
			w.violate("a row that nobody wrote: %s", d.ID)
			return
		}
		answered := w.dovecot
		w.dovecot = takes
		if !w.holds(d.To.String(), list[0].digest) && (answered == takes || answered == takesAndDies) {
			w.arrive(d.To.String(), list)
		}
		_ = w.life.Update(ctx, func(tx store.Tx) error { // what is not written is tried again
			if answered == takes {
				return tracking.DeleteDue(tx, d.ID)
			}
			d.Next = w.clock.now.Add(10 * time.Minute)
			return tracking.PutDue(tx, d)
		})
	}
}

// turnOf is what the presentations of a message have in common; in a crowded world they do not wait for each other.
func (w *world) turnOf(m *message) string {
	if w.crowded && m.submission {
		return ""
	}
	return string(m.identifier)
}

// foreign is a recipient of another provider, of one of our submissions.
func (w *world) foreign(a, b int) (*message, pec.Address) {
	m := w.messages[a%2]
	var list []pec.Address
	for _, r := range m.recipients {
		if !ours(r.Address.Domain()) {
			list = append(list, r.Address)
		}
	}
	return m, list[b%len(list)]
}

// notice is what another provider certifies: true, again, or against what it has certified before; and of messages that
// we have not accepted yet, or under an identifier of ours that it uses for a message of its own.
func (w *world) notice(a, b int) {
	if len(w.running) > 5 {
		return
	}
	m, recipient := w.foreign(a, b)
	kinds := []struct {
		fact tracking.FactKind
		kind pec.Kind
	}{{tracking.Taken, pec.KindTakeCharge}, {tracking.Delivered, pec.KindDelivery}, {tracking.NotDelivered, pec.KindNonDelivery}}
	of := kinds[b/2%len(kinds)]
	about := *m
	if b/6%4 == 3 {
		about.signer = "Gamma"
	}
	key := effect.Key{Signer: other, Identifier: fmt.Sprint("<", m.number, recipient, of.fact, b/24%2, about.signer, ">"), Effect: notice}
	w.begin("notice "+string(m.identifier), func(s *session) {
		defer func() { effect.Abandon(s.ended) }()
		claim, err := s.life.register.Claim(ctx, []effect.Key{key})
		if err != nil || len(claim.Finished) > 0 {
			return
		}
		defer claim.Release(ctx)
		s.ended = append(s.ended, claim.End([]effect.Key{key}, func(tx store.Tx) error {
			if err := w.record(tx, &about, tracking.Fact{Kind: of.fact, Recipient: recipient, Provider: other}); err != nil {
				return err
			}
			if about.signer != m.signer {
				return nil
			}
			r := w.event(m, ledger.EventNotification, recipient)
			r.Kind = of.kind
			return ledger.Append(tx, r)
		}))
		_ = s.written() // the notification comes again or not: what is not written is not known
	})
}

// bounce is a DSN about a recipient of another provider; it stays in the queue until it is answered 250.
func (w *world) bounce(a, b int) {
	m, recipient := w.foreign(a, b)
	m.bounces[recipient] = true
	w.bounced(m, recipient)
}

func (w *world) resumeBounces() {
	for _, m := range w.messages {
		for _, r := range m.recipients {
			if m.bounces[r.Address] && m.queued {
				w.bounced(m, r.Address)
			}
		}
	}
}

func (w *world) bounced(m *message, recipient pec.Address) {
	if len(w.running) > 5 {
		return
	}
	w.begin("notice "+string(m.identifier), func(s *session) {
		defer func() { effect.Abandon(s.ended) }()
		known := false
		err := s.life.View(ctx, func(tx store.Tx) (err error) {
			_, known, err = tracking.GetSubmission(tx, fmt.Sprint("t", m.number))
			return err
		})
		if err != nil || !known || s.resume(m, recipient) != nil {
			return
		}
		if s.final(m, recipient) == "" || w.ways.forgetsFacts {
			if s.conclude(m, recipient, notDelivered) != nil {
				return
			}
		}
		if s.written() == nil {
			delete(m.bounces, recipient)
		}
	})
}
