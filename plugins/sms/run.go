package main

import (
	"context"
	"errors"
	"os"
	"sync"
	"syscall"
	"time"
)

// run sends until ctx ends, or until stop. What is being sent then is sent to its end, and no more is begun.
func (e *engine) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	e.mu.Lock()
	e.end = cancel
	e.mu.Unlock()
	defer close(e.ended)
	file, err := e.lock(ctx)
	if err != nil {
		return
	}
	defer file.Close() // no sooner than all have ended: the lock goes with it
	if !e.begin(ctx) {
		return
	}
	work, workers := make(chan *box), sync.WaitGroup{}
	workers.Go(func() { e.collector(ctx) })
	for range e.c.workers {
		workers.Go(func() { e.worker(ctx, work) })
	}
	e.hand(ctx, work)
	workers.Wait()
}

// stop ends run, and waits for it no longer than so long. The process may end afterwards: what was cut off then is what a
// crash would have cut off.
func (e *engine) stop(wait time.Duration) {
	e.mu.Lock()
	cancel := e.end
	e.mu.Unlock()
	if cancel == nil {
		return
	}
	cancel()
	ctx, over := context.WithTimeout(context.Background(), wait)
	defer over()
	select {
	case <-e.ended:
	case <-ctx.Done():
	}
}

// begin reads the state, again and again until it can.
func (e *engine) begin(ctx context.Context) bool {
	for {
		err := e.load()
		e.fault("load", err)
		if err == nil {
			return true
		}
		if e.clock.Sleep(ctx, 5*tick) != nil {
			return false
		}
	}
}

// hand gives mailboxes to workers until ctx ends.
func (e *engine) hand(ctx context.Context, work chan<- *box) {
	var swept time.Time
	for ctx.Err() == nil {
		now := e.clock.Now()
		if now.Sub(swept) > housekeep {
			swept = now
			e.fault("forget", e.forget(now))
		}
		e.rules.refresh()
		for _, b := range e.due(now) {
			select {
			case work <- b:
			case <-ctx.Done():
				return
			}
		}
		e.rest(ctx)
	}
}

// collector takes what is handed over until ctx ends, beside what sends: how full all mailboxes are takes a while.
func (e *engine) collector(ctx context.Context) {
	for {
		if err := e.collect(ctx); ctx.Err() == nil {
			e.fault("spool", err)
		}
		if e.clock.Sleep(ctx, tick) != nil {
			return
		}
	}
}

func (e *engine) worker(ctx context.Context, work <-chan *box) {
	for {
		select {
		case <-ctx.Done():
			return
		case b := <-work:
			e.serve(ctx, b)
		}
	}
}

// rest waits for a tick or an event.
func (e *engine) rest(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, tick)
	defer cancel()
	select {
	case <-ctx.Done():
	case <-e.wake:
	}
}

// lock waits until no other process sends. The lock goes with the process.
func (e *engine) lock(ctx context.Context) (*os.File, error) {
	for {
		file, err := os.OpenFile(e.store.path("lock"), os.O_CREATE|os.O_RDWR, 0o640)
		if err == nil {
			if err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err == nil {
				e.fault("lock", nil)
				return file, nil
			}
			_ = file.Close() // nothing was written
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			e.fault("lock", err)
		}
		if err := e.clock.Sleep(ctx, lockPause); err != nil {
			return nil, err
		}
	}
}
