package app

import (
	"context"
	"log/slog"
	"time"

	"github.com/ceralacca/ceralacca/internal/effect"
	"github.com/ceralacca/ceralacca/internal/events"
	"github.com/ceralacca/ceralacca/internal/metrics"
	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/internal/tracking"
)

// measureEvery is how often the gauges are set that nothing sets as it happens.
const measureEvery = 15 * time.Second

// settling is how long an effect may be prepared and not done before it is one to look at: longer than any hand-over.
const settling = 10 * time.Minute

// measure keeps the gauges until ctx ends.
func (w *agentWorld) measure(ctx context.Context) {
	for {
		measureParts(w.metrics, w.parts.Load(), w.deps.Clock.Now())
		if err := w.measureStore(ctx); err != nil && ctx.Err() == nil {
			w.deps.Log.Error("the store cannot be measured", slog.Any("error", err))
		}
		if w.deps.Clock.Sleep(ctx, measureEvery) != nil {
			return
		}
	}
}

// measureParts is about what ends or gets old: directory, revocation lists, certificate.
func measureParts(m *metrics.Metrics, p *parts, now time.Time) {
	state := p.directory.State()
	m.Set(metrics.DirectoryTime, seconds(state.Accepted))
	m.Set(metrics.DirectoryChecked, seconds(state.Checked))
	waiting := 0.0
	if state.Waiting != nil {
		waiting = 1
	}
	m.Set(metrics.DirectoryWaiting, waiting)
	m.Set(metrics.DirectoryProblems, float64(state.Problems))
	m.Set(metrics.CertificateExpires, seconds(p.key.Certificates()[0].NotAfter))
	var first time.Time
	for _, list := range p.trust.State(now, p.signers()) {
		if first.IsZero() || list.NextUpdate.Before(first) {
			first = list.NextUpdate
		}
	}
	m.Set(metrics.CRLExpires, seconds(first))
}

func (w *agentWorld) measureStore(ctx context.Context) error {
	due, unfinished, watched, late := 0, 0, 0, 0.0
	now := w.deps.Clock.Now()
	var backlogs map[string]events.Backlog
	err := w.store.View(ctx, func(tx store.Tx) error {
		list, err := effect.FindUnfinished(tx, now.Add(-settling))
		if err != nil {
			return err
		}
		unfinished = len(list)
		first, found, err := tracking.FirstDue(tx)
		if err != nil {
			return err
		}
		if watched = tracking.Watched(tx); found {
			late = max(now.Sub(first.Due).Seconds(), 0)
		}
		if backlogs, err = events.Backlogs(tx); err != nil {
			return err
		}
		return tracking.Undelivered(tx, func(tracking.Due) error {
			due++
			return nil
		})
	})
	if err != nil {
		return err
	}
	w.metrics.Set(metrics.Due, float64(due))
	w.metrics.Set(metrics.Unfinished, float64(unfinished))
	w.metrics.Set(metrics.Watched, float64(watched))
	w.metrics.Set(metrics.WatchLate, late)
	w.measureEvents(backlogs)
	return nil
}

// seconds are those since 1970.
func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
