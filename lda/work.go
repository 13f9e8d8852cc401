package lda

import (
	"context"
	"errors"
	"log/slog"

	"github.com/ceralacca/ceralacca/internal/effect"
	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/pec/compose"
	"github.com/ceralacca/ceralacca/signer"
)

// work is what every effect of one presentation needs, be it a job or a bounce.
type work struct {
	*presentation
	agent   *Agent
	live    *settings
	log     *slog.Logger
	id      string // of the transaction; becomes the ENVID of what is sent
	durable bool   // the queue file is known to be on disk

	// ended has happened, and is written down with the next effect that is prepared, before anything else is handed over;
	// at the latest before Postfix is answered. Whoever dies before finds it prepared, and looks into the mailbox: nothing
	// is in here that was handed over elsewhere.
	ended []effect.Ended
}

// errGone says that Postfix has given up on the connection: whoever answers now answers nobody.
var errGone = errors.New("the LMTP connection is gone")

func (a *Agent) newWork(p *presentation, id string, about pec.Identifier) *work {
	return &work{
		presentation: p, agent: a, live: a.live.Load(), id: id,
		log: a.o.Log.With("transaction", id, "identifier", string(about), "queue_id", p.queueID),
	}
}

// alive is asked before each effect: nothing new is begun for a connection that is gone.
func (w *work) alive(ctx context.Context) error {
	if w.gone != nil && w.gone() {
		return errGone
	}
	return ctx.Err()
}

// settle makes sure that the queue file is on disk, once, before the first effect that cannot be taken back: Postfix
// shows a file to its queue manager before its fsync ends.
func (w *work) settle(ctx context.Context) error {
	if w.durable {
		return nil
	}
	if err := w.agent.sync(ctx); err != nil {
		return err
	}
	w.durable = true
	return nil
}

// claim takes effects for this presentation.
func (w *work) claim(ctx context.Context, keys []effect.Key) (*effect.Claim, error) {
	if err := w.alive(ctx); err != nil {
		return nil, err
	}
	return w.agent.o.Register.Claim(ctx, keys)
}

// release gives back what is not done, also when the work was cancelled.
func release(ctx context.Context, c *effect.Claim) { c.Release(context.WithoutCancel(ctx)) }

// mayHandOver is asked just before each hand-over: what ended before must be written, and the queue file on disk.
func (w *work) mayHandOver(ctx context.Context) error {
	if err := w.alive(ctx); err != nil {
		return err
	}
	if err := w.settle(ctx); err != nil {
		return err
	}
	return w.written(ctx)
}

// prepare makes an artefact durable before its hand-over, in one transaction with what ended before it. Nothing is
// prepared for a connection that is gone: it would be looked for in vain.
func (w *work) prepare(ctx context.Context, c *effect.Claim, p effect.Prepared) error {
	return w.prepareWhen(ctx, c, nil, p)
}

// prepareWhen is prepare unless when, in the same transaction, says why not.
func (w *work) prepareWhen(ctx context.Context, c *effect.Claim, when func(store.Tx) error, p effect.Prepared) error {
	if err := w.alive(ctx); err != nil {
		return err
	}
	err := c.PrepareWhen(ctx, when, w.ended, p)
	if err == nil {
		w.ended = nil
	}
	return err
}

// end says that effects have happened; with writes what they make true.
func (w *work) end(c *effect.Claim, keys []effect.Key, with func(store.Tx) error) {
	w.ended = append(w.ended, c.End(keys, with))
}

// written makes durable what ended.
func (w *work) written(ctx context.Context) error {
	err := w.agent.o.Register.Finish(ctx, w.ended)
	if err == nil {
		w.ended = nil
	}
	return err
}

// abandon gives back what could not be written: the next presentation finds it prepared.
func (w *work) abandon() { effect.Abandon(w.ended) }

// seal composes and signs a notification. [C001] [C186]
func (w *work) seal(ctx context.Context, n compose.Notification) (*signer.Sealed, error) {
	artefact, err := compose.NotificationMessage(w.live.provider(), n)
	if err != nil {
		return nil, err
	}
	draft, err := signer.NewDraft(artefact)
	if err != nil {
		return nil, err
	}
	return draft.SealTo(ctx, nil, w.live.key, n.Data.Time)
}

// resume composes a notification again around the signature of an earlier run: the bytes are the same or it fails.
func (w *work) resume(n compose.Notification, cms []byte) (*signer.Sealed, error) {
	artefact, err := compose.NotificationMessage(w.live.provider(), n)
	if err != nil {
		return nil, err
	}
	draft, err := signer.NewDraft(artefact)
	if err != nil {
		return nil, err
	}
	return draft.Resume(cms)
}
