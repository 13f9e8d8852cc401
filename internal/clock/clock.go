// Package clock is the only place that reads the machine's time. It does not judge whether the clock is right.
package clock

import (
	"context"
	"time"
	_ "time/tzdata" // legal time of Italy must not depend on the host's files
)

// Clock tells the time and waits. Implementations are safe for concurrent use.
type Clock interface {
	// Now is the present instant.
	Now() time.Time
	// Sleep waits for d, or until ctx ends, whose error it then returns.
	Sleep(ctx context.Context, d time.Duration) error
}

// System is the clock of the machine. Its zero value is ready to use.
type System struct{}

var _ Clock = System{}

// Now implements Clock.
func (System) Now() time.Time { return time.Now() }

// Sleep implements Clock.
func (System) Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
