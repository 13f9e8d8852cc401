package events_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/internal/events"
	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/pec"
)

// world is a queue in a real store.
type world struct {
	t     *testing.T
	dir   string
	store store.Store
	queue *events.Queue
	log   *bytes.Buffer
	end   func()
}

func newWorld(t *testing.T, subscriptions ...events.Subscription) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), log: &bytes.Buffer{}}
	w.open(subscriptions...)
	return w
}

// open opens the store as the agent does at its start.
func (w *world) open(subscriptions ...events.Subscription) {
	w.t.Helper()
	var queue *events.Queue
	s, err := store.Open(filepath.Join(w.dir, "db"), store.OnCommit(func(int) { queue.Committed() }))
	if err != nil {
		w.t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(w.log, nil))
	queue, err = events.Open(w.t.Context(), s, w.folder(), clock.System{}, log)
	if err != nil {
		w.t.Fatal(err)
	}
	queue.Subscribe(subscriptions)
	w.store, w.queue = s, queue
	w.end = func() {}
}

func (w *world) folder() string { return filepath.Join(w.dir, "events") }

// run starts delivery to a subscriber; w.close ends it.
func (w *world) run(name string, to events.Subscriber, places int) {
	ctx, cancel := context.WithCancel(w.t.Context())
	ended, before := make(chan struct{}), w.end
	go func() {
		defer close(ended)
		w.queue.Run(ctx, name, to, places)
	}()
	w.end = func() { before(); cancel(); <-ended }
}

func (w *world) close() {
	w.t.Helper()
	w.end()
	if err := w.store.Close(); err != nil {
		w.t.Fatal(err)
	}
}

const text = "From: a@alfa.example\r\nSubject: hi\r\n\r\nbody\r\n"

