package lda

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ceralacca/ceralacca/internal/effect"
	"github.com/ceralacca/ceralacca/internal/ledger"
	"github.com/ceralacca/ceralacca/internal/mailbox"
	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/internal/tracking"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/policy"
)

// giveUp is how long after its first presentation a recipient that nothing was delivered to gets its non-delivery from
// us: before Postfix, or the sender's provider after 24 hours, ends the transaction in our place. [C102]
const giveUp = 22 * time.Hour

// delivery is what became of the message in one mailbox. Exactly one of at, refused and err is set.
type delivery struct {
	at      time.Time // of the delivery
	refused *refusal  // for good
	err     error     // for now
	first   time.Time // first presentation; set with err
	// uncertain says that the mailbox may have it, and could not be asked; set with err.
	uncertain bool
}

// deliver puts the message into the mailboxes of every recipient of this presentation, each mailbox once although several
// addresses lead to it. What earlier runs concluded is ended first, and what they concluded as not delivered is not
// delivered any more. [C116] [C159]
func deliver(ctx context.Context, j *job) error {
	if err := j.resumeOutcomes(ctx); err != nil {
		return err
	}
	j.refuseOrdinary()
	all := j.presented()
	for _, certified := range all {
		j.expanded[certified.Fold()] = j.expand(ctx, certified)
	}
	for _, certified := range all {
		j.deliverAll(ctx, certified)
	}
	return nil
}

// refuseOrdinary turns away what an alias in an ordinary domain leads to a certified mailbox: its recipient is an ordinary
// one, of whom nothing can be certified. Postfix tells the sender.
func (j *job) refuseOrdinary() {
	for i, a := range j.certified {
		if j.answers[i] == errUnanswered && !a.IsZero() && !j.live.local(a) {
			j.answers[i] = fail("deliver", j.record.Identifier, pec.ErrorForbidden, fmt.Errorf("%s is an alias of a certified mailbox", a))
		}
	}
}

// deliverAll delivers to the mailboxes of one recipient. After one that refused for good the others get nothing more on
// its account: the sender is told that it was not delivered.
func (j *job) deliverAll(ctx context.Context, certified pec.Address) {
	e := j.expanded[certified.Fold()]
	if err := j.presentedAs(e, certified); err != nil {
		*e = *j.unexpanded(ctx, certified, err)
	}
	if e.alias {
		if refused, err := j.refusedBefore(ctx, e); err != nil {
			*e = *j.unexpanded(ctx, certified, err)
		} else if refused {
			return
		}
	}
	for _, t := range e.targets {
		d, tried := j.boxes[t.Box.Fold()]
		if !tried {
			d = j.deliverTo(ctx, t)
			j.boxes[t.Box.Fold()] = d
		}
		if d.refused != nil {
			return
		}
	}
}

// refusedBefore says whether a mailbox of an alias refused this message already, be it for another recipient.
func (j *job) refusedBefore(ctx context.Context, e *expansion) (refused bool, err error) {
	err = j.agent.o.Store.View(ctx, func(tx store.Tx) error {
		for _, t := range e.targets {
			d, err := readResult(tx, j.key(effectDelivery, t.Box))
			if err != nil && !errors.Is(err, errNoResult) {
				return err
			}
			if d.refused != nil {
				j.boxes[t.Box.Fold()], refused = d, true
				return nil
			}
		}
		return nil
	})
	return refused, err
}

// deliverTo delivers to one mailbox.
func (j *job) deliverTo(ctx context.Context, t target) delivery {
	key := j.key(effectDelivery, t.Box)
	claim, err := j.claim(ctx, []effect.Key{key})
	if err != nil {
		return delivery{err: err, first: j.agent.o.Clock.Now()}
	}
	defer release(ctx, claim)
	if len(claim.Finished) > 0 {
		d, err := j.resultOf(ctx, key)
		if err != nil {
			return delivery{err: err, first: j.agent.o.Clock.Now()}
		}
		return d
	}
	first := claim.First(key)
	at, err := j.deliverOnce(ctx, claim, key, t)
	if refused, ok := errors.AsType[*refusal](err); ok {
		return delivery{refused: refused}
	}
	return delivery{at: at, err: err, first: first, uncertain: err != nil && claim.IsPrepared(key)}
}

// deliverOnce is the hand-over and what surrounds it. The message is delivered as it was received. [C161]
func (j *job) deliverOnce(ctx context.Context, c *effect.Claim, key effect.Key, t target) (time.Time, error) {
	if err := j.takes(ctx, t); err != nil {
		return time.Time{}, err
	}
	if err := j.settle(ctx); err != nil {
		return time.Time{}, err
	}
	if len(c.Prepared) == 0 {
		now, err := j.instant(ctx, j.record.Instant)
		if err != nil {
			return time.Time{}, err
		}
		mark := effect.Prepared{Keys: []effect.Key{key}, Instant: now, Digest: j.signed.Digest, To: t.Box, MessageID: j.messageID()}
		if err := j.prepare(ctx, c, mark); err != nil {
			return time.Time{}, err
		}
	}
	p := parcel{
		from: j.sender, to: t.To, about: j.data.Identifier, kind: j.data.Kind, messageID: j.messageID(),
		digest: j.signed.Digest, write: j.writeAsReceived, again: len(c.Prepared) > 0,
	}
	told, err := j.announce(key, p)
	if err == nil {
		err = j.mayHandOver(ctx)
	}
	if err != nil {
		told.forget()
		return time.Time{}, err
	}
	err = j.agent.o.Register.Probe().Around(effect.StepHandOver, key.Effect, func() error { return j.intoMailbox(ctx, p) })
	if err != nil {
		told.forget()
		return time.Time{}, failed(ctx, c, key, err, nil)
	}
	at, err := j.instant(ctx, j.record.Instant)
	if err != nil { // it stays prepared: the next presentation finds it in the mailbox, and dates it then
		told.forget()
		return time.Time{}, err
	}
	written := j.delivered(key, t.Box)
	j.end(c, []effect.Key{key}, func(tx store.Tx) error {
		return errors.Join(told.record(tx, at), written(tx, at))
	})
	return at, nil
}

