package lda

import (
	"context"
	"errors"
	"log/slog"

	"github.com/ceralacca/ceralacca/internal/effect"
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
