package lda

import (
	"context"
	"errors"
	"time"

	"github.com/ceralacca/ceralacca/internal/effect"
	"github.com/ceralacca/ceralacca/internal/ledger"
	"github.com/ceralacca/ceralacca/internal/metrics"
	"github.com/ceralacca/ceralacca/internal/quarantine"
	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/internal/transaction"
	"github.com/ceralacca/ceralacca/pec"
)

// The reasons for which nobody is told of a virus, beside the problems of an envelope.
const whyNotification = "an infected notification"

// setAside puts an infected message into the quarantine, as it came, before anybody hears of it. [C027] [C067] [C121]
func setAside(ctx context.Context, j *job) error {
	return j.quarantine(ctx, "")
}

// quarantine stores the message once per transaction. When nobody will be told of the virus, why says so, and an operator
// must look at it.
func (j *job) quarantine(ctx context.Context, why string) error {
	key := j.keyOfTransaction(effectQuarantine, pec.Address{})
	claim, err := j.claim(ctx, []effect.Key{key})
	if err != nil {
		return err
	}
	defer release(ctx, claim)
	if len(claim.Finished) > 0 {
		return nil
	}
	if err := j.settle(ctx); err != nil {
		return err
	}
	entry := j.infected(why)
	err = j.agent.o.Register.Probe().Around(effect.StepHandOver, effectQuarantine, func() (err error) {
		entry, err = quarantine.In(j.live.config.Agent.State).Put(entry, j.writeAsReceived)
		return err
	})
	if err != nil {
		j.agent.o.Metrics.Count(metrics.Alarms, "quarantine")
		j.log.ErrorContext(ctx, "an infected message cannot be put into the quarantine", "alarm", true, "error", err)
		return fail("quarantine", j.record.Identifier, pec.ErrorTemporary, err)
	}
	j.log.WarnContext(ctx, "infected: put into the quarantine", "virus", entry.Virus, "engine", entry.Engine,
		"signatures", entry.Signatures, "point", entry.Point, "sender", entry.Sender, "sha256", entry.SHA256)
	if why != "" {
		j.infection("an infected message reaches nobody, and nobody is told", why)
	}
	return claim.Done(ctx, []effect.Key{key}, func(tx store.Tx) error { return j.quarantined(tx, &entry) })
}

// infection raises the alarm about an infected message that an operator must look at.
func (j *job) infection(what, about string) {
	j.log.Error(what, "alarm", true, "about", about, "virus", j.record.Scan.Virus)
	j.agent.o.Metrics.Count(metrics.Alarms, "infected")
}

// infected describes the message for the quarantine.
func (j *job) infected(why string) quarantine.Entry {
	r := j.record
	e := quarantine.Entry{
		ID: r.ID, Identifier: r.Identifier, Time: r.Instant, Point: string(r.Point), Kind: r.Kind, Recipients: texts(r.Recipients),
		Virus: r.Scan.Virus, Engine: r.Scan.Engine, Signatures: r.Scan.Signatures, Signer: r.Signer, MessageID: r.MessageID,
		Subject: r.Subject, Why: why,
	}
	if !r.Sender.IsZero() {
		e.Sender = r.Sender.String()
	}
	if e.MessageID == "" {
		e.MessageID = j.messageID()
	}
	if e.Subject == "" {
		e.Subject = pec.DecodeText(j.header.Get("Subject"))
	}
	return e
}

// quarantined writes what the log says of a message in the quarantine.
func (j *job) quarantined(tx store.Tx, e *quarantine.Entry) error {
	r := j.ofRecord(ledger.EventQuarantined)
	r.Effect, r.Related, r.Detail = effectQuarantine, []string{e.ID}, e.SHA256
	if err := ledger.Append(tx, r); err != nil || e.Why == "" {
		return err
	}
	r.Event, r.Related, r.Detail = ledger.EventKept, nil, e.Why
	return ledger.Append(tx, r)
}