// takes asks whether a mailbox takes mail at all: Dovecot's LMTP does not know of mailboxes that the administrator has
// disabled, and our own addresses take nothing but what is between providers. [C184]
func (j *job) takes(ctx context.Context, t target) error {
	if j.live.isService(t.Box) {
		return refusedBy(mailbox.Disabled)
	}
	if t.takes {
		return nil
	}
	return j.enabled(ctx, t.Box)
}

// enabled is a refusal when the administrator has disabled a mailbox.
func (w *work) enabled(ctx context.Context, box pec.Address) error {
	found, err := w.live.mailboxes.Lookup(ctx, box)
	if err != nil {
		return err
	}
	for _, b := range found.Boxes { // that of an alias that keeps a copy is one of several
		if b.Address.Fold() == box.Fold() && b.State == mailbox.Disabled {
			return refusedBy(mailbox.Disabled)
		}
	}
	return nil // unknown is for LMTP to say, which also knows of subaddresses
}

// messageID is the Message-ID of the message as delivered, by which a mailbox is searched.
func (j *job) messageID() string { return j.header.Get("Message-ID") }

// delivered returns what writes down what a delivery into a mailbox makes true: for each certified recipient that the
// mailbox stands for, or was the last one of, the fact and the record. An alias of which other mailboxes still lack the
// message has a copy in this one, and is not delivered. [C160]
func (j *job) delivered(key effect.Key, box pec.Address) func(store.Tx, time.Time) error {
	alone, copies, ended := j.standsFor(box)
	return func(tx store.Tx, at time.Time) error {
		err := errors.Join(putResult(tx, key, result{At: &at}),
			j.lies(tx, ledger.EventDelivery, alone, box.String(), at),
			j.lies(tx, ledger.EventCopy, copies, box.String(), at),
			j.lies(tx, ledger.EventDelivery, ended, "", at))
		if err != nil {
			return err
		}
		for _, a := range append(alone, ended...) {
			if err := j.fact(tx, tracking.Delivered, a, at); err != nil {
				return err
			}
		}
		return nil
	}
}

// lies writes a record about some certified recipients, if there are any.
func (j *job) lies(tx store.Tx, event ledger.Event, whom []pec.Address, where string, at time.Time) error {
	if len(whom) == 0 {
		return nil
	}
	r := j.event(event, at)
	r.Effect, r.Covered, r.Detail = effectDelivery, whom, where
	return ledger.Append(tx, r)
}

// standsFor are the certified recipients of this presentation for whom a mailbox that just got the message stands: those
// that it is the one mailbox of, those that have more, and those of the latter that have it in all of them now.
func (j *job) standsFor(box pec.Address) (alone, copies, ended []pec.Address) {
	for _, certified := range j.presented() {
		e := j.expanded[certified.Fold()]
		if !slices.ContainsFunc(e.targets, func(t target) bool { return t.Box.Fold() == box.Fold() }) {
			continue
		}
		if len(e.targets) == 1 {
			alone = append(alone, certified)
			continue
		}
		copies = append(copies, certified)
		lacks := func(t target) bool { return t.Box.Fold() != box.Fold() && j.boxes[t.Box.Fold()].at.IsZero() }
		if !slices.ContainsFunc(e.targets, lacks) {
			ended = append(ended, certified)
		}
	}
	return alone, copies, ended
}

// clocked is a step that comes before the delivery and may fail: the time of a recipient begins when the message is
// first presented, and not when all that comes first has been done. [C102]
func clocked(do func(context.Context, *job) error) func(context.Context, *job) error {
	return func(ctx context.Context, j *job) error {
		err := do(ctx, j)
		if err != nil {
			j.startClocks(context.WithoutCancel(ctx))
		}
		return err
	}
}

// startClocks remembers the first presentation of each recipient that waits.
func (j *job) startClocks(ctx context.Context) {
	if j.data == nil {
		return
	}
	for _, certified := range j.presented() {
		_ = j.unexpanded(ctx, certified, errUnanswered)
	}
}

// expired says whether a recipient has waited long enough. As long as the mailbox may have the message it waits on: a
// non-delivery could be false.
func (j *job) expired(d delivery, e *expansion) bool {
	first := d.first
	if !e.first.IsZero() && e.first.Before(first) {
		first = e.first
	}
	if d.err == nil || first.IsZero() || j.agent.o.Clock.Now().Sub(first) < giveUp {
		return false
	}
	if d.uncertain {
		_ = j.alarm("a message waits past its time: its mailbox may have it, and does not say", d.err) // d.err is answered
	}
	return !d.uncertain
}

// failureOf names a refusal in the words of the certification data. [C181] [C252]
func (w *work) failureOf(r *refusal) policy.Failure {
	return policy.NonDelivery(w.live.config.Provider.Name, r.Attempt)
}
