package lda

import (
	"context"
	"fmt"
	"time"

	"github.com/ceralacca/ceralacca/internal/metrics"
	"github.com/ceralacca/ceralacca/pec"
)

// catchUp is how long our clock is waited for when it is behind what it said before: a leap second that the kernel repeats,
// a small correction. Postfix would wait for minutes.
const catchUp = 2 * time.Second

// instant is the present one, of what is done because of something that happened at cause by our own clock. It is never
// before cause: an effect that certifies a time before that of its cause would be worthless as a proof, and one with an
// instant that no clock has shown would be false. So when the clock was set back, what depends on an instant that is still
// to come waits for it; for long, it is deferred, with an alarm. [C186]
func (w *work) instant(ctx context.Context, cause time.Time) (time.Time, error) {
	cause = cause.Truncate(time.Second) // as all that is certified
	now := w.agent.now()
	for waited := time.Duration(0); now.Before(cause); now = w.agent.now() {
		behind := cause.Sub(w.agent.o.Clock.Now())
		if behind+waited > catchUp {
			return time.Time{}, w.behind(behind)
		}
		if err := w.agent.o.Clock.Sleep(ctx, behind); err != nil {
			return time.Time{}, err
		}
		waited += max(behind, time.Millisecond)
	}
	return now, nil
}

// behind raises the alarm.
func (w *work) behind(by time.Duration) error {
	w.log.Error("the clock of this host was set back: the message waits until the clock has reached the time at which it came",
		"alarm", true, "behind", by.String())
	w.agent.o.Metrics.Count(metrics.Alarms, "clock")
	return fail("read the clock", "", pec.ErrorTemporary, fmt.Errorf("it is %s behind what it said before", by))
}
