package lda

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"time"

	"github.com/ceralacca/ceralacca/internal/effect"
	"github.com/ceralacca/ceralacca/internal/ledger"
	"github.com/ceralacca/ceralacca/internal/mailbox"
	"github.com/ceralacca/ceralacca/internal/reply"
	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/internal/tracking"
	"github.com/ceralacca/ceralacca/internal/transaction"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/pec/compose"
	"github.com/ceralacca/ceralacca/policy"
	"github.com/ceralacca/ceralacca/signer"
)

// wrap replaces the message of the job by an anomaly envelope around it. It is made of the record and the message
// alone, and signing is deterministic, so that every presentation makes the same. [C118] [C132]
func wrap(p pec.Problem) func(context.Context, *job) error {
	return func(ctx context.Context, j *job) error {
		original := compose.Original{Header: j.header, Body: j.body, Encrypted: j.record.Scan.Verdict == transaction.ScanEncrypted}
		artefact, err := compose.AnomalyEnvelope(j.live.provider(), original, compose.Anomaly{
			Sender: j.record.Sender, Recipients: j.record.Recipients, Reason: p.Italian(), Time: j.record.Instant,
			ID: j.record.ID,
		})
		if err != nil {
			return fail("wrap", j.record.Identifier, pec.ErrorTemporary, err)
		}
		draft, err := signer.NewDraft(artefact)
		if err != nil {
			return fail("wrap", j.record.Identifier, pec.ErrorTemporary, err)
		}
		if j.wrapped, err = draft.SealTo(ctx, nil, j.live.key, j.record.Instant); err != nil {
			return fail("wrap", j.record.Identifier, pec.ErrorTemporary, err)
		}
		j.problem = p
		return nil
	}
}

// passAnomaly delivers an anomaly envelope, the milter's or ours, to every mailbox of this presentation. No
// notification comes of it: Postfix tells the sender in the ordinary way of what could not be delivered. [C160] [C182]
func passAnomaly(ctx context.Context, j *job) error {
	for i, r := range j.recipients {
		if j.live.isService(r.address) { // [C184]
			j.answers[i] = j.keep(ctx, r.address)
			continue
		}
		outside, err := j.passAll(ctx, r.address, j.passAnomalyTo)
		if outside && err == nil {
			err = fail("deliver", j.record.Identifier, pec.ErrorForbidden, errOutside)
		}
		j.answers[i] = err
	}
	return nil
}

func (j *job) passAnomalyTo(ctx context.Context, box mailbox.Box) error {
	p, err := j.anomalyParcel(box)
	if err != nil {
		return err
	}
	return j.pass(ctx, passing{
		key: j.keyOfTransaction(effectAnomaly, box.To), parcel: p,
		done: func(tx store.Tx, at time.Time) error { return ledger.Append(tx, j.anomalous(box.To, at)) },
		refused: func(tx store.Tx, why *refusal) error {
			record := j.anomalous(box.To, j.agent.now())
			record.Event, record.Detail = ledger.EventAnomalyRefused, record.Detail+": "+why.Error()
			return ledger.Append(tx, record)
		},
	})
}

// passAll passes a message to every mailbox that an address comes to, each as a recipient of its own. What Postfix hears
// of an alias is what is worst: later, before refused, before done. To what is outside nothing is passed: that is an
// alarm, and what is returned says so.
func (j *job) passAll(ctx context.Context, a pec.Address, pass func(context.Context, mailbox.Box) error) (outside bool, err error) {
	found, err := j.live.mailboxes.Lookup(ctx, a)
	if err != nil {
		return false, err
	}
	if len(found.Outside) > 0 {
		j.outside(ctx, a, found.Outside)
	}
	boxes := found.Boxes
	if len(boxes) == 0 {
		boxes = []mailbox.Box{{Address: a, To: a}} // unknown, and told so by its own step
	}
	for _, box := range boxes {
		switch one := pass(ctx, box); {
		case one == nil:
		case reply.For(one, reply.DoorLMTP).Temporary():
			return len(found.Outside) > 0, one
		default:
			err = one
		}
	}
	return len(found.Outside) > 0, err
}

// anomalyParcel is the anomaly envelope on its way to one mailbox.
func (j *job) anomalyParcel(box mailbox.Box) (parcel, error) {
	p := parcel{from: j.sender, to: box.To, box: &box, about: j.record.Identifier, kind: pec.KindAnomaly}
	if j.wrapped != nil {
		p.messageID, p.digest = j.wrapped.Header().Get("Message-ID"), j.wrapped.Digest()
		p.write = wholeOf(j.wrapped)
		return p, nil
	}
	opened, err := signer.Open(j.message)
	if err != nil {
		return p, j.alarm("an anomaly envelope of ours does not open", err)
	}
	p.messageID, p.digest, p.write = j.messageID(), opened.Digest, j.writeAsReceived
	return p, nil
}

