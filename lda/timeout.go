package lda

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/ceralacca/ceralacca/internal/effect"
	"github.com/ceralacca/ceralacca/internal/ledger"
	"github.com/ceralacca/ceralacca/internal/metrics"
	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/internal/tracking"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/pec/compose"
	"github.com/ceralacca/ceralacca/policy"
)

// errKnown says that a certificate has come, and that a time notice is due no more.
var errKnown = errors.New("a certificate has come meanwhile")

// timeouts are the time notices that are due of one message.
type timeouts struct {
	*work
	about  *pec.CertData
	digest [32]byte // of the signed part of the envelope
	last   bool
	at     time.Time // the instant of those that nobody has begun
}

// timeout is what is stored of a time notice before it is handed over.
type timeout struct {
	Recipient string `json:"recipient"`
	Last      bool   `json:"last,omitempty"`
	Detail    string `json:"detail"`
}

// tellTimeout tells the sender of a message, once for each of the recipients, that nothing is known. It is outside all
// presentations: no queue file stands behind it, and it waits for the turn of those of the message. [C097]
func (a *Agent) tellTimeout(ctx context.Context, watched tracking.Watch, s tracking.Submission, recipients []pec.Address) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			a.o.Metrics.Count(metrics.Panics, "clock")
			a.o.Log.ErrorContext(ctx, "panic", "alarm", true, "cause", fmt.Sprint(cause), "stack", string(debug.Stack()))
			err = errors.New("panic")
		}
	}()
	w := a.newWork(&presentation{}, watched.Transaction, s.Identifier)
	w.durable = true
	end, err := a.turn(ctx, string(s.Identifier))
	if err != nil {
		return err
	}
	defer end()
	digest, err := w.digestSent(ctx, s.Identifier)
	if err != nil {
		return err
	}
	at, err := w.instant(ctx, watched.Due) // no clock that was set back meanwhile may date it
	if err != nil {
		return err
	}
	defer w.abandon()
	t := &timeouts{work: w, about: w.sent(s), digest: digest, last: watched.Last, at: at}
	var failures []error
	for _, recipient := range recipients {
		failures = append(failures, t.tell(ctx, recipient))
	}
	return errors.Join(append(failures, w.written(ctx))...)
}

// tell issues one notice, unless a certificate has come. One that an earlier run prepared may be in the sender's mailbox:
// it is finished, whatever has come since; it says of its own instant what was true then. [C088] [C089] [C100]
func (t *timeouts) tell(ctx context.Context, recipient pec.Address) error {
	stored := timeout{Recipient: recipient.String(), Last: t.last, Detail: pec.TimeoutDetail(t.about.Provider, t.last)}
	err := t.issue(ctx, plan{
		keys: []effect.Key{{Signer: t.about.Provider, Identifier: string(t.about.Identifier), Digest: t.digest,
			Effect: timeoutEffect(t.last), Recipient: recipient.Fold().String()}},
		at:      t.at,
		data:    func([]effect.Key) []byte { return encode(stored) },
		compose: t.compose,
		done:    t.done,
		when: func(tx store.Tx) error {
			state, err := tracking.Outcome(tx, t.about.Provider, t.about.Identifier, recipient)
			if err == nil && !policy.NoticeDue(t.last, known(state)) {
				err = errKnown
			}
			return err
		},
	})
	if errors.Is(err, errKnown) {
		t.log.InfoContext(ctx, "no time notice: a certificate has come meanwhile", "recipient", recipient.String())
		return nil
	}
	return err
}

// timeoutEffect is the effect of the first notice or of the last.
func timeoutEffect(last bool) string {
	if last {
		return effectTimeout24
	}
	return effectTimeout12
}

// compose makes the notice. [C094] [C095] [C096] [C098] [C099] [C253]
func (t *timeouts) compose(p effect.Prepared) (compose.Notification, error) {
	var stored timeout
	if err := decode(p.Data, &stored); err != nil {
		return compose.Notification{}, err
	}
	recipient, err := pec.ParseAddress(stored.Recipient)
	if err != nil {
		return compose.Notification{}, err
	}
	data := t.reply(t.about, pec.KindTimeout, p.Instant)
	data.Error, data.Detail, data.Delivery = pec.ErrorOther, stored.Detail, &recipient
	return compose.Notification{Data: data, To: t.about.Sender, Final: stored.Last}, nil
}

// done writes the record. A time notice is no fact: what comes later still counts. [C093]
func (t *timeouts) done(tx store.Tx, s issued) error {
	r := t.event(t.about, t.about.Provider, ledger.EventTimeout12, s.Instant)
	r.Effect, r.Related, r.Detail = s.Keys[0].Effect, []string{s.MessageID}, s.notice.Data.Detail
	r.Covered = []pec.Address{*s.notice.Data.Delivery}
	if t.last {
		r.Event = ledger.EventTimeout24
		t.tooLate(s.Instant)
	}
	return ledger.Append(tx, r)
}

// tooLate is an alarm for a last notice after its limit. [C089]
func (t *timeouts) tooLate(at time.Time) {
	if late := at.Sub(t.about.Time.Add(policy.LastLimit)); late > 0 {
		t.agent.o.Metrics.Count(metrics.Alarms, "late-notices")
		t.log.Error("a sender is told after more than 24 hours", "alarm", true, "late", late.String())
	}
}
