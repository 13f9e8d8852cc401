package lda

import (
	"context"
	"encoding/json"
	"time"

	"github.com/ceralacca/ceralacca/internal/effect"
	"github.com/ceralacca/ceralacca/internal/ledger"
	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/internal/tracking"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/pec/brief"
	"github.com/ceralacca/ceralacca/pec/compose"
	"github.com/ceralacca/ceralacca/policy"
)

// outcome is what is certified of one recipient, as it is stored before the notice is handed over. Delivered and the
// others exclude each other, and one key holds them all: whichever is prepared first stands for good.
type outcome struct {
	Recipient string          `json:"recipient"`
	Delivered bool            `json:"delivered"`
	At        time.Time       `json:"at"`
	Failure   *policy.Failure `json:"failure,omitempty"`
	// Virus is what kept the message from the recipient: our own finding without Failure, that of another provider with it.
	Virus string `json:"virus,omitempty"`
	// Brief is how the hashes of a brief receipt are made, whatever the configuration says later. What was prepared
	// before there were any has none: its receipt is complete.
	Brief *brief.Settings `json:"brief,omitempty"`
}

// conclude issues one delivery receipt or one non-delivery notice per certified recipient, and answers Postfix. An
// address that is an alias is delivered as soon as one of its mailboxes has the message. [C160] [C165] [C179]
func conclude(ctx context.Context, j *job) error {
	for _, certified := range j.presented() {
		places := j.placesOf(certified)
		o, answers := j.judge(ctx, certified, places)
		var err error
		if o != nil {
			err = j.issueOutcome(ctx, certified, o)
		}
		for n, i := range places {
			if j.answers[i] = answers[n]; err != nil {
				j.answers[i] = err
			}
		}
	}
	return nil
}

// presented are the certified recipients of this presentation that have no answer, each once, in order.
func (j *job) presented() []pec.Address {
	var out []pec.Address
	seen := make(map[pec.Address]bool)
	for i, a := range j.certified {
		if j.answers[i] == errUnanswered && !seen[a.Fold()] {
			seen[a.Fold()] = true
			out = append(out, a)
		}
	}
	return out
}

func (j *job) placesOf(certified pec.Address) []int {
	var out []int
	for i, a := range j.certified {
		if j.answers[i] == errUnanswered && a.Fold() == certified.Fold() {
			out = append(out, i)
		}
	}
	return out
}

// judge decides what is to be certified of a recipient, nothing when it is too early, and what Postfix hears at each
// place. A mailbox that refused for good is done with: if the others fail too, they will say so.
func (j *job) judge(ctx context.Context, certified pec.Address, places []int) (*outcome, []error) {
	answers := make([]error, len(places))
	var refused *refusal
	var waiting, expired bool
	for n, i := range places {
		d := j.boxes[j.recipients[i].address.Fold()]
		switch {
		case d.refused != nil:
			refused = d.refused
		case d.err != nil:
			answers[n], waiting = d.err, true
			expired = expired || j.expired(d)
		}
	}
	o := &outcome{Recipient: certified.String()}
	if at, ok := j.earliest(places); ok {
		o.Delivered, o.At, o.Brief = true, at, j.live.brief()
		return o, answers
	}
	var err error
	if o.At, err = j.instant(ctx, j.record.Instant); err != nil {
		for n := range answers {
			answers[n] = err
		}
		return nil, answers
	}
	switch {
	case expired:
		failure := policy.Expired(j.live.config.Provider.Name)
		o.Failure = &failure
		return o, make([]error, len(places))
	case waiting:
		return nil, answers
	}
	failure := j.failureOf(refused)
	o.Failure = &failure
	return o, answers
}

// earliest is the first delivery among some places.
func (j *job) earliest(places []int) (at time.Time, ok bool) {
	for _, i := range places {
		d := j.boxes[j.recipients[i].address.Fold()]
		if !d.at.IsZero() && (!ok || d.at.Before(at)) {
			at, ok = d.at, true
		}
	}
	return at, ok
}

func (j *job) issueOutcome(ctx context.Context, certified pec.Address, o *outcome) error {
	return j.issue(ctx, plan{
		keys:    []effect.Key{j.key(effectOutcome, certified)},
		at:      o.At, // the receipt says when it was delivered [C162] [C243]
		data:    func([]effect.Key) []byte { return encode(o) },
		compose: j.composeOutcome,
		done:    j.concluded,
	})
}

// composeOutcome makes the notice from what was stored.
func (j *job) composeOutcome(p effect.Prepared) (compose.Notification, error) {
	var o outcome
	if err := json.Unmarshal(p.Data, &o); err != nil {
		return compose.Notification{}, err
	}
	recipient, err := pec.ParseAddress(o.Recipient)
	if err != nil {
		return compose.Notification{}, err
	}
	switch {
	case o.Failure != nil:
		return j.nonDelivery(j.data, recipient, o), nil
	case o.Virus != "":
		return j.detection(recipient, o), nil
	}
	return j.receipt(recipient, o)
}