// ofRecord begins a record of the log from the transaction alone, for what holds whatever the message says of itself.
func (j *job) ofRecord(e ledger.Event) ledger.Record {
	r := j.anomalous(pec.Address{}, j.record.Instant)
	r.Event, r.Covered, r.Effect, r.Detail, r.Scan = e, nil, "", "", j.record.Scan
	if j.record.Point == transaction.PointSubmission {
		r.Provider, r.Recipients = j.live.config.Provider.Name, j.submitted().Recipients
	} else if j.data != nil && j.problem == "" {
		r.Recipients = j.data.Recipients
	}
	return r
}

// infectedEnvelope ends an infected envelope that is not what it says: no provider is told, for none is known to have
// sent it. [C118] [C145]
func infectedEnvelope(ctx context.Context, j *job) error {
	if err := j.quarantine(ctx, string(j.problem)); err != nil {
		return err
	}
	j.answerRest(nil)
	return nil
}

// infectedNotification ends an infected notification: what it states is true, and no mailbox gets it. [C143]
func infectedNotification(ctx context.Context, j *job) error {
	if err := j.quarantine(ctx, whyNotification); err != nil {
		return err
	}
	j.answerRest(nil)
	return nil
}

// retireEvery is how often the quarantine is looked through for what is too old.
const retireEvery = time.Hour

// retire removes what has been in the quarantine for its time, until ctx ends.
func (a *Agent) retire(ctx context.Context) {
	for {
		if err := a.retireOld(ctx); err != nil && ctx.Err() == nil {
			a.o.Log.ErrorContext(ctx, "the quarantine", "alarm", true, "error", err)
			a.o.Metrics.Count(metrics.Alarms, "quarantine")
		}
		if err := a.o.Clock.Sleep(ctx, retireEvery); err != nil {
			return
		}
	}
}

// retireOld removes once what is too old now. What cannot be read stays, and is an error. [C067]
func (a *Agent) retireOld(ctx context.Context) error {
	if a.o.ClockSound() != nil { // a wrong clock must not end the time of evidence
		return nil
	}
	from := quarantine.In(a.live.Load().config.Agent.State)
	entries, err := from.List()
	failures := []error{err}
	for _, e := range entries {
		if a.o.Clock.Now().Before(e.Until()) {
			continue
		}
		if err := a.retireOne(ctx, from, e); err != nil {
			failures = append(failures, err)
		}
	}
	return errors.Join(failures...)
}

// retireOne removes the message, writes that down, and removes its description: whoever dies in between goes on.
func (a *Agent) retireOne(ctx context.Context, from *quarantine.Store, e *quarantine.Entry) error {
	if err := from.RemoveMessage(e); err != nil {
		return err
	}
	r := ledger.Record{
		Identifier: e.Identifier, Time: a.now(), Event: ledger.EventQuarantineRemoved, Kind: e.Kind, Effect: effectRetention,
		Related: []string{e.ID}, Detail: e.SHA256,
	}
	if r.Identifier == "" {
		r.Identifier = pec.Identifier(e.ID)
	}
	w := a.newWork(&presentation{}, e.ID, r.Identifier)
	if _, err := w.once(ctx, effect.Key{Identifier: e.ID, Effect: effectRetention}, r); err != nil {
		return err
	}
	w.log.InfoContext(ctx, "removed from the quarantine: its time is over", "virus", e.Virus, "since", e.Time, "sha256", e.SHA256)
	return from.Forget(e)
}

// once writes a record that is an effect of its own, and says whether it was the first time.
func (w *work) once(ctx context.Context, key effect.Key, r ledger.Record) (first bool, err error) {
	claim, err := w.claim(ctx, []effect.Key{key})
	if err != nil {
		return false, err
	}
	defer release(ctx, claim)
	if len(claim.Finished) > 0 {
		return false, nil
	}
	return true, claim.Done(ctx, []effect.Key{key}, func(tx store.Tx) error {
		if len(r.Recipients) == 0 {
			if err := complete(tx, &r); err != nil {
				return err
			}
		}
		return ledger.Append(tx, r)
	})
}
