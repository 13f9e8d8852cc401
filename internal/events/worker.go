package events

import (
	"container/heap"
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/ceralacca/ceralacca/internal/store"
)

// Bounds of the waits. A mailbox whose delivery failed waits longer each time; a subscriber that was not asked, because it
// does not run, is tried with one event at a time.
const (
	firstWait = time.Second
	lastWait  = 10 * time.Minute
	lastHold  = 30 * time.Second
	grace     = 10 * time.Second // for the calls in hand at the end
)

// Outcome is what a subscriber says to an event.
type Outcome int

// The outcomes.
const (
	Done    Outcome = iota + 1 // it has the event, and will after a crash
	Refused                    // it never will
	Later                      // not now
)

// ErrNotAsked says that a subscriber could not be called at all: the event is not the cause.
var ErrNotAsked = errors.New("events: the subscriber does not run")

// Content is what a subscriber is shown of a message: its bytes, all of them, when its subscription asks for content, and the
// header section when it asks for headers.
type Content struct {
	io.ReaderAt        // nil when it asks for headers at most
	Size        int64  // of the whole message
	SHA256      []byte // of the whole message
	Headers     []byte // with CRLF; the fields that stand in the first 64 KiB
}

// Subscriber takes events. It is called concurrently, for different mailboxes.
type Subscriber interface {
	// Deliver gives one event. An error means Later, and that nobody answered; [ErrNotAsked] in it that nobody was asked.
	// The reason says why with Refused and Later. What it is given is valid until it returns.
	Deliver(ctx context.Context, e Event, c Content) (outcome Outcome, reason string, err error)
	// Changed returns a channel that is closed when the subscriber begins to run, or ends.
	Changed() <-chan struct{}
}

// worker delivers the events of one subscriber.
type worker struct {
	queue  *Queue
	name   string
	to     Subscriber
	places int
	log    *slog.Logger

	boxes   map[string]*box
	line    line
	busy    int
	results chan result
	until   time.Time // nobody is asked before
	holds   int       // how often in a row nobody was asked
}

// box is a mailbox in which something waits, or may.
type box struct {
	mailbox  string
	next     time.Time
	place    int // in the line; -1 while it is being delivered
	failures int
	again    bool // something came in while it was being delivered
}

// result is what became of a delivery.
type result struct {
	box      *box
	empty    bool // there was nothing
	failed   bool
	notAsked bool
}

// Run delivers to a subscriber until ctx ends: in order and one at a time per mailbox, several mailboxes at a time. Then it
// waits for the calls in hand, ten seconds at most. There MUST be one at a time for a name.
func (q *Queue) Run(ctx context.Context, name string, to Subscriber, places int) {
	w := &worker{queue: q, name: name, to: to, places: places, log: q.log.With(slog.String("plugin", name)),
		boxes: map[string]*box{}, results: make(chan result)}
	calls, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	bell := q.bell(name)
	for !w.load(ctx) {
		if q.clock.Sleep(ctx, firstWait) != nil {
			return
		}
	}
	changed := to.Changed()
	for ctx.Err() == nil {
		w.begin(calls)
		changed = w.wait(ctx, bell, changed)
	}
	go func() {
		if q.clock.Sleep(calls, grace) == nil {
			cancel()
		}
	}()
	for ; w.busy > 0; w.busy-- {
		<-w.results
	}
}

// load puts every mailbox in line that has something, to be tried at once: what waited before the start has waited enough.
func (w *worker) load(ctx context.Context) bool {
	var found []string
	err := w.queue.store.View(ctx, func(tx store.Tx) (err error) {
		found, err = mailboxes(tx, w.name)
		return err
	})
	if err != nil {
		w.log.Error("events that wait cannot be read", slog.Any("error", err))
		return false
	}
	for _, mailbox := range found {
		w.add(mailbox)
	}
	return true
}

