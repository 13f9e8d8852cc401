package revocation

import (
	"context"
	"log/slog"
	"time"

	"github.com/ceralacca/ceralacca/internal/metrics"
)

const (
	// alarmAfter is how many failures in a row are one; alarmAgain is when it comes again.
	alarmAfter = 3
	alarmAgain = time.Hour
)

// trouble is how a place fails. Its zero value is a place that does not.
type trouble struct {
	err     error
	times   int // in a row
	since   time.Time
	alarmed time.Time
}

// report is where trouble is told.
type report struct {
	log     *slog.Logger
	metrics *metrics.Metrics
	what    string
	place   slog.Attr
}

// note takes the result of an attempt, nil for a good one. The first failure is a warning, and several in a row are an alarm.
func note(ctx context.Context, t *trouble, now time.Time, err error, r report) {
	if err == nil {
		if t.times > 0 {
			r.log.InfoContext(ctx, "it answers again, as it should", r.place, slog.Time("since", t.since))
		}
		*t = trouble{}
		return
	}
	if t.times == 0 {
		t.since = now
	}
	t.err = err
	t.times++
	switch {
	case t.times >= alarmAfter && (t.alarmed.IsZero() || now.Sub(t.alarmed) >= alarmAgain):
		t.alarmed = now
		r.metrics.Count(metrics.Alarms, "revocation")
		r.log.ErrorContext(ctx, r.what, slog.Bool("alarm", true), r.place, slog.Any("error", err), slog.Time("since", t.since))
	case t.times == 1:
		r.log.WarnContext(ctx, r.what, r.place, slog.Any("error", err))
	}
}
