package events

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/internal/fsx"
	"github.com/ceralacca/ceralacca/internal/store"
)

// ErrEvent says that an event cannot be recorded as it is.
var ErrEvent = errors.New("events: incomplete event")

// Queue holds the events that subscribers have not taken. It is safe for concurrent use; a nil one records nothing.
type Queue struct {
	store  store.Store
	folder string
	clock  clock.Clock
	log    *slog.Logger

	subscriptions atomic.Pointer[[]Subscription]

	mu    sync.Mutex
	noted map[string]map[string]bool // by subscriber: mailboxes in transactions that may not be durable yet
	fresh map[string]map[string]bool // the same, durable
	bells map[string]chan struct{}
}

// Open makes the queue of a store; there MUST be one per store. The folder, made when it is not there, holds the content;
// what an earlier process left there and no event names is removed.
func Open(ctx context.Context, s store.Store, folder string, c clock.Clock, log *slog.Logger) (*Queue, error) {
	q := &Queue{store: s, folder: folder, clock: c, log: log, noted: map[string]map[string]bool{},
		fresh: map[string]map[string]bool{}, bells: map[string]chan struct{}{}}
	if err := fsx.Folder(folder, 0o700); err != nil {
		return nil, err
	}
	return q, q.sweep(ctx)
}

// sweep removes the files that no row names.
func (q *Queue) sweep(ctx context.Context) error {
	entries, err := os.ReadDir(q.folder)
	if err != nil {
		return fmt.Errorf("events: %w", err)
	}
	var orphans []string
	err = q.store.View(ctx, func(tx store.Tx) error {
		for _, entry := range entries {
			if _, used := tx.Get(tableFiles, []byte(entry.Name())); !used {
				orphans = append(orphans, entry.Name())
			}
		}
		return nil
	})
	for _, name := range orphans {
		err = errors.Join(err, os.Remove(filepath.Join(q.folder, name)))
	}
	return err
}

// Subscribe says who is told of the events that are prepared from now on.
func (q *Queue) Subscribe(list []Subscription) { q.subscriptions.Store(&list) }

// Wanted says whether there is anybody to tell.
func (q *Queue) Wanted() bool { return len(q.subscribers()) > 0 }

func (q *Queue) subscribers() []Subscription {
	if q == nil {
		return nil
	}
	list := q.subscriptions.Load()
	if list == nil {
		return nil
	}
	return *list
}

// Pending is an event whose effect has not ended. A nil one is of interest to nobody, and its methods do nothing.
type Pending struct {
	queue *Queue
	event Event
	to    []Subscription
	file  string // in the folder; "" is none
	body  content
}

// Prepare writes what subscribers must see of a message, and returns when it would survive a crash; without subscribers
// it does nothing and returns nil. write may be called once. A retry of the effect writes over it.
func (q *Queue) Prepare(e Event, write func(io.Writer) error) (*Pending, error) {
	to := q.subscribers()
	if len(to) == 0 {
		return nil, nil
	}
	if e.Key == "" || e.Name == "" || e.Mailbox.IsZero() {
		return nil, fmt.Errorf("%w: %q for %q", ErrEvent, e.Name, e.Mailbox)
	}
	e.Mailbox = e.Mailbox.WithoutDetail().Fold()
	p := &Pending{queue: q, event: e, to: to}
	whole, headers := false, false
	for _, s := range to {
		whole, headers = whole || s.Content, headers || s.Headers
	}
	if !whole && !headers {
		return p, nil
	}
	p.file = e.Key
	err := fsx.Write(filepath.Join(q.folder, p.file), 0o600, func(w io.Writer) (err error) {
		p.body, err = capture(w, write, whole)
		return err
	})
	return p, err
}

// Forget removes what Prepare wrote: the effect did not happen.
func (p *Pending) Forget() {
	if p != nil && p.file != "" {
		_ = os.Remove(filepath.Join(p.queue.folder, p.file)) // what is left is swept at the next start
	}
}

// Record writes a row for each subscriber, in the transaction that ends the effect, which happened at the instant.
func (p *Pending) Record(tx store.Tx, at time.Time) error {
	if p == nil {
		return nil
	}
	users := 0
	for _, s := range p.to {
		r := p.row(s, at)
		if r.File != "" {
			users++
		}
		if err := r.put(tx); err != nil {
			return err
		}
		p.queue.note(s.Name, r.Mailbox)
	}
	return putUsers(tx, p.file, users)
}

// note remembers that a mailbox may have something for a subscriber. It is called in the transaction.
func (q *Queue) note(subscriber, mailbox string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.noted[subscriber] == nil {
		q.noted[subscriber] = map[string]bool{}
	}
	q.noted[subscriber][mailbox] = true
}

// Committed MUST be called after each commit of the store, before the next: what was recorded is there now. It is quick.
func (q *Queue) Committed() {
	if q == nil {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for subscriber, mailboxes := range q.noted {
		if q.fresh[subscriber] == nil {
			q.fresh[subscriber] = mailboxes
		} else {
			for mailbox := range mailboxes {
				q.fresh[subscriber][mailbox] = true
			}
		}
		delete(q.noted, subscriber)
		if bell := q.bells[subscriber]; bell != nil {
			select {
			case bell <- struct{}{}:
			default: // it rings already
			}
		}
	}
}

// bell rings when there is something new for a subscriber.
func (q *Queue) bell(subscriber string) <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	bell := make(chan struct{}, 1)
	q.bells[subscriber] = bell
	return bell
}

// take returns the mailboxes that are new, once.
func (q *Queue) take(subscriber string) map[string]bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	mailboxes := q.fresh[subscriber]
	delete(q.fresh, subscriber)
	return mailboxes
}