// happen records the event number n of a mailbox, with the effect's transaction.
func (w *world) happen(mailbox string, n int) {
	w.t.Helper()
	pending := w.prepare(mailbox, n, text)
	if err := w.store.Update(w.t.Context(), func(tx store.Tx) error { return pending.Record(tx, time.Now()) }); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) prepare(mailbox string, n int, text string) *events.Pending {
	w.t.Helper()
	box, err := pec.ParseAddress(mailbox)
	if err != nil {
		w.t.Fatal(err)
	}
	e := events.Event{Key: events.KeyOf(mailbox, fmt.Sprint(n)), Name: events.Delivered, Mailbox: box,
		Identifier: pec.Identifier(fmt.Sprint(n)), Sender: "a@alfa.example", Recipients: []string{mailbox}}
	pending, err := w.queue.Prepare(e, func(to io.Writer) error {
		_, err := io.WriteString(to, text)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return pending
}

// waiting lists what is left, as "plugin mailbox identifier attempts", refused ones with a mark.
func (w *world) waiting() []string {
	w.t.Helper()
	var out []string
	err := w.store.View(w.t.Context(), func(tx store.Tx) error {
		return events.List(tx, 0, events.Filter{}, func(_ uint64, e events.Waiting) error {
			line := fmt.Sprintf("%s %s %s %d", e.Plugin, e.Mailbox, e.Identifier, e.Attempts)
			if e.Refused {
				line += " refused: " + e.LastError
			}
			out = append(out, line)
			return nil
		})
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

func (w *world) files() []string {
	w.t.Helper()
	entries, err := os.ReadDir(w.folder())
	if err != nil {
		w.t.Fatal(err)
	}
	names := make([]string, len(entries))
	for i, entry := range entries {
		names[i] = entry.Name()
	}
	return names
}

func (w *world) same(what string, got, want []string) {
	w.t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		w.t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// listener is a subscriber that writes down what it hears.
type listener struct {
	mu      sync.Mutex
	heard   []string // "mailbox identifier"
	keys    map[string]int
	times   []time.Time
	busy    map[string]bool
	most    int
	now     int
	fault   string
	answer  func(e events.Event) (events.Outcome, string, error)
	shown   func(e events.Event, c events.Content)
	changed chan struct{}
}

var _ events.Subscriber = (*listener)(nil)

func newListener() *listener {
	return &listener{keys: map[string]int{}, busy: map[string]bool{}, changed: make(chan struct{}),
		answer: func(events.Event) (events.Outcome, string, error) { return events.Done, "", nil },
		shown:  func(events.Event, events.Content) {}}
}

func (l *listener) Changed() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changed
}

func (l *listener) change() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *listener) Deliver(_ context.Context, e events.Event, c events.Content) (events.Outcome, string, error) {
	box := e.Mailbox.String()
	l.mu.Lock()
	if l.busy[box] {
		l.fault = "two at a time in " + box
	}
	l.busy[box] = true
	l.now++
	l.most = max(l.most, l.now)
	l.heard = append(l.heard, box+" "+string(e.Identifier))
	l.keys[e.Key]++
	l.times = append(l.times, time.Now())
	l.mu.Unlock()
	l.shown(e, c)
	outcome, reason, err := l.answer(e)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.busy[box] = false
	l.now--
	return outcome, reason, err
}

// of is what was heard of one mailbox.
func (l *listener) of(mailbox string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(l.heard), func(s string) bool { return !strings.HasPrefix(s, mailbox+" ") })
}

func settle(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

const anna, bruno = "anna@alfa.example", "bruno@alfa.example"

// In order and one at a time per mailbox, several mailboxes at a time up to the places.
func TestOrderPerMailbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, l := newWorld(t, events.Subscription{Name: "sms"}), newListener()
		l.answer = func(events.Event) (events.Outcome, string, error) {
			time.Sleep(10 * time.Millisecond)
			return events.Done, "", nil
		}
		w.run("sms", l, 2)
		want := map[string][]string{}
		for n := range 30 {
			box := fmt.Sprintf("u%d@alfa.example", n%3)
			w.happen(box, n)
			want[box] = append(want[box], fmt.Sprintf("%s %d", box, n))
		}
		settle(time.Minute)
		for box, heard := range want {
			w.same("heard of "+box, l.of(box), heard)
		}
		if l.fault != "" || l.most != 2 {
			t.Errorf("at most %d calls at a time, want 2; %s", l.most, l.fault)
		}
		w.same("left", w.waiting(), nil)
		w.close()
	})
}

// What failed comes again with the same key, ever more seldom; another mailbox does not wait for it.
func TestBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, l := newWorld(t, events.Subscription{Name: "sms"}), newListener()
		var fail atomic.Bool
		fail.Store(true)
		l.answer = func(e events.Event) (events.Outcome, string, error) {
			if fail.Load() && e.Mailbox.String() == anna {
				return 0, "", errors.New("dead")
			}
			return events.Done, "", nil
		}
		w.happen(anna, 1)
		w.happen(anna, 2)
		w.happen(bruno, 3)
		begin := time.Now()
		w.run("sms", l, 4)
		settle(time.Hour)
		var waits []string
		last := begin
		for i, at := range l.times[1:] {
			if l.heard[i+1] == anna+" 1" {
				waits = append(waits, at.Sub(last).Round(time.Second).String())
				last = at
			}
		}
		if got := strings.Join(waits, " "); !strings.HasPrefix(strings.TrimPrefix(got, "0s "), "1s 2s 4s 8s 16s 32s 1m4s 2m8s 4m16s 8m32s 10m0s 10m0s") {
			t.Errorf("waits %s", got)
		}
		w.same("left", w.waiting(), []string{"sms " + anna + " 1 " + fmt.Sprint(len(l.of(anna))), "sms " + anna + " 2 0"})
		fail.Store(false)
		settle(10 * time.Minute)
		w.same("left", w.waiting(), nil)
		if heard := l.of(anna); heard[len(heard)-2] != anna+" 1" || heard[len(heard)-1] != anna+" 2" || len(l.keys) != 3 {
			t.Errorf("heard %q under %d keys", heard, len(l.keys))
		}
		w.close()
	})
}

