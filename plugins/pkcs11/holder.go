//go:build cgo

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/plugins"
)

// How long it waits before it opens the token again: from the first to the last, doubled each time, and a part more by chance.
const (
	firstPause = time.Second
	lastPause  = 8 * time.Second
)

// holder holds keys in a token, and opens it again when it was lost. It is safe for concurrent use.
type holder struct {
	config config
	log    *slog.Logger
	clock  clock.Clock
	exit   func()        // ends the process
	gate   chan struct{} // holds one: who opens
	slots  chan struct{} // those who sign

	mu       sync.Mutex
	current  *connection // nil: there is none
	old      *connection // lost, and not closed yet
	fault    error       // why there is none
	next     time.Time   // it is not opened before
	failures int         // openings that failed, in a row
	openings int         // that succeeded
	opened   time.Time   // when it was opened
	signed   time.Time   // when it last signed, or was looked at
	looking  bool
	width    int                     // sessions that sign; fewer than configured when the token opens no more
	calls    map[*time.Time]struct{} // of the module, under way: when they began
}

var (
	_ plugins.KeyHolder = (*holder)(nil)
	_ plugins.Healther  = (*holder)(nil)
)

// open begins to open the token. That it is not there now is for [holder.Health] to say: whoever asked for it would be started again
// and again.
func open(c config, log *slog.Logger, clock clock.Clock) (*holder, error) {
	h := &holder{config: c, log: log, clock: clock, exit: func() { os.Exit(1) }, gate: make(chan struct{}, 1),
		slots: make(chan struct{}, c.sessions), fault: errors.New("the token is being opened"), calls: map[*time.Time]struct{}{}, width: c.sessions}
	h.look()
	return h, nil
}

// Certificates implements plugins.KeyHolder. Keys and certificates that were missing are looked for again.
func (h *holder) Certificates(ctx context.Context) ([]plugins.KeyEntry, error) {
	c, err := h.connected(ctx)
	if err != nil {
		return nil, err
	}
	if c.lacking(h.config.keys) {
		if err := h.within(ctx, c, func() error { c.load(h.config.keys); return nil }); err != nil {
			return nil, err
		}
	}
	return c.entries(h.config.keys), nil
}

// Sign implements plugins.KeyHolder. What fails once is tried a second time with a token that was opened again, as far as
// that is possible at once.
func (h *holder) Sign(ctx context.Context, id string, digest []byte) ([]byte, error) {
	var failed error
	for tries := 0; tries < 2; {
		c, err := h.connected(ctx)
		if err != nil {
			return nil, errors.Join(failed, err)
		}
		key, err := c.key(id)
		if err != nil {
			return nil, err
		}
		var signature []byte
		err = h.within(ctx, c, func() (err error) {
			signature, err = key.sign(digest)
			return err
		})
		if err == nil || ctx.Err() != nil {
			return signature, err
		}
		if errors.Is(err, errGone) || noSession(err) && h.narrow(c) {
			continue // with what takes its place
		}
		h.lost(c, err)
		tries++
		failed = fmt.Errorf("the token does not sign: %w", err)
	}
	return nil, failed
}

// within runs a call of the module, and does not wait for it longer than ctx: what hangs in the module stays there.
func (h *holder) within(ctx context.Context, c *connection, call func() error) error {
	select {
	case h.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	if !h.use(c) {
		<-h.slots
		return errGone
	}
	done := make(chan error, 1)
	go func() {
		defer func() { <-h.slots }()
		defer c.calls.Done()
		done <- h.timed(call)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// use counts a call of a connection, unless it was lost: nobody closes it from then on.
func (h *holder) use(c *connection) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.current != c {
		return false
	}
	c.calls.Add(1)
	return true
}

// timed notes how long a call of the module is under way.
func (h *holder) timed(call func() error) error {
	began := h.clock.Now()
	h.mu.Lock()
	h.calls[&began] = struct{}{}
	h.mu.Unlock()
	err := call()
	now := h.clock.Now()
	h.mu.Lock()
	delete(h.calls, &began)
	if err == nil {
		h.signed = now
	}
	h.mu.Unlock()
	return err
}

// lost notes that a connection is of no use any more.
func (h *holder) lost(c *connection, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.current != c {
		return // somebody has noted it
	}
	h.current, h.old, h.fault, h.width = nil, c, fmt.Errorf("the token was lost: %w", err), h.config.sessions
	if h.signed.After(h.opened) {
		h.next = time.Time{} // it was of use
	}
	h.log.Warn("the token was lost; it is opened again", slog.Any("error", err))
}

// narrow gives a connection up for one of fewer sessions, since the token opened no further one; false when there are no fewer.
func (h *holder) narrow(c *connection) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.current != c {
		return true // somebody has
	}
	if h.width == 1 {
		return false
	}
	h.current, h.old, h.next, h.fault = nil, c, time.Time{}, errGone
	h.fewer()
	return true
}

// fewer halves the sessions: how many the token allows is not known, nor how many others take. mu is held.
func (h *holder) fewer() {
	h.width = max(1, h.width/2)
	h.log.Warn("the token opens no further session: it is opened with fewer; write less in sessions", slog.Int("sessions", h.config.sessions),
		slog.Int("now", h.width))
}

// connected is the token as it is open, or else as it can be opened now.
func (h *holder) connected(ctx context.Context) (*connection, error) {
	if c, err := h.state(); c != nil || err != nil {
		return c, err
	}
	select {
	case h.gate <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if c, err := h.state(); c != nil || err != nil { // another has opened it meanwhile
		<-h.gate
		return c, err
	}
	done := make(chan struct{})
	go func() {
		h.reopen()
		<-h.gate
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.current == nil {
		return nil, h.fault
	}
	return h.current, nil
}

// state is the connection, or why there is none; neither when it may be opened now.
func (h *holder) state() (*connection, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.current == nil && h.clock.Now().Before(h.next) {
		return nil, h.fault
	}
	return h.current, nil
}

// reopen closes what was lost and opens the token. One at a time does.
func (h *holder) reopen() {
	h.mu.Lock()
	old := h.old
	h.old = nil
	h.mu.Unlock()
	var fresh *connection
	err := h.timed(func() (err error) {
		if old != nil {
			_ = old.close() // it was lost
		}
		fresh, err = h.connect()
		return err
	})
	now := h.clock.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil {
		h.fault, h.next = err, now.Add(pause(h.failures))
		h.failures++
		return
	}
	h.current, h.fault, h.failures, h.opened, h.next = fresh, nil, 0, now, now.Add(firstPause)
	h.openings++
	h.log.Info("the token is open", slog.String("token", h.config.token), slog.Int("keys", len(fresh.keys)))
}

// connect opens the token with as many sessions as it allows.
func (h *holder) connect() (*connection, error) {
	for c := h.config; ; {
		h.mu.Lock()
		c.sessions = h.width
		h.mu.Unlock()
		fresh, err := connect(c)
		if !noSession(err) || c.sessions == 1 {
			return fresh, err
		}
		h.mu.Lock()
		h.fewer()
		h.mu.Unlock()
	}
}

func pause(failures int) time.Duration {
	wait := min(firstPause<<min(failures, 10), lastPause)
	return wait + rand.N(wait/4)
}
