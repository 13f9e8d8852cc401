package lda

import (
	"context"
	"encoding/json"
	"errors"
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

// conclude issues one delivery receipt or one non-delivery notice per certified recipient, and answers Postfix. One that
// is an alias is delivered when all of its mailboxes have the message, and not delivered when one of them failed for
// good. [C160] [C165] [C179]
func conclude(ctx context.Context, j *job) error {
	for _, certified := range j.presented() {
		o, answer := j.judge(ctx, certified)
		if o != nil {
			answer = j.issueOutcome(ctx, certified, o)
		}
		for _, i := range j.placesOf(certified) {
			j.answers[i] = answer
		}
	}
	return nil
}

// presented are the certified recipients of this presentation that have no answer, each once, in order.
func (j *job) presented() []pec.Address {
	var out []pec.Address
	seen := make(map[pec.Address]bool)
	for i, a := range j.certified {
		if j.answers[i] == errUnanswered && !a.IsZero() && !seen[a.Fold()] {
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

// judge decides what is to be certified of a recipient; nothing when it is too early, with what Postfix hears.
func (j *job) judge(ctx context.Context, certified pec.Address) (*outcome, error) {
	e := j.expanded[certified.Fold()]
	o := &outcome{Recipient: certified.String()}
	at, failure, waits := j.state(e)
	switch {
	case failure == nil && waits != nil:
		return nil, waits
	case failure == nil:
		o.Delivered, o.At, o.Brief = true, at, j.live.brief()
		return o, nil
	}
	now, err := j.instant(ctx, j.record.Instant)
	if err != nil {
		return nil, err
	}
	o.At, o.Failure = now, failure
	state, err := j.known(ctx, certified)
	if err != nil {
		return nil, err
	}
	if state.Final != nil && state.Final.Kind == tracking.Delivered {
		return nil, j.alarm("what is known as delivered failed", errors.New(failure.Detail))
	}
	return o, nil
}

// state is what became of all mailboxes of a recipient: the instant at which the last one had the message, or the failure
// of the first that will never have it, or why it is too early to say.
func (j *job) state(e *expansion) (at time.Time, failure *policy.Failure, waits error) {
	all := []delivery{}
	for _, t := range e.targets {
		all = append(all, j.boxes[t.Box.Fold()])
	}
	if e.refused != nil || e.err != nil {
		all = []delivery{{refused: e.refused, err: e.err, first: e.first, uncertain: e.uncertain}}
	}
	for _, d := range all {
		if d.refused != nil {
			f := j.failureOf(d.refused)
			return at, &f, nil
		}
	}
	for _, d := range all {
		switch {
		case d.err == nil && d.at.IsZero():
			return at, nil, errUnanswered // not tried: a fault of ours
		case d.err == nil && d.at.After(at):
			at = d.at
		case d.err != nil:
			if waits = d.err; j.expired(d, e) {
				f := policy.Expired(j.live.config.Provider.Name)
				failure = &f
			}
		}
	}
	return at, failure, waits
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
