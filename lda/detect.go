package lda

import (
	"context"
	"errors"
	"time"

	"github.com/ceralacca/ceralacca/internal/effect"
	"github.com/ceralacca/ceralacca/internal/ledger"
	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/internal/tracking"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/pec/compose"
	"github.com/ceralacca/ceralacca/policy"
)

// detect sends the provider of the sender one virus-detection notice for each recipient of ours. It has the key of the
// outcome, so that a recipient is delivered to or told of, never both. [C120] [C121] [C143] [C144] [C145]
func detect(ctx context.Context, j *job) error {
	if err := j.noneUnderWay(ctx); err != nil {
		return err
	}
	for _, a := range j.inCharge() {
		state, err := j.known(ctx, a)
		if err != nil {
			return err
		}
		if state.Final != nil && state.Final.Kind == tracking.Delivered {
			err = j.tooLate(ctx, a)
		} else {
			err = j.issueOutcome(ctx, a, &outcome{Recipient: a.String(), At: j.record.Instant, Virus: j.record.Scan.Virus})
		}
		if err != nil {
			return err
		}
	}
	j.answerRest(nil)
	return nil
}

// noneUnderWay asks that no delivery of this message is of unknown outcome: an earlier copy, from before the virus was
// known, may be in a mailbox, and a notice that it is not would be false.
func (j *job) noneUnderWay(ctx context.Context) error {
	var all []effect.Unfinished
	err := j.agent.o.Store.View(ctx, func(tx store.Tx) (err error) {
		all, err = effect.FindUnfinished(tx, j.agent.o.Clock.Now().Add(24*time.Hour)) // whatever its age
		return err
	})
	if err != nil {
		return err
	}
	for _, u := range all {
		for _, k := range u.Keys {
			if k.Effect == effectDelivery && k.Identifier == string(j.data.Identifier) && k.Digest == j.signed.Digest {
				return j.alarm("an infected message waits: a mailbox may have an earlier copy", errors.New(k.Recipient))
			}
		}
	}
	return nil
}

// tooLate is for a recipient that an earlier copy was delivered to, when its virus was not known.
func (j *job) tooLate(ctx context.Context, recipient pec.Address) error {
	r := j.event(ledger.EventContradiction, j.record.Instant)
	r.Covered, r.Effect, r.Scan = []pec.Address{recipient}, effectContradiction, j.record.Scan
	r.Detail = "a virus in what was delivered before: " + j.record.Scan.Virus
	first, err := j.once(ctx, j.keyOfTransaction(effectContradiction, recipient), r)
	if first {
		j.infection("a virus in what was delivered before", recipient.String())
	}
	return err
}

// detection is the virus-detection notice. [C146] [C147] [C148] [C149] [C150] [C151]
func (j *job) detection(recipient pec.Address, o outcome) compose.Notification {
	failure := policy.Infected(j.live.config.Provider.Name, o.Virus)
	data := j.reply(j.data, pec.KindVirusDetection, o.At)
	data.Error, data.Detail, data.Delivery = failure.Error, failure.Detail, &recipient
	return compose.Notification{Data: data, To: j.provider.MailReceipt, Virus: o.Virus}
}