// A plug-in that does not run is asked about one event at a time; when it comes back all is tried at once.
func TestComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, l := newWorld(t, events.Subscription{Name: "sms"}), newListener()
		var down atomic.Bool
		down.Store(true)
		l.answer = func(events.Event) (events.Outcome, string, error) {
			if down.Load() {
				return 0, "", fmt.Errorf("%w: no process", events.ErrNotAsked)
			}
			return events.Done, "", nil
		}
		for n := range 100 {
			w.happen(fmt.Sprintf("u%d@alfa.example", n), n)
		}
		w.run("sms", l, 16)
		settle(10 * time.Minute)
		if asked := len(l.heard); asked > 40 || asked < 10 {
			t.Errorf("asked %d times in ten minutes, want some 25", asked)
		}
		down.Store(false)
		l.change()
		settle(time.Millisecond)
		w.same("left", w.waiting(), nil)
		w.close()
	})
}

// What the plug-in refuses is kept where an operator sees it, with an alarm, and does not hold up the mailbox.
func TestRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, l := newWorld(t, events.Subscription{Name: "keep", Content: true}), newListener()
		l.answer = func(e events.Event) (events.Outcome, string, error) {
			if e.Identifier == "1" {
				return events.Refused, "never", nil
			}
			return events.Done, "", nil
		}
		w.happen(anna, 1)
		w.happen(anna, 2)
		w.run("keep", l, 1)
		settle(time.Hour)
		w.same("left", w.waiting(), []string{"keep " + anna + " 1 1 refused: never"})
		if !strings.Contains(w.log.String(), "alarm=true") || len(w.files()) != 1 {
			t.Errorf("no alarm, or files %q; log:\n%s", w.files(), w.log)
		}
		if n, err := w.queue.Drop(t.Context(), "keep"); n != 1 || err != nil {
			t.Errorf("Drop: %d, %v", n, err)
		}
		w.same("left", append(w.waiting(), w.files()...), nil)
		w.close()
	})
}

// Of a plug-in that is no longer subscribed all stays, until it is dropped; of one that is, only what it refused can be.
func TestDrop(t *testing.T) {
	w := newWorld(t, events.Subscription{Name: "old", Content: true}, events.Subscription{Name: "new", Content: true})
	w.happen(anna, 1)
	w.queue.Subscribe([]events.Subscription{{Name: "new", Content: true}})
	w.happen(anna, 2)
	if n, err := w.queue.Drop(t.Context(), "new"); n != 0 || err != nil {
		t.Errorf("Drop of new: %d, %v; want nothing", n, err)
	}
	w.same("waiting", w.waiting(), []string{"old " + anna + " 1 0", "new " + anna + " 1 0", "new " + anna + " 2 0"})
	if n, err := w.queue.Drop(t.Context(), "old"); n != 1 || err != nil {
		t.Errorf("Drop of old: %d, %v", n, err)
	}
	w.same("waiting", w.waiting(), []string{"new " + anna + " 1 0", "new " + anna + " 2 0"})
	if len(w.files()) != 2 {
		t.Errorf("files %q, want that of each event", w.files())
	}
	w.close()
}

// A subscriber is shown what it asked for and nothing else, and files go with the last one.
func TestContent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, events.Subscription{Name: "bare"}, events.Subscription{Name: "head", Headers: true},
			events.Subscription{Name: "all", Content: true, Metadata: true})
		var mu sync.Mutex
		shown := map[string]string{}
		w.happen("Anna+acts@alfa.example", 1)
		for _, name := range []string{"bare", "head", "all"} {
			l := newListener()
			l.shown = func(e events.Event, c events.Content) {
				mu.Lock()
				defer mu.Unlock()
				body := ""
				if c.ReaderAt != nil {
					data, err := io.ReadAll(io.NewSectionReader(c, 0, c.Size))
					if sum := sha256.Sum256(data); err != nil || !bytes.Equal(c.SHA256, sum[:]) {
						t.Errorf("%x is not the digest of %q, %v", c.SHA256, data, err)
					}
					body = string(data)
				}
				shown[name] = fmt.Sprintf("%s %s %s %q %q", e.Mailbox, e.Name, e.Sender, c.Headers, body)
			}
			w.run(name, l, 1)
		}
		settle(time.Second)
		head := text[:strings.Index(text, "\r\n\r\n")+2]
		want := map[string]string{
			"bare": fmt.Sprintf("%s delivered  %q %q", anna, "", ""), "head": fmt.Sprintf("%s delivered  %q %q", anna, head, ""),
			"all": fmt.Sprintf("%s delivered a@alfa.example %q %q", anna, head, text),
		}
		if diff := cmp.Diff(want, shown); diff != "" {
			t.Errorf("shown (-want +got):\n%s", diff)
		}
		w.same("left", append(w.waiting(), w.files()...), nil)
		w.close()
	})
}