func (j *job) anomalous(to pec.Address, at time.Time) ledger.Record {
	r := ledger.Record{
		Identifier: j.record.Identifier, Time: at, Sender: j.record.Sender, Subject: j.record.Subject,
		Event: ledger.EventAnomaly, Provider: j.record.Signer, Effect: effectAnomaly, QueueID: j.queueID,
		Covered: []pec.Address{to}, Reference: j.record.MessageID, Detail: j.record.Reason, Scan: j.record.Scan,
	}
	if r.Identifier == "" {
		r.Identifier = pec.Identifier(j.record.ID)
	}
	if j.problem != "" {
		r.Detail = string(j.problem)
	}
	for _, a := range j.record.Recipients {
		r.Recipients = append(r.Recipients, pec.Recipient{Address: a, Type: pec.Certified})
	}
	return r
}

// passing is a message that is put into one mailbox without any certificate about it.
type passing struct {
	key    effect.Key
	parcel parcel
	aside  bool // a mailbox that refuses does not fail the transaction: the message is put aside
	done   func(tx store.Tx, at time.Time) error
	// refused writes what a refusal makes true; nil is nothing.
	refused func(tx store.Tx, why *refusal) error
}

// pass delivers once. A refusal has the kind of its cause, for Postfix to tell the sender.
func (w *work) pass(ctx context.Context, p passing) error {
	claim, err := w.claim(ctx, []effect.Key{p.key})
	if err != nil {
		return err
	}
	defer release(ctx, claim)
	if len(claim.Finished) > 0 {
		return w.passed(ctx, p)
	}
	if err := w.settle(ctx); err != nil {
		return err
	}
	p.parcel.again = len(claim.Prepared) > 0
	if !p.parcel.again {
		mark := effect.Prepared{Keys: []effect.Key{p.key}, Instant: w.agent.now(), Digest: p.parcel.digest, To: p.parcel.to,
			MessageID: p.parcel.messageID}
		if err := w.prepare(ctx, claim, mark); err != nil {
			return err
		}
	}
	return w.passClaimed(ctx, claim, p)
}

func (w *work) passClaimed(ctx context.Context, c *effect.Claim, p passing) error {
	told, err := w.announce(p.key, p.parcel)
	if err == nil {
		err = w.mayHandOver(ctx)
	}
	if err != nil {
		told.forget()
		return err
	}
	var aside *tracking.Due
	err = w.agent.o.Register.Probe().Around(effect.StepHandOver, p.key.Effect, func() (err error) {
		if err = w.intoMailboxes(ctx, p.parcel); p.aside {
			aside, err = w.orAside(ctx, p.parcel, err)
		}
		return err
	})
	if err != nil {
		told.forget()
		return ordinarily(failed(ctx, c, p.key, err, p.refused))
	}
	at := w.agent.now()
	w.end(c, []effect.Key{p.key}, func(tx store.Tx) error {
		if err := errors.Join(putResult(tx, p.key, result{At: &at}), told.record(tx, at)); err != nil {
			return err
		}
		if aside != nil {
			return tracking.PutDue(tx, *aside)
		}
		return p.done(tx, at)
	})
	return nil
}

// passed answers for what an earlier presentation ended.
func (w *work) passed(ctx context.Context, p passing) error {
	d, err := w.resultOf(ctx, p.key)
	if err != nil {
		return err
	}
	if d.refused != nil {
		return ordinarily(d.refused)
	}
	w.log.InfoContext(ctx, "dropped: it was delivered before", "to", p.parcel.to.String())
	return nil
}

// ordinarily gives a refusal the kind that Postfix is told.
func ordinarily(err error) error {
	refused, ok := errors.AsType[*refusal](err)
	if !ok {
		return err
	}
	kind := pec.ErrorTemporary
	switch policy.CauseOf(refused.Attempt) {
	case pec.CauseAddress:
		kind = pec.ErrorUnknownMailbox
	case pec.CauseDisabled:
		kind = pec.ErrorMailboxDisabled
	case pec.CauseFull:
		kind = pec.ErrorMailboxFull
	}
	return fail("deliver", "", kind, err)
}

// writeAsReceived writes the message as it was received, without our own fields. [C161] [C177]
func (j *job) writeAsReceived(w io.Writer) error {
	b := bufio.NewWriterSize(w, streamBuffer)
	if _, err := io.Copy(b, bytes.NewReader(head(j.above))); err != nil {
		return err
	}
	if _, err := io.Copy(b, whole(j.message)); err != nil {
		return err
	}
	return b.Flush()
}
