package lda

import (
	"context"
	"sync"
	"time"

	"github.com/ceralacca/ceralacca/internal/transaction"
)

// patience is how long a presentation waits for another one of the same message.
const patience = 4 * time.Minute

// turns lets the presentations of one message through one at a time: Postfix presents many recipients at once, in
// several transactions, and what one of them does for all must not be found held by the others, who would be put off
// for minutes. Its zero value is ready.
type turns struct {
	mu   sync.Mutex
	busy map[string]*turn
}

type turn struct {
	free    chan struct{} // holds one token
	waiting int
}

// turnOf is what presentations of one message have in common.
func turnOf(r *transaction.Record) string {
	if r.Identifier != "" {
		return string(r.Identifier)
	}
	return r.ID
}

// take waits for the turn of name. The error is that of waiting too long.
func (t *turns) take(ctx context.Context, name string) (end func(), err error) {
	t.mu.Lock()
	if t.busy == nil {
		t.busy = make(map[string]*turn)
	}
	one := t.busy[name]
	if one == nil {
		one = &turn{free: make(chan struct{}, 1)}
		one.free <- struct{}{}
		t.busy[name] = one
	}
	one.waiting++
	t.mu.Unlock()

	wait, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case <-one.free:
		return func() { t.end(name, one, true) }, nil
	case <-wait.Done():
		t.end(name, one, false)
		return nil, wait.Err()
	}
}

func (t *turns) end(name string, one *turn, had bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if had {
		one.free <- struct{}{}
	}
	if one.waiting--; one.waiting == 0 {
		delete(t.busy, name)
	}
}