// The header section is cut at 64 KiB between fields, and the content is not kept for headers alone.
func TestLongHeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, l := newWorld(t, events.Subscription{Name: "head", Headers: true}), newListener()
		field := "To: a@alfa.example,\r\n\tb@alfa.example\r\n"
		long := strings.Repeat(field, 3000) + "\r\n" + strings.Repeat("x", 1<<20)
		pending := w.prepare(anna, 1, long)
		if info, err := os.Stat(filepath.Join(w.folder(), w.files()[0])); err != nil || info.Size() > 64<<10 {
			t.Errorf("the file: %v, %v", info, err)
		}
		if err := w.store.Update(t.Context(), func(tx store.Tx) error { return pending.Record(tx, time.Now()) }); err != nil {
			t.Fatal(err)
		}
		var got string
		l.shown = func(_ events.Event, c events.Content) { got = string(c.Headers) }
		w.run("head", l, 1)
		settle(time.Second)
		if want := strings.Repeat(field, (64<<10)/len(field)); got != want {
			t.Errorf("%d bytes that end with %.50q, want %d", len(got), got[max(0, len(got)-50):], len(want))
		}
		w.close()
	})
}

// Nothing is lost when the process ends at any point: rows are tried again at the next start, files without a row go.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := events.Subscription{Name: "keep", Content: true}
		w, l := newWorld(t, all), newListener()
		l.answer = func(events.Event) (events.Outcome, string, error) { return events.Later, "not now", nil }
		w.happen(anna, 1)
		w.run("keep", l, 1)
		settle(time.Hour)
		w.prepare(anna, 2, "the effect of this one never ended")
		w.close()
		w.open(all)
		if len(w.files()) != 1 {
			t.Errorf("files %q, want that of the event that waits", w.files())
		}
		second := newListener()
		w.run("keep", second, 1)
		settle(time.Millisecond)
		w.same("heard at once after the start", second.of(anna), []string{anna + " 1"})
		if len(second.keys) != 1 || l.keys[events.KeyOf(anna, "1")] < 2 || second.keys[events.KeyOf(anna, "1")] != 1 {
			t.Errorf("keys %v then %v", l.keys, second.keys)
		}
		w.same("left", append(w.waiting(), w.files()...), nil)
		w.close()
	})
}

// An effect whose transaction fails has no event; without subscribers nothing is written at all.
func TestOnlyWithTheEffect(t *testing.T) {
	w := newWorld(t, events.Subscription{Name: "keep", Content: true})
	pending := w.prepare(anna, 1, text)
	failed := errors.New("failed")
	err := w.store.Update(t.Context(), func(tx store.Tx) error { return errors.Join(pending.Record(tx, time.Now()), failed) })
	if !errors.Is(err, failed) {
		t.Fatal(err)
	}
	pending.Forget()
	w.queue.Subscribe(nil)
	if nobody := w.prepare(anna, 2, text); nobody != nil || w.queue.Wanted() {
		t.Error("an event for nobody is prepared")
	}
	w.same("left", append(w.waiting(), w.files()...), nil)
	w.close()
}

// Backlogs say how much waits, of whom, since when.
func TestBacklogs(t *testing.T) {
	w := newWorld(t, events.Subscription{Name: "a"}, events.Subscription{Name: "b"})
	begin := time.Now().Truncate(time.Second)
	for n := range 5 {
		w.happen(anna, n)
		w.happen(bruno, n)
	}
	err := w.store.View(t.Context(), func(tx store.Tx) error {
		got, err := events.Backlogs(tx)
		for _, name := range []string{"a", "b"} {
			if b := got[name]; b.Waiting != 10 || b.Refused != 0 || b.Oldest.Before(begin) {
				t.Errorf("%s: %+v", name, b)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	w.close()
}
