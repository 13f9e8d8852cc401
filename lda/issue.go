package lda

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"github.com/ceralacca/ceralacca/internal/effect"
	"github.com/ceralacca/ceralacca/internal/metrics"
	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/internal/tracking"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/pec/compose"
	"github.com/ceralacca/ceralacca/signer"
)

// plan is a notification that is due. compose makes it from the stored values and the presented message alone, so that
// a later run makes the same bytes.
type plan struct {
	keys []effect.Key
	at   time.Time // the instant of the notification
	// data is what compose cannot find in the message, for the keys that nobody has worked on.
	data    func(free []effect.Key) []byte
	compose func(p effect.Prepared) (compose.Notification, error)
	// done writes the records of the log and the facts, in the transaction that ends the effect.
	done func(tx store.Tx, s issued) error
	// announce prepares events beside that of the notification itself; nil is none.
	announce func() (announcement, error)
	// when says why the notification is due no more; nil is always due. It is asked in the transaction that prepares the
	// notification, and again just before the hand-over; what surely did not arrive is taken back, to be asked again.
	when func(tx store.Tx) error
}

// issued is a notification that arrived.
type issued struct {
	effect.Prepared
	notice compose.Notification
}

// issue makes sure that each effect of a plan happened: what is done is skipped, what an earlier run prepared is done
// again with the same bytes, the rest is made. One artefact covers all that is new. [C125] [C165]
func (w *work) issue(ctx context.Context, p plan) error {
	claim, err := w.claim(ctx, p.keys)
	if err != nil {
		return err
	}
	defer release(ctx, claim)
	for _, prepared := range claim.Prepared {
		if err := w.again(ctx, claim, p, prepared); err != nil {
			return err
		}
	}
	if len(claim.Free) == 0 {
		return nil
	}
	return w.fresh(ctx, claim, p)
}

// again ends what an earlier run began. Whether that run's copy arrived is looked up where it can be.
func (w *work) again(ctx context.Context, c *effect.Claim, p plan, prepared effect.Prepared) error {
	notice, err := p.compose(prepared)
	if err != nil {
		return err
	}
	sealed, err := w.resume(notice, prepared.CMS)
	if err != nil {
		return w.alarm("a prepared notification cannot be made again", err)
	}
	return w.finish(ctx, c, p, handing{issued{prepared, notice}, sealed, true})
}

func (w *work) fresh(ctx context.Context, c *effect.Claim, p plan) error {
	prepared := effect.Prepared{Keys: c.Free, Instant: p.at}
	if p.data != nil {
		prepared.Data = p.data(c.Free)
	}
	notice, err := p.compose(prepared)
	if err != nil {
		return err
	}
	sealed, err := w.seal(ctx, notice)
	if err != nil {
		return fail("seal", notice.Data.Identifier, pec.ErrorTemporary, err)
	}
	prepared.MessageID = compose.MessageID(w.live.provider(), &notice.Data)
	prepared.Certificate = sha256.Sum256(w.live.key.Certificates()[0].Raw)
	prepared.CMS, prepared.Digest, prepared.To = sealed.CMS(), sealed.Digest(), notice.To
	if err := w.settle(ctx); err != nil {
		return err
	}
	if err := w.prepareWhen(ctx, c, p.when, prepared); err != nil {
		return err
	}
	return w.finish(ctx, c, p, handing{issued{prepared, notice}, sealed, false})
}

// handing is a sealed notification on its way.
type handing struct {
	issued
	sealed *signer.Sealed
	again  bool // an earlier run may have handed it over
}

// finish hands over, waits for the answer, and has it written that it is done: at once when an earlier run began it,
// because this one will ask what became of it, and when it went out, because nobody can look whether it did.
func (w *work) finish(ctx context.Context, c *effect.Claim, p plan, h handing) error {
	told, err := w.tellOf(p, h)
	if err == nil {
		err = w.mayHandOver(ctx)
	}
	if err == nil {
		err = w.stillDue(ctx, c, p, h)
	}
	if err != nil {
		told.forget()
		return err
	}
	name := h.Keys[0].Effect
	var aside *tracking.Due
	err = w.agent.o.Register.Probe().Around(effect.StepHandOver, name, func() (err error) {
		aside, err = w.handOver(ctx, w.parcelOf(h))
		return err
	})
	if err != nil {
		told.forget()
		err = w.takeBack(ctx, c, p, h, err)
		return fail("hand over "+name, h.notice.Data.Identifier, pec.ErrorTemporary, err)
	}
	w.end(c, h.Keys, func(tx store.Tx) error {
		if aside != nil {
			if err := tracking.PutDue(tx, *aside); err != nil {
				return err
			}
		}
		return errors.Join(told.record(tx, h.Instant), p.done(tx, h.issued))
	})
	if h.again || !w.live.local(h.To) {
		if err := w.written(ctx); err != nil {
			return err
		}
	}
	w.agent.o.Metrics.Count(metrics.Effects, name)
	w.log.InfoContext(ctx, "issued", "effect", name, "kind", string(h.notice.Data.Kind), "to", h.To.String(),
		"message_id", h.MessageID, "put_aside", aside != nil)
	return nil
}

// stillDue asks once more before a hand-over that no earlier run can have begun, and takes back what is due no more.
func (w *work) stillDue(ctx context.Context, c *effect.Claim, p plan, h handing) error {
	if p.when == nil || h.again {
		return nil
	}
	err := w.agent.o.Store.View(ctx, p.when)
	if err == nil {
		return nil
	}
	if failed := c.Withdraw(ctx, h.Keys); failed != nil {
		return failed
	}
	return err
}

// takeBack makes a hand-over that failed, and surely put nothing into a mailbox, as if it had never been prepared, when
// it may be due no more at the next try.
func (w *work) takeBack(ctx context.Context, c *effect.Claim, p plan, h handing, err error) error {
	if p.when == nil || h.again || errors.Is(err, errUncertain) || !w.live.local(h.To) {
		return err
	}
	return errors.Join(err, c.Withdraw(ctx, h.Keys))
}

// tellOf prepares the events of a notification that is handed over. What the plan adds happened first.
func (w *work) tellOf(p plan, h handing) (told announcement, err error) {
	if p.announce != nil {
		if told, err = p.announce(); err != nil {
			return nil, err
		}
	}
	own, err := w.announce(h.Keys[0], w.parcelOf(h))
	return append(told, own...), err
}

// parcelOf is a notification on its way. Its sender is our own address: what bounces comes back to us. [C009]
func (w *work) parcelOf(h handing) parcel {
	return parcel{
		from: w.live.config.Provider.Address.String(), to: h.To, envelopeID: w.agent.o.HMAC.EnvelopeID(w.id),
		about: h.notice.Data.Identifier, kind: h.notice.Data.Kind, messageID: h.MessageID, digest: h.Digest,
		write: wholeOf(h.sealed), again: h.again,
	}
}
