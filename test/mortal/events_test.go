package mortal

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/internal/events"
	"github.com/ceralacca/ceralacca/internal/metrics"
	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/plugins"
	"github.com/ceralacca/ceralacca/plugins/host"
)

// mailboxes of the events, many: one whose event was in a call that died waits for a second.
const mailboxes = 64

// teller is a store with a queue of events, and the plug-ins that are told.
type teller struct {
	store   store.Store
	queue   *events.Queue
	reapers []*reaper
	told    map[string][]event // what happened to each mailbox, in order
	end     func()
}

// event is one that happened.
type event struct{ key, sum string }

// newTeller starts two plug-ins of each kind, each supervised and killed by itself.
func newTeller(t *testing.T, dir string) *teller {
	t.Helper()
	e := &teller{told: map[string][]event{}}
	queue := make(chan *events.Queue, 1)
	s, err := store.Open(filepath.Join(dir, "store"), store.OnCommit(func(int) {
		q := <-queue
		queue <- q
		q.Committed()
	}))
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler) // a thousand deaths are a thousand lines
	q, err := events.Open(t.Context(), s, filepath.Join(dir, "events"), clock.System{}, log)
	if err != nil {
		t.Fatal(err)
	}
	queue <- q
	e.store, e.queue = s, q
	m := metrics.New()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	var subscriptions []events.Subscription
	var supervisors []*host.Supervisor
	e.end = func() {
		cancel()
		running.Wait()
		for _, s := range supervisors {
			s.Stop()
		}
	}
	t.Cleanup(func() { e.end(); _ = s.Close() })
	for _, name := range []string{"conservation-1", "conservation-2", "notification-1", "notification-2"} {
		kind, _, _ := strings.Cut(name, "-")
		r := newReaper(t, name, filepath.Join(dir, name))
		r.died = func() (int, error) {
			w := httptest.NewRecorder()
			m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
			return diedIn(w.Body.String(), name), nil
		}
		program := filepath.Join(dir, "bin", kind)
		sum, err := host.Checksum(program)
		if err != nil {
			t.Fatal(err)
		}
		supervisor, err := host.New(ctx, host.Options{
			Name: name, Kind: plugins.Kind(kind), Config: map[string]any{"tell": r.socket}, RunDir: dir,
			Program:  host.Program{Path: program, SHA256: sum, Isolation: host.Isolation{User: "nobody", Network: true}},
			Deadline: time.Minute, Concurrency: 4, Clock: clock.System{}, Log: log, Metrics: m,
		})
		if err != nil {
			t.Fatal(err)
		}
		supervisors = append(supervisors, supervisor)
		e.reapers = append(e.reapers, r)
		subscriptions = append(subscriptions, events.Subscription{Name: name, Content: kind == "conservation"})
		running.Go(func() { q.Run(ctx, name, subscriber{supervisor, r}, 4) })
	}
	q.Subscribe(subscriptions)
	return e
}

// subscriber tells a plug-in, as the agent does.
type subscriber struct {
	*host.Supervisor
	reaper *reaper
}

var _ events.Subscriber = subscriber{}

// Deliver implements events.Subscriber.
func (s subscriber) Deliver(ctx context.Context, e events.Event, c events.Content) (events.Outcome, string, error) {
	return deliver(ctx, s.Supervisor, e, c)
}

func deliver(ctx context.Context, s *host.Supervisor, e events.Event, c events.Content) (events.Outcome, string, error) {
	var effect plugins.Effect
	var err error
	if s.Description().Kind == plugins.KindNotification {
		effect, err = host.Notification{Supervisor: s}.Notify(ctx, plugins.Event{
			Key: e.Key, Mailbox: e.Mailbox.String(), Name: string(e.Name), Time: e.Time.Unix()})
	} else {
		effect, err = host.Conservation{Supervisor: s}.Deposit(ctx, plugins.Bundle{
			Key: e.Key, Mailbox: e.Mailbox.String(), Event: string(e.Name), Size: c.Size, SHA256: c.SHA256, MediaType: "message/rfc822",
			Time: e.Time.Unix(),
		}, host.Content{ReaderAt: c, Size: c.Size})
	}
	switch {
	case errors.Is(err, host.ErrAbsent):
		return 0, "", fmt.Errorf("%w: %w", events.ErrNotAsked, err)
	case err != nil:
		return 0, "", err
	case effect.Outcome != plugins.Done:
		return events.Later, effect.Reason, nil
	}
	return events.Done, "", nil
}

