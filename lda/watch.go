package lda

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/ceralacca/ceralacca/internal/effect"
	"github.com/ceralacca/ceralacca/internal/metrics"
	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/internal/tracking"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/policy"
)

const (
	watchEvery   = 30 * time.Second
	watchBatch   = 200
	watchAtATime = 8                // notices that are made at the same time share the flushes of the disk
	watchAgain   = time.Minute      // after a notice that could not be issued
	watchLate    = 10 * time.Minute // then a look that has not happened is an alarm, and again each time as long
	// watchCatchUp is how long after its start the agent leaves alone what fell due before: the receipts that came to our
	// queues meanwhile go first, and Postfix presents what it holds within maximal_backoff_time, 4000 s.
	watchCatchUp = 70 * time.Minute
	// watchMargin before its limit the last notice waits for nothing any more.
	watchMargin = 10 * time.Minute
)

// startWatch begins to watch a submission, in the transaction that accepts it. What is known already counts. Ordinary
// recipients are not watched. [C088] [C100] [C183]
func startWatch(tx store.Tx, provider, transaction string, s tracking.Submission) error {
	recipients, err := s.Certified(tx, provider)
	if err != nil {
		return err
	}
	first, last := false, false
	for _, r := range recipients {
		first, last = first || policy.NoticeDue(false, known(r.State)), last || policy.NoticeDue(true, known(r.State))
	}
	w := tracking.Watch{Transaction: transaction, Sent: s.Time, Last: !first, Due: s.Time.Add(policy.FirstNotice)}
	if !last {
		return nil
	}
	if !first {
		w.Due = s.Time.Add(policy.LastNotice)
	}
	return tracking.PutWatch(tx, w)
}

// known is a state of a recipient in the words of the rules.
func known(s tracking.State) policy.Known {
	return policy.Known{Taken: s.Taken != nil, Final: s.Final != nil}
}

// watching lets one look go on at a time.
type watching struct {
	sync.Mutex
	told time.Time // when an alarm last said that it is late
}

// watch looks at what is due until ctx ends.
func (a *Agent) watch(ctx context.Context) {
	for {
		if err := a.watchDue(ctx); err != nil && ctx.Err() == nil {
			a.o.Log.ErrorContext(ctx, "time notices", "error", err)
		}
		if err := a.o.Clock.Sleep(ctx, watchEvery); err != nil {
			return
		}
	}
}

