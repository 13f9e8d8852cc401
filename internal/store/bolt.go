package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// maxBatch bounds the updates of one commit.
const maxBatch = 256

// bolt is a store in a file of bbolt. All updates run in one goroutine: those that came while a commit was under way
// share the next one. bbolt's own Batch would make a lone writer wait.
type bolt struct {
	db       *bbolt.DB
	onCommit func(updates int)
	requests chan *request
	broken   atomic.Bool
	close    sync.Once
	closing  chan struct{}
	stopped  chan struct{}
}

var _ Store = (*bolt)(nil)

// request is an update that waits for its commit.
type request struct {
	ctx      context.Context
	fn       func(Tx) error
	err      error
	panicked any
	done     chan struct{}
}

// Update implements Store.
func (b *bolt) Update(ctx context.Context, fn func(Tx) error) error {
	r := &request{ctx: ctx, fn: fn, done: make(chan struct{})}
	select {
	case b.requests <- r:
	case <-ctx.Done():
		return ctx.Err()
	case <-b.closing:
		return ErrClosed
	}
	<-r.done
	if r.panicked != nil {
		panic(r.panicked)
	}
	return r.err
}

// View implements Store.
func (b *bolt) View(ctx context.Context, fn func(Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if b.broken.Load() {
		return ErrBroken
	}
	err := b.db.View(func(tx *bbolt.Tx) error { return fn(&transaction{tx: tx}) })
	if errors.Is(err, berrors.ErrDatabaseNotOpen) {
		return ErrClosed
	}
	return err
}

// Close implements Store.
func (b *bolt) Close() error {
	b.close.Do(func() { close(b.closing) })
	<-b.stopped
	b.writeFreePages()
	return b.db.Close()
}

// writeFreePages leaves the list of free pages in the file, once, so that the next opening need not look at every row for
// it: with millions of them that takes minutes. Without it, after a crash, it does.
func (b *bolt) writeFreePages() {
	if b.broken.Load() {
		return
	}
	b.db.NoFreelistSync = false // nobody else writes any more
	_ = b.db.Update(func(*bbolt.Tx) error { return nil })
}

// write is the goroutine of all updates.
func (b *bolt) write() {
	defer close(b.stopped)
	for {
		select {
		case first := <-b.requests:
			b.commit(b.gather(first))
		case <-b.closing:
			return
		}
	}
}

// gather takes first and whoever else waits already.
func (b *bolt) gather(first *request) []*request {
	batch := []*request{first}
	for len(batch) < maxBatch {
		select {
		case r := <-b.requests:
			batch = append(batch, r)
		default:
			return batch
		}
	}
	return batch
}

// commit runs a batch in one transaction and wakes its callers.
func (b *bolt) commit(batch []*request) {
	good, err := b.transact(batch)
	for _, r := range batch {
		if r.err == nil {
			r.err = err
		}
	}
	if err == nil && good > 0 {
		b.onCommit(good)
	}
	for _, r := range batch {
		close(r.done)
	}
}

// transact returns how many updates of the batch were made durable.
func (b *bolt) transact(batch []*request) (int, error) {
	if b.broken.Load() {
		return 0, ErrBroken
	}
	tx, err := b.db.Begin(true)
	if err != nil {
		return 0, fmt.Errorf("store: %w", err)
	}
	good := 0
	for _, r := range batch {
		if err := r.run(tx); err != nil {
			_ = tx.Rollback() // what could not be undone must not be committed, nor can it fail worse
			return 0, err
		}
		if r.err == nil && r.panicked == nil {
			good++
		}
	}
	if good == 0 {
		_ = tx.Rollback() // nothing was written
		return 0, nil
	}
	id := tx.ID()
	if err := tx.Commit(); err != nil {
		return 0, b.failed(id, err)
	}
	return good, nil
}

// failed tells a commit that left nothing behind, as on a full disk, from one that failed while its last page was
// written: pages that the page on disk may still need would be used again by the next commit.
func (b *bolt) failed(id int, cause error) error {
	err := fmt.Errorf("store: %w", cause)
	seen := id
	if view := b.db.View(func(tx *bbolt.Tx) error { seen = tx.ID(); return nil }); view == nil && seen < id {
		return err
	}
	b.broken.Store(true)
	return fmt.Errorf("%w: %w", ErrBroken, err)
}

// run calls the function of a request and undoes what it wrote when it fails. An error says that this did not work.
func (r *request) run(tx *bbolt.Tx) (err error) {
	if r.err = r.ctx.Err(); r.err != nil {
		return nil
	}
	t := &transaction{tx: tx}
	defer func() {
		if r.panicked = recover(); r.panicked != nil {
			err = t.undo()
		}
	}()
	if r.err = r.fn(t); r.err != nil {
		return t.undo()
	}
	return nil
}