// Changed implements events.Subscriber.
func (s subscriber) Changed() <-chan struct{} {
	s.reaper.mu.Lock()
	defer s.reaper.mu.Unlock()
	return s.reaper.changed
}

// happen records events, in the transactions of effects that are nothing else here, until ctx ends.
func (e *teller) happen(ctx context.Context) error {
	for n := 0; ctx.Err() == nil; n++ {
		mailbox, err := pec.ParseAddress(fmt.Sprintf("box%d@alfa.example", n%mailboxes))
		if err != nil {
			return err
		}
		text := fmt.Sprintf("Subject: %d\r\n\r\n%s", n, strings.Repeat("content\r\n", n%5000))
		key := events.KeyOf(fmt.Sprint(n))
		pending, err := e.queue.Prepare(events.Event{Key: key, Name: events.Delivered, Mailbox: mailbox},
			func(w io.Writer) error { _, err := io.WriteString(w, text); return err })
		if err != nil {
			return err
		}
		if err := e.store.Update(context.WithoutCancel(ctx), func(tx store.Tx) error { return pending.Record(tx, time.Now()) }); err != nil {
			return err
		}
		e.told[mailbox.String()] = append(e.told[mailbox.String()], event{key, fmt.Sprintf("%x", sha256.Sum256([]byte(text)))})
		time.Sleep(10 * time.Millisecond) // a load, not a flood
	}
	return nil
}

// settle waits until nothing waits any more, and asks what each plug-in was told.
func (e *teller) settle(t *testing.T) {
	t.Helper()
	left := 0
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		left = 0
		if err := e.store.View(t.Context(), func(tx store.Tx) error {
			return events.List(tx, 0, events.Filter{}, func(uint64, events.Waiting) error { left++; return nil })
		}); err != nil {
			t.Fatal(err)
		}
		if left == 0 || time.Now().After(end) {
			break
		}
	}
	if left > 0 {
		t.Errorf("%d events were not delivered %s after the last kill", left, patience)
	}
	if files, err := os.ReadDir(filepath.Join(filepath.Dir(e.reapers[0].socket), "events")); err != nil || len(files) > 0 && left == 0 {
		t.Errorf("%d files of content are left, %v", len(files), err)
	}
	total := 0
	for _, mailbox := range slices.Sorted(maps.Keys(e.told)) {
		total += len(e.told[mailbox])
		for _, r := range e.reapers {
			if err := inOrder(e.told[mailbox], r.of(mailbox)); err != nil {
				t.Errorf("%s, %s: %v", r.name, mailbox, err)
			}
		}
	}
	t.Logf("%d events, each for %d plug-ins", total, len(e.reapers))
}

// told is what a plug-in says that it was told.
type told struct {
	key, event string
	size       int
	sum        string // "-" is without content
}

// of is what was said of a mailbox.
func (r *reaper) of(mailbox string) []told {
	var out []told
	for _, line := range r.all() {
		if rest, ok := strings.CutPrefix(line, "done "+mailbox+" "); ok {
			var one told
			_, _ = fmt.Sscan(rest, &one.key, &one.event, &one.size, &one.sum) // what is missing is found out
			out = append(out, one)
		}
	}
	return out
}

// inOrder: every event was told, after those before it; again only with the same key and the same content, and only as
// long as the next was not told.
func inOrder(happened []event, said []told) error {
	at := -1
	for _, one := range said {
		if at < 0 || one.key != happened[at].key {
			at++
		}
		if at >= len(happened) || one.key != happened[at].key || one.sum != "-" && one.sum != happened[at].sum {
			return fmt.Errorf("event %d is told as %v", at, one)
		}
	}
	if at != len(happened)-1 {
		return fmt.Errorf("%d events of %d were told", at+1, len(happened))
	}
	return nil
}
