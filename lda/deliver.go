package lda

import (
	"context"
	"errors"
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

// deliver puts the message into the mailbox of every recipient of this presentation, each mailbox once although several
// addresses lead to it. What earlier runs concluded is ended first, and what they concluded as not delivered is not
// delivered any more. [C116] [C159]
func deliver(ctx context.Context, j *job) error {
	if err := j.resumeOutcomes(ctx); err != nil {
		return err
	}
	for i, r := range j.recipients {
		if j.answers[i] != errUnanswered {
			continue
		}
		if _, tried := j.boxes[r.address.Fold()]; !tried {
			j.boxes[r.address.Fold()] = j.deliverTo(ctx, r.address)
		}
	}
	return nil
}

// deliverTo delivers to one mailbox.
func (j *job) deliverTo(ctx context.Context, box pec.Address) delivery {
	key := j.key(effectDelivery, box)
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
	at, err := j.deliverOnce(ctx, claim, key, box)
	if refused, ok := errors.AsType[*refusal](err); ok {
		return delivery{refused: refused}
	}
	return delivery{at: at, err: err, first: first, uncertain: err != nil && claim.IsPrepared(key)}
}

// deliverOnce is the hand-over and what surrounds it. The message is delivered as it was received. [C161]
func (j *job) deliverOnce(ctx context.Context, c *effect.Claim, key effect.Key, box pec.Address) (time.Time, error) {
	if err := j.takes(ctx, box); err != nil {
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
		mark := effect.Prepared{Keys: []effect.Key{key}, Instant: now, Digest: j.signed.Digest, To: box, MessageID: j.messageID()}
		if err := j.prepare(ctx, c, mark); err != nil {
			return time.Time{}, err
		}
	}
	p := parcel{
		from: j.sender, to: box, about: j.data.Identifier, kind: j.data.Kind, messageID: j.messageID(),
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
	j.end(c, []effect.Key{key}, func(tx store.Tx) error {
		return errors.Join(told.record(tx, at), j.delivered(tx, key, box, at))
	})
	return at, nil
}

// takes asks whether a mailbox takes mail at all: Dovecot's LMTP does not know of mailboxes that the administrator has
// disabled, and our own addresses take nothing but what is between providers. [C184]
func (j *job) takes(ctx context.Context, box pec.Address) error {
	if j.live.isService(box) {
		return refusedBy(mailbox.Disabled)
	}
	found, err := j.live.mailboxes.Lookup(ctx, box)
	if err != nil {
		return err
	}
	if found.State == mailbox.Disabled {
		return refusedBy(mailbox.Disabled)
	}
	return nil // unknown is for LMTP to say, which also knows of subaddresses
}

// messageID is the Message-ID of the message as delivered, by which a mailbox is searched.
func (j *job) messageID() string { return j.header.Get("Message-ID") }

// delivered writes what a delivery makes true: for each certified recipient that the mailbox stands for, the fact and
// the record.
func (j *job) delivered(tx store.Tx, key effect.Key, box pec.Address, at time.Time) error {
	if err := putResult(tx, key, result{At: &at}); err != nil {
		return err
	}
	r := j.event(ledger.EventDelivery, at)
	r.Effect, r.Covered, r.Detail = effectDelivery, j.standsFor(box), box.String()
	if err := ledger.Append(tx, r); err != nil {
		return err
	}
	for _, a := range r.Covered {
		if err := j.fact(tx, tracking.Delivered, a, at); err != nil {
			return err
		}
	}
	return nil
}

// standsFor are the certified recipients for whom a mailbox stands in this presentation, each once.
func (j *job) standsFor(box pec.Address) []pec.Address {
	var out []pec.Address
	seen := make(map[pec.Address]bool)
	for i, r := range j.recipients {
		if a := j.certified[i]; r.address.Fold() == box.Fold() && !a.IsZero() && !seen[a.Fold()] {
			seen[a.Fold()] = true
			out = append(out, a)
		}
	}
	return out
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

// startClocks remembers the first presentation of each recipient that waits: a claim that is released does.
func (j *job) startClocks(ctx context.Context) {
	for i, r := range j.recipients {
		if j.answers[i] != errUnanswered || j.internal(r.address) {
			continue
		}
		claim, err := j.agent.o.Register.Claim(ctx, []effect.Key{j.key(effectDelivery, r.address)})
		if err != nil {
			j.log.WarnContext(ctx, "a first presentation was not noted", "recipient", r.raw, "error", err)
			continue
		}
		release(ctx, claim)
	}
}

// expired says whether a recipient has waited long enough. As long as the mailbox may have the message it waits on: a
// non-delivery could be false.
func (j *job) expired(d delivery) bool {
	if d.err == nil || d.first.IsZero() || j.agent.o.Clock.Now().Sub(d.first) < giveUp {
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
