package clock

import (
	"context"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	moveStep = 100 * time.Millisecond // how soon a sleeper notices that the clock was moved
	moveRead = 20 * time.Millisecond  // how old what was read may be: Now is asked many times for a message
)

// Moved is the clock of the machine, moved by what a file says, such as "+13h": a day passes in seconds. It is for labs
// alone. It reads the file again and again; while the file cannot be read, is empty, or says no duration, it stays where it is.
// Whoever sleeps wakes when the clock has come, or was moved, to the end of the sleep.
type Moved struct {
	path string

	mu   sync.Mutex
	by   time.Duration
	read time.Time // by the clock of the machine
}

var _ Clock = (*Moved)(nil)

// NewMoved makes the clock of a file.
func NewMoved(path string) *Moved { return &Moved{path: path} }

// Path is the file.
func (m *Moved) Path() string { return m.path }

// Now implements Clock.
func (m *Moved) Now() time.Time { return System{}.Now().Add(m.offset()) }

func (m *Moved) offset() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := System{}.Now()
	if now.Sub(m.read) < moveRead {
		return m.by
	}
	m.read = now
	text, err := os.ReadFile(m.path)
	if err != nil {
		return m.by
	}
	if by, err := time.ParseDuration(strings.TrimSpace(string(text))); err == nil {
		m.by = by
	}
	return m.by
}

// Sleep implements Clock.
func (m *Moved) Sleep(ctx context.Context, d time.Duration) error {
	for end := m.Now().Add(d); ; {
		left := end.Sub(m.Now())
		if left <= 0 {
			return ctx.Err()
		}
		if err := (System{}).Sleep(ctx, min(left, moveStep)); err != nil {
			return err
		}
	}
}
