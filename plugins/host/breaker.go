package host

import (
	"sync"
	"time"
)

// Bounds of the breaker: how many failures in a row open it, and for how long.
const (
	breakAfter = 5
	breakFor   = 10 * time.Second
)

// breaker keeps calls from a plug-in that answers none. Open, it lets one call pass from time to time.
type breaker struct {
	mu       sync.Mutex
	failures int
	until    time.Time // no call before
}

// allow says whether a call may be tried now.
func (b *breaker) allow(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures < breakAfter {
		return true
	}
	if now.Before(b.until) {
		return false
	}
	b.until = now.Add(breakFor) // one call; the others wait for what becomes of it
	return true
}

// note counts what became of a call; opened says that the breaker has just opened.
func (b *breaker) note(good bool, now time.Time) (opened bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if good {
		b.failures = 0
		return false
	}
	b.failures++
	if b.failures >= breakAfter {
		b.until = now.Add(breakFor)
	}
	return b.failures == breakAfter
}

// reset closes it: there is a new process.
func (b *breaker) reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failures = 0
}