// receipt is the delivery receipt. [C162] [C163] [C166] [C167] [C170]
func (j *job) receipt(recipient pec.Address, o outcome) (compose.Notification, error) {
	original, _, err := pec.ReadHeader(j.parts.Original, maxHeader)
	if err != nil {
		original = nil // who is primary cannot be told, so that everybody is [C169]
	}
	kind, withOriginal := policy.ReceiptFor(j.data, j.header, original, recipient)
	data := j.reply(j.data, pec.KindDelivery, o.At)
	data.Receipt, data.Delivery = kind, &recipient
	n := compose.Notification{Data: data, To: j.data.Sender, Concise: !withOriginal}
	if !withOriginal {
		return n, nil
	}
	n.Original = []pec.Source{j.parts.Original}
	if kind != pec.ReceiptBrief {
		return n, nil
	}
	err = j.shorten(&n, o.Brief)
	return n, err
}

// nonDelivery is the non-delivery notice. [C180] [C181]
func (w *work) nonDelivery(about *pec.CertData, recipient pec.Address, o outcome) compose.Notification {
	data := w.reply(about, pec.KindNonDelivery, o.At)
	data.Error, data.Detail, data.Delivery = o.Failure.Error, o.Failure.Detail, &recipient
	return compose.Notification{Data: data, To: about.Sender, Virus: o.Virus}
}

// concluded writes what a notice makes true.
func (j *job) concluded(tx store.Tx, s issued) error {
	data := s.notice.Data
	r := j.event(ledger.EventDeliveryReceipt, s.Instant)
	r.Effect, r.Related, r.Covered = effectOutcome, []string{s.MessageID}, []pec.Address{*data.Delivery}
	switch data.Kind {
	case pec.KindNonDelivery:
		r.Event, r.Detail = ledger.EventNonDelivery, data.Detail
	case pec.KindVirusDetection:
		r.Event, r.Detail, r.Scan = ledger.EventVirusDetection, s.notice.Virus, j.record.Scan
	default:
		r.Detail = j.whyComplete(s.notice)
		if err := j.deliveredEarlier(tx, *data.Delivery, s.Instant); err != nil {
			return err
		}
		return ledger.Append(tx, r)
	}
	if err := j.fact(tx, tracking.NotDelivered, *data.Delivery, s.Instant); err != nil {
		return err
	}
	return ledger.Append(tx, r)
}

// deliveredEarlier writes the delivery for a recipient whose mailbox got the message under another address, in an
// earlier presentation; for all others the delivery itself wrote it.
func (j *job) deliveredEarlier(tx store.Tx, recipient pec.Address, at time.Time) error {
	state, err := tracking.Outcome(tx, j.provider.Name, j.data.Identifier, recipient)
	if err != nil || state.Final != nil {
		return err
	}
	r := j.event(ledger.EventDelivery, at)
	r.Effect, r.Covered = effectDelivery, []pec.Address{recipient}
	if err := ledger.Append(tx, r); err != nil {
		return err
	}
	return j.fact(tx, tracking.Delivered, recipient, at)
}

// resumeOutcomes ends what an earlier run began to certify, before anything is delivered: a recipient whose
// non-delivery may have been sent gets nothing any more, and Postfix hears 250.
func (j *job) resumeOutcomes(ctx context.Context) error {
	for _, certified := range j.presented() {
		if err := j.resumeOutcome(ctx, certified); err != nil {
			return err
		}
		state, err := j.known(ctx, certified)
		if err != nil {
			return err
		}
		if state.Final != nil && state.Final.Kind == tracking.NotDelivered {
			for _, i := range j.placesOf(certified) {
				j.answers[i] = nil
			}
		}
	}
	return nil
}

// resumeOutcome hands over what was prepared for a recipient and may not have arrived.
func (j *job) resumeOutcome(ctx context.Context, certified pec.Address) error {
	claim, err := j.claim(ctx, []effect.Key{j.key(effectOutcome, certified)})
	if err != nil {
		return err
	}
	defer claim.Forget()
	p := plan{compose: j.composeOutcome, done: j.concluded}
	for _, prepared := range claim.Prepared {
		if err := j.again(ctx, claim, p, prepared); err != nil {
			return err
		}
	}
	return nil
}

// known is what is known of a recipient.
func (j *job) known(ctx context.Context, certified pec.Address) (s tracking.State, err error) {
	err = j.agent.o.Store.View(ctx, func(tx store.Tx) error {
		s, err = tracking.Outcome(tx, j.provider.Name, j.data.Identifier, certified)
		return err
	})
	return s, err
}
