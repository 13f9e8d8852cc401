package events

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/pec"
)

// deliver tries the first event of a mailbox and writes what became of it.
func (w *worker) deliver(ctx context.Context, b *box) result {
	r, found, err := w.queue.head(ctx, w.name, b.mailbox)
	if err != nil {
		w.log.Error("an event cannot be read", slog.String("mailbox", b.mailbox), slog.Any("error", err))
		return result{box: b, failed: true}
	}
	if !found {
		return result{box: b, empty: true}
	}
	outcome, reason, err := w.call(ctx, r)
	switch {
	case err == nil && outcome == Done:
		err = w.queue.end(ctx, r)
	case err == nil && outcome == Refused:
		err = w.refused(ctx, r, reason)
	default:
		if err != nil {
			reason = err.Error()
		}
		notAsked := errors.Is(err, ErrNotAsked)
		if ctx.Err() == nil {
			w.failed(ctx, r, b, reason)
		}
		return result{box: b, failed: !notAsked, notAsked: notAsked}
	}
	if err != nil {
		w.log.Error("what became of an event cannot be written; it is delivered again", slog.String("key", r.Key),
			slog.Any("error", err))
	}
	return result{box: b, failed: err != nil}
}

// head is the row that comes next in a mailbox.
func (q *Queue) head(ctx context.Context, subscriber, mailbox string) (r row, found bool, err error) {
	err = q.store.View(ctx, func(tx store.Tx) error {
		number, err := first(tx, subscriber, mailbox)
		if err != nil || number == 0 {
			return err
		}
		r, err = read(tx, number)
		found = err == nil
		return err
	})
	return r, found, err
}

// call gives a row to the subscriber.
func (w *worker) call(ctx context.Context, r row) (Outcome, string, error) {
	mailbox, err := pec.ParseAddress(r.Mailbox)
	if err != nil {
		return 0, "", err
	}
	e := Event{Key: r.Key, Name: r.Name, Mailbox: mailbox, Time: r.Time, Identifier: r.Identifier, Transaction: r.Transaction,
		Sender: r.Sender, Recipients: r.Recipients}
	if r.File == "" {
		return w.to.Deliver(ctx, e, Content{})
	}
	file, err := os.Open(filepath.Join(w.queue.folder, filepath.Base(r.File)))
	if err != nil {
		return 0, "", err
	}
	defer file.Close() // it was only read
	c := Content{Size: r.Body.Size, SHA256: r.Body.SHA256, Headers: make([]byte, r.Body.Headers)}
	if _, err := io.ReadFull(file, c.Headers); err != nil {
		return 0, "", err
	}
	if r.Shows && r.Body.Whole {
		c.ReaderAt = file
	}
	return w.to.Deliver(ctx, e, c)
}

// end forgets what a subscriber has.
func (q *Queue) end(ctx context.Context, r row) error {
	last := false
	err := q.store.Update(context.WithoutCancel(ctx), func(tx store.Tx) (err error) {
		last, err = r.remove(tx)
		return err
	})
	if err == nil && last {
		_ = os.Remove(filepath.Join(q.folder, filepath.Base(r.File))) // what is left is swept at the next start
	}
	return err
}

// refused keeps what a subscriber will never take, for an operator to see.
func (w *worker) refused(ctx context.Context, r row, reason string) error {
	r.Attempts++
	r.LastError, r.Refused = reason, true
	w.log.Error("plug-in refuses an event for good; ceralacca plugin events lists it", slog.Bool("alarm", true),
		slog.String("mailbox", r.Mailbox), slog.String("event", string(r.Name)), slog.String("identifier", string(r.Identifier)),
		slog.String("key", r.Key), slog.String("reason", reason))
	return w.queue.store.Update(context.WithoutCancel(ctx), func(tx store.Tx) error { return r.refuse(tx) })
}

// failed writes that an attempt failed, for an operator to see; what cannot be written is in the log.
func (w *worker) failed(ctx context.Context, r row, b *box, reason string) {
	r.Attempts++
	r.LastError, r.Next = reason, w.queue.clock.Now().Add(backOff(b.failures))
	w.log.Warn("an event is not delivered yet", slog.String("mailbox", r.Mailbox), slog.String("event", string(r.Name)),
		slog.String("key", r.Key), slog.Int("attempts", r.Attempts), slog.String("error", reason))
	err := w.queue.store.Update(ctx, func(tx store.Tx) error {
		if _, found := tx.Get(tableRows, numberKey(r.number)); !found {
			return nil // dropped meanwhile
		}
		return r.update(tx)
	})
	if err != nil {
		w.log.Error("an attempt cannot be written", slog.Any("error", err))
	}
}
