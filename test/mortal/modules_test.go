package mortal

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/internal/events"
	"github.com/ceralacca/ceralacca/internal/metrics"
	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/plugins"
	"github.com/ceralacca/ceralacca/plugins/host"
)

// Kills of each program: those of sms are of one process that uses the spool and one that uses a gateway.
const (
	killsOfModules = 100
	moduleBoxes    = 32
)

// module is a plug-in that we ship, under its real host and the real queue.
type module struct {
	*host.Supervisor
	name           string
	answered, died atomic.Int32
	wanted, kills  int
}

var _ events.Subscriber = (*module)(nil)

// Deliver implements events.Subscriber.
func (m *module) Deliver(ctx context.Context, e events.Event, c events.Content) (events.Outcome, string, error) {
	outcome, reason, err := deliver(ctx, m.Supervisor, e, c)
	switch {
	case err == nil && outcome == events.Done:
		m.answered.Add(1)
	case errors.Is(err, host.ErrDied):
		m.died.Add(1)
	}
	return outcome, reason, err
}

// reap kills the process so often: most times after it has answered a call, one of eight times wherever it is.
func (m *module) reap(ctx context.Context) error {
	last := 0
	for ; m.kills < m.wanted; m.kills++ {
		pid, err := m.next(ctx, last)
		if err != nil {
			return err
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
		last = pid
	}
	return nil
}

// next waits for a process that is not the last one, and for the instant at which it is to die.
func (m *module) next(ctx context.Context, last int) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	blind, answered := rand.N(8) == 0, m.answered.Load()
	for ctx.Err() == nil {
		if i := m.Current(); i != nil && i.PID() != last && (blind || m.answered.Load() > answered) {
			time.Sleep(rand.N(40 * time.Millisecond))
			return i.PID(), nil
		}
		time.Sleep(2 * time.Millisecond)
	}
	return 0, fmt.Errorf("%s: waited %s for a process that answers", m.name, patience)
}

// shop is a store with its queue of events, and the modules that are told.
type shop struct {
	t       *testing.T
	dir     string
	store   store.Store
	queue   *events.Queue
	happens []plugins.Event // all of them, in order
	sums    map[string][sha256.Size]byte
	ctx     context.Context
	running sync.WaitGroup
	modules []*module
}

// moduleFolder makes a folder with a path short enough for sockets, that everybody may pass, with the two programs.
func moduleFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "mm")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"sms", "conserve"} {
		build(t, filepath.Join(dir, name), "plugins/"+name)
	}
	return dir
}

// own gives files to the user that plug-ins run as, and makes folders of what is not there.
func own(t *testing.T, paths ...string) {
	t.Helper()
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(nobody.Uid) // numbers on any Unix
	gid, _ := strconv.Atoi(nobody.Gid)
	for _, path := range paths {
		if err := os.Mkdir(path, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			t.Fatal(err)
		}
		if err := os.Chown(path, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
}

func newShop(t *testing.T, dir string) *shop {
	t.Helper()
	s := &shop{t: t, dir: dir, sums: map[string][sha256.Size]byte{}}
	queue := make(chan *events.Queue, 1)
	var err error
	if s.store, err = store.Open(filepath.Join(dir, "store"), store.OnCommit(func(int) {
		q := <-queue
		queue <- q
		q.Committed()
	})); err != nil {
		t.Fatal(err)
	}
	if s.queue, err = events.Open(t.Context(), s.store, filepath.Join(dir, "events"), clock.System{}, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	queue <- s.queue
	ctx, cancel := context.WithCancel(context.Background())
	s.ctx = ctx
	t.Cleanup(func() {
		cancel()
		s.running.Wait()
		for _, m := range s.modules {
			m.Stop()
		}
		_ = s.store.Close()
	})
	return s
}

// add starts a module, which is to be killed so often.
func (s *shop) add(name string, wanted int, kind plugins.Kind, config map[string]any) *module {
	s.t.Helper()
	program, _, _ := strings.Cut(name, "-")
	path := filepath.Join(s.dir, program)
	sum, err := host.Checksum(path)
	if err != nil {
		s.t.Fatal(err)
	}
	m := &module{name: name, wanted: wanted}
	m.Supervisor, err = host.New(s.ctx, host.Options{Name: name, Kind: kind, Config: config, RunDir: s.dir,
		Program:  host.Program{Path: path, SHA256: sum, Isolation: host.Isolation{User: "nobody", Network: true}},
		Deadline: time.Minute, Concurrency: 8, Clock: clock.System{}, Log: slog.New(slog.DiscardHandler), Metrics: metrics.New()})
	if err != nil {
		s.t.Fatal(err)
	}
	s.modules = append(s.modules, m)
	return m
}

// open lets the queue tell the modules.
func (s *shop) open() {
	var subscriptions []events.Subscription
	for _, m := range s.modules {
		subscriptions = append(subscriptions, events.Subscription{Name: m.name, Content: m.Description().Kind == plugins.KindConservation})
	}
	s.queue.Subscribe(subscriptions)
	for _, m := range s.modules {
		s.running.Go(func() { s.queue.Run(s.ctx, m.name, m, 8) })
	}
}

// happen records events of a day that is over, until ctx ends.
func (s *shop) happen(ctx context.Context) error {
	past := time.Now().AddDate(0, 0, -3)
	for n := 0; ctx.Err() == nil; n++ {
		mailbox, err := pec.ParseAddress(fmt.Sprintf("m%d@alfa.example", n%moduleBoxes))
		if err != nil {
			return err
		}
		text, key := content(n), events.KeyOf(fmt.Sprint("module ", n))
		pending, err := s.queue.Prepare(events.Event{Key: key, Name: events.Delivered, Mailbox: mailbox},
			func(w io.Writer) error { _, err := io.WriteString(w, text); return err })
		if err != nil {
			return err
		}
		if err := s.store.Update(context.WithoutCancel(ctx), func(tx store.Tx) error { return pending.Record(tx, past) }); err != nil {
			return err
		}
		s.happens = append(s.happens, plugins.Event{Key: key, Mailbox: mailbox.String()})
		s.sums[key] = sha256.Sum256([]byte(text))
		time.Sleep(20 * time.Millisecond) // a load, not a flood
	}
	return nil
}

// reap kills all modules as long as events happen, and returns when everything was told.
func (s *shop) reap() {
	s.t.Helper()
	load, stop := context.WithCancel(s.t.Context())
	defer stop()
	var world, reaping errgroup.Group
	world.Go(func() error { return s.happen(load) })
	for _, m := range s.modules {
		reaping.Go(func() error { return m.reap(load) })
	}
	err := reaping.Wait()
	stop()
	if err := errors.Join(err, world.Wait()); err != nil {
		s.t.Error(err)
	}
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		left := 0
		if err := s.store.View(s.t.Context(), func(tx store.Tx) error {
			return events.List(tx, 0, events.Filter{}, func(uint64, events.Waiting) error { left++; return nil })
		}); err != nil {
			s.t.Fatal(err)
		}
		if left == 0 {
			return
		}
		if time.Now().After(end) {
			s.t.Fatalf("%d events were not told %s after the last kill", left, patience)
		}
	}
}
