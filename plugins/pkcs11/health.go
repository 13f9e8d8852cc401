//go:build cgo

package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/ceralacca/ceralacca/plugins"
)

// lookEvery is how often a token that signs nothing is looked at.
const lookEvery = 20 * time.Second

// Health implements plugins.Healther. The host's asking is also what opens a token again while nobody signs.
func (h *holder) Health() plugins.Health {
	now := h.clock.Now()
	h.mu.Lock()
	var hangs time.Duration
	for began := range h.calls {
		hangs = max(hangs, now.Sub(*began))
	}
	current, fault, reopened, calls, refused := h.current, h.fault, max(0, h.openings-1), len(h.calls), h.config.sessions-h.width
	h.mu.Unlock()

	health := plugins.Health{Measures: []plugins.Measure{
		{Name: "keys_configured_count", Value: float64(len(h.config.keys))},
		{Name: "token_reopened_count", Value: float64(reopened)},
		{Name: "calls_in_module_count", Value: float64(calls)},
		{Name: "longest_call_seconds", Value: hangs.Seconds()},
		{Name: "sessions_refused_count", Value: float64(refused)},
	}}
	usable := 0
	switch {
	case hangs > 2*h.config.patience:
		h.log.Error("the module does not answer; this process ends, so that another takes its place", slog.Duration("for", hangs))
		h.exit()
		health.Problem = "the module does not answer"
	case hangs > h.config.patience:
		health.Problem = fmt.Sprintf("the module has not answered a call for %s", hangs.Round(time.Second))
	case current == nil:
		health.Problem = oneLine(fault)
	default:
		usable = len(current.entries(h.config.keys))
		if wrong := current.wrong(h.config.keys); wrong != nil {
			health.Problem = oneLine(wrong)
		}
	}
	health.Measures = append(health.Measures, plugins.Measure{Name: "keys_usable_count", Value: float64(usable)})
	h.look()
	return health
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

// look opens the token when there is none, and looks at one that has signed nothing for a while. It does not wait.
func (h *holder) look() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.looking || h.current != nil && h.clock.Now().Sub(h.signed) < lookEvery {
		return
	}
	h.looking = true
	go func() {
		h.visit(context.Background())
		h.mu.Lock()
		h.looking = false
		h.mu.Unlock()
	}()
}

// visit is one look.
func (h *holder) visit(ctx context.Context) {
	c, err := h.connected(ctx)
	if err != nil {
		return // Health says it
	}
	err = h.within(ctx, c, func() error {
		if err := c.present(h.config.keys); err != nil {
			return err
		}
		if c.wrong(h.config.keys) != nil {
			c.load(h.config.keys)
		}
		return nil
	})
	if err == nil {
		return
	}
	if !noSession(err) || !h.narrow(c) {
		h.lost(c, err)
	}
	_, _ = h.connected(ctx) // Health says why not
}