// watchDue looks once at all that is due now. What cannot be decided is due again soon.
func (a *Agent) watchDue(ctx context.Context) error {
	if a.o.ClockSound() != nil { // said by whoever watches it; a wrong clock must tell no sender that time ran out
		return nil
	}
	a.watching.Lock()
	defer a.watching.Unlock()
	for {
		due, begun, err := a.readDue(ctx)
		if err != nil || len(due) == 0 {
			return err
		}
		a.alarmLate(ctx, due[0])
		next := a.lookAtAll(ctx, due, begun)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		err = a.o.Store.Update(ctx, func(tx store.Tx) error {
			for i, w := range due {
				if err := replace(tx, w, next[i]); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
}

// readDue returns some of the watches that are due, and, when there are any, which notices an earlier run has begun.
func (a *Agent) readDue(ctx context.Context) (due []tracking.Watch, begun begunNotices, err error) {
	now := a.o.Clock.Now()
	err = a.o.Store.View(ctx, func(tx store.Tx) error {
		var err error
		if due, err = tracking.WatchesDue(tx, now, watchBatch); err != nil || len(due) == 0 {
			return err
		}
		unfinished, err := effect.FindUnfinished(tx, now.Add(24*time.Hour)) // whatever its age
		begun = begunNotices{}
		for _, u := range unfinished {
			for _, k := range u.Keys {
				begun[begunNotice{k.Effect, k.Identifier, k.Recipient}] = true
			}
		}
		return err
	})
	return due, begun, err
}

// begunNotices are the notices that an earlier run prepared, and that may have arrived: they are finished, whatever is
// known now.
type (
	begunNotices map[begunNotice]bool
	begunNotice  struct{ effect, identifier, recipient string }
)

// replace writes what became of a watch; nil is its end.
func replace(tx store.Tx, w tracking.Watch, next *tracking.Watch) error {
	if next == nil {
		return tracking.EndWatch(tx, w)
	}
	return tracking.MoveWatch(tx, w, *next)
}

// lookAtAll looks at watches, some at a time, and returns what becomes of each.
func (a *Agent) lookAtAll(ctx context.Context, due []tracking.Watch, begun begunNotices) []*tracking.Watch {
	next := make([]*tracking.Watch, len(due))
	var running sync.WaitGroup
	slots := make(chan struct{}, watchAtATime)
	for i, w := range due {
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			next[i] = a.lookAt(ctx, w, begun)
		})
	}
	running.Wait()
	return next
}

// lookAt looks at one, issues what is due, and returns what it becomes: nil when it is over. [C093]
func (a *Agent) lookAt(ctx context.Context, w tracking.Watch, begun begunNotices) *tracking.Watch {
	now := a.o.Clock.Now()
	until := a.catchUp(w)
	waits := now.Before(until)
	open, err := a.notify(ctx, w, begun, waits)
	switch {
	case err != nil:
		a.o.Log.ErrorContext(ctx, "a time notice could not be issued; it is tried again", "transaction", w.Transaction, "error", err)
		w.Due = now.Add(watchAgain)
		return &w
	case waits:
		w.Due, w.PutOff = until, true
		return &w
	case w.Last || !open:
		return nil
	}
	return &tracking.Watch{Transaction: w.Transaction, Sent: w.Sent, Last: true, Due: w.Sent.Add(policy.LastNotice)}
}

// catchUp is until when a watch is left alone that fell due while nobody ran: once, and not beyond the limit of the last
// notice. The zero time is now.
func (a *Agent) catchUp(w tracking.Watch) time.Time {
	if w.PutOff || !w.Due.Before(a.started) {
		return time.Time{}
	}
	until := a.started.Add(watchCatchUp)
	if limit := w.Sent.Add(policy.LastLimit - watchMargin); w.Last && a.started.Before(limit) && limit.Before(until) {
		until = limit
	}
	return until
}

// alarmLate tells of a look that did not happen in time: the most overdue one. It repeats itself seldom.
func (a *Agent) alarmLate(ctx context.Context, most tracking.Watch) {
	now := a.o.Clock.Now()
	late := now.Sub(nominal(most))
	if since := now.Sub(a.watching.told); late < watchLate || since >= 0 && since < watchLate {
		return
	}
	a.watching.told = now
	a.o.Metrics.Count(metrics.Alarms, "late-notices")
	a.o.Log.ErrorContext(ctx, "time notices are late: senders are told, or found to need not be, after their time", "alarm", true,
		"late", late.Truncate(time.Second).String(), "transaction", most.Transaction, "sent", most.Sent)
}

// nominal is when a watch was first due.
func nominal(w tracking.Watch) time.Time {
	if w.Last {
		return w.Sent.Add(policy.LastNotice)
	}
	return w.Sent.Add(policy.FirstNotice)
}

// notify issues what is due of a watch, and says whether a recipient is left without an outcome. What was decided before
// is decided again, and found done. While it waits, only what was begun is finished.
func (a *Agent) notify(ctx context.Context, watched tracking.Watch, begun begunNotices, waits bool) (open bool, err error) {
	s, recipients, err := a.watched(ctx, watched)
	if err != nil {
		return false, err
	}
	var due []pec.Address
	for _, r := range recipients {
		open = open || r.Final == nil
		key := begunNotice{timeoutEffect(watched.Last), string(s.Identifier), r.Fold().String()}
		if begun[key] || !waits && policy.NoticeDue(watched.Last, known(r.State)) {
			due = append(due, r.Address)
		}
	}
	if len(due) == 0 {
		return open, nil
	}
	return open, a.tellTimeout(ctx, watched, s, due)
}

// watched reads what a watch is about.
func (a *Agent) watched(ctx context.Context, w tracking.Watch) (s tracking.Submission, recipients []tracking.Recipient, err error) {
	provider := a.live.Load().config.Provider.Name
	err = a.o.Store.View(ctx, func(tx store.Tx) error {
		var found bool
		var err error
		if s, found, err = tracking.GetSubmission(tx, w.Transaction); err == nil && !found {
			err = fmt.Errorf("%w: no submission of transaction %s", store.ErrRow, w.Transaction)
		}
		if err == nil {
			recipients, err = s.Certified(tx, provider)
		}
		return err
	})
	return s, recipients, err
}
