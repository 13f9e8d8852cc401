package app

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/internal/tracking"
)

// Pending implements admin.Questions, in pages as Log does: there may be millions.
func (r *records) Pending(ctx context.Context, older time.Duration, fn func(json.RawMessage) error) error {
	before, provider := r.clock.Now().Add(-older), r.provider()
	for from, more := (tracking.Watch{}), true; more; {
		var lines []json.RawMessage
		var err error
		if lines, from, more, err = r.pendingPage(ctx, provider, before, from); err != nil {
			return err
		}
		if err := handOn(lines, nil, fn); err != nil {
			return err
		}
	}
	return nil
}

// pendingPage looks at some watches from one on, and returns the next one when there are more.
func (r *records) pendingPage(ctx context.Context, provider string, before time.Time, from tracking.Watch) (lines []json.RawMessage, next tracking.Watch, more bool, err error) {
	seen := 0
	err = r.store.View(ctx, func(tx store.Tx) error {
		return tracking.WatchesFrom(tx, from, func(w tracking.Watch) error {
			if seen == pageSize {
				next, more = w, true
				return errFull
			}
			seen++
			if w.Sent.After(before) {
				return nil
			}
			open, err := tracking.OpenOf(tx, provider, w)
			for _, one := range open {
				err = errors.Join(err, appendLine(&lines, one))
			}
			return err
		})
	})
	if errors.Is(err, errFull) {
		err = nil
	}
	return lines, next, more, err
}