// add puts a mailbox in line, unless it stands there.
func (w *worker) add(mailbox string) {
	b := w.boxes[mailbox]
	switch {
	case b == nil:
		b = &box{mailbox: mailbox, next: w.queue.clock.Now()}
		w.boxes[mailbox] = b
		heap.Push(&w.line, b)
	case b.place < 0:
		b.again = true
	}
}

// begin starts the deliveries that are due, as many as there are places.
func (w *worker) begin(ctx context.Context) {
	for mailbox := range w.queue.take(w.name) {
		w.add(mailbox)
	}
	now := w.queue.clock.Now()
	if now.Before(w.until) {
		return
	}
	places := w.places
	if w.holds > 0 {
		places = 1
	}
	for w.busy < places && len(w.line) > 0 && !now.Before(w.line[0].next) {
		b := heap.Pop(&w.line).(*box)
		b.again = false
		w.busy++
		go func() { w.results <- w.deliver(ctx, b) }()
	}
}

// wait returns when there may be something to do, with the channel that tells of the next change.
func (w *worker) wait(ctx context.Context, bell, changed <-chan struct{}) <-chan struct{} {
	rest, cancel := context.WithCancel(ctx)
	defer cancel()
	select {
	case <-ctx.Done():
	case <-bell:
	case r := <-w.results:
		w.busy--
		w.note(r)
	case <-changed:
		w.until, w.holds = time.Time{}, min(w.holds, 1)
		w.hasten()
		return w.to.Changed()
	case <-w.timer(rest):
	}
	return changed
}

// timer ends when the first in line is due; it never does when there is no place or nobody in line.
func (w *worker) timer(ctx context.Context) <-chan struct{} {
	if len(w.line) == 0 || w.busy >= w.places || w.holds > 0 && w.busy > 0 {
		return nil
	}
	due := w.line[0].next
	if due.Before(w.until) {
		due = w.until
	}
	rest := due.Sub(w.queue.clock.Now())
	ended := make(chan struct{})
	go func() {
		if w.queue.clock.Sleep(ctx, rest) == nil {
			close(ended)
		}
	}()
	return ended
}

// note puts a mailbox back in line, or forgets it.
func (w *worker) note(r result) {
	now := w.queue.clock.Now()
	b := r.box
	switch {
	case r.notAsked:
		w.until = now.Add(min(backOff(w.holds), lastHold))
		w.holds++
		b.next = now
	case r.failed:
		w.holds = 0
		b.next = now.Add(backOff(b.failures))
		b.failures++
	case r.empty && !b.again:
		delete(w.boxes, b.mailbox)
		return
	default:
		w.holds = 0
		b.next, b.failures = now, 0
	}
	heap.Push(&w.line, b)
}

// hasten shortens the waits of all mailboxes: the subscriber may have come back. One whose event it does not survive is
// still tried no more often than it can be started.
func (w *worker) hasten() {
	soon := w.queue.clock.Now()
	for _, b := range w.line {
		if at := soon.Add(min(backOff(b.failures-1), lastHold)); b.failures > 0 && at.Before(b.next) {
			b.next = at
		}
	}
	heap.Init(&w.line)
}

func backOff(failures int) time.Duration {
	wait := firstWait
	for ; failures > 0 && wait < lastWait; failures-- {
		wait *= 2
	}
	return min(wait, lastWait)
}

// line orders mailboxes by the instant of their next try.
type line []*box

var _ heap.Interface = (*line)(nil)

// Len implements sort.Interface.
func (l line) Len() int { return len(l) }

// Less implements sort.Interface.
func (l line) Less(i, j int) bool { return l[i].next.Before(l[j].next) }

// Swap implements sort.Interface.
func (l line) Swap(i, j int) {
	l[i], l[j] = l[j], l[i]
	l[i].place, l[j].place = i, j
}

// Push implements heap.Interface.
func (l *line) Push(x any) {
	b := x.(*box)
	b.place = len(*l)
	*l = append(*l, b)
}

// Pop implements heap.Interface.
func (l *line) Pop() any {
	old := *l
	b := old[len(old)-1]
	b.place = -1
	*l = old[:len(old)-1]
	return b
}
