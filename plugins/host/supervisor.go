package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ceralacca/ceralacca/internal/metrics"
	"github.com/ceralacca/ceralacca/plugins"
)

// How often and how long a supervisor waits.
const (
	firstBackOff = 100 * time.Millisecond
	lastBackOff  = 30 * time.Second
	healthEvery  = 5 * time.Second
	deathNotice  = time.Second // by how much the end of a connection may come before that of the process
	patience     = 2           // starts that fail before calls are told at once that there is nobody
	unwell       = 3           // checks of health that fail before the process is replaced
)

// Supervisor keeps one plug-in running. It is safe for concurrent use.
type Supervisor struct {
	o           Options
	description plugins.Description
	slots       chan struct{}
	breaker     breaker
	cancel      context.CancelFunc
	ended       chan struct{}

	mu       sync.Mutex
	current  *Instance     // nil: there is none
	changed  chan struct{} // closed when current changes
	failures int           // processes in a row that did not start, or ended before they had answered a call
	served   bool          // the current process, or else the last, has answered a call
	healthy  bool
}

// New checks the plug-in, its description and its configuration, starts it, and keeps it running until [Supervisor.Stop].
// The error says what does not fit, and then nothing runs.
func New(ctx context.Context, o Options) (*Supervisor, error) {
	if o.Deadline <= 0 || o.Concurrency <= 0 {
		return nil, fmt.Errorf("host: %s: deadline %s and concurrency %d are not positive", o.Name, o.Deadline, o.Concurrency)
	}
	if err := o.sweep(); err != nil {
		return nil, fmt.Errorf("host: %w", err)
	}
	d, err := o.Program.Describe(ctx)
	if err != nil {
		return nil, fmt.Errorf("plugins.%s: %w", o.Name, err)
	}
	if err := o.wants(d); err != nil {
		return nil, fmt.Errorf("plugins.%s: %w", o.Name, err)
	}
	first, err := Start(ctx, o, d)
	if err != nil {
		return nil, fmt.Errorf("plugins.%s: %w", o.Name, err)
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s := &Supervisor{o: o, description: d, slots: make(chan struct{}, o.Concurrency), cancel: cancel,
		ended: make(chan struct{}), changed: make(chan struct{})}
	s.set(first)
	go s.run(running, first)
	return s, nil
}

// wants says what keeps a description that fits from being used here.
func (o Options) wants(d plugins.Description) error {
	if d.Kind != o.Kind {
		return fmt.Errorf("%w: it is of kind %s, and %s is wanted", ErrDescription, d.Kind, o.Kind)
	}
	if misfits := CheckConfig(d, o.Config); len(misfits) > 0 {
		said := make([]string, len(misfits))
		for i, m := range misfits {
			said[i] = m.String()
		}
		return fmt.Errorf("%w: %s", ErrConfiguration, strings.Join(said, "; "))
	}
	return nil
}

// Description is what the plug-in said of itself.
func (s *Supervisor) Description() plugins.Description { return s.description }

// Stop ends the plug-in. Calls under way fail.
func (s *Supervisor) Stop() {
	s.cancel()
	<-s.ended
}

// Current is the process that runs now, nil when there is none.
func (s *Supervisor) Current() *Instance {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current
}

// Changed returns a channel that is closed when a process begins, ends or does not start. Whoever waits asks for it anew
// each time.
func (s *Supervisor) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

func (s *Supervisor) set(i *Instance) {
	s.mu.Lock()
	if i != nil && s.served {
		s.breaker.reset() // what failed, failed with the old one
	}
	if s.current, s.healthy = i, true; i != nil {
		s.served = false
	}
	close(s.changed)
	s.changed = make(chan struct{})
	s.mu.Unlock()
	s.o.Metrics.PluginUp(s.o.Name, i != nil)
	if i != nil {
		s.log().Info("plug-in started", slog.Int("pid", i.PID()), slog.Int("contract", i.Version()),
			slog.String("version", s.description.Version))
	}
}

func (s *Supervisor) log() *slog.Logger { return s.o.Log.With(slog.String("plugin", s.o.Name)) }

// alarm says what somebody must look at.
func (s *Supervisor) alarm(what string, more ...any) {
	s.log().Error(what, append([]any{slog.Bool("alarm", true)}, more...)...)
	s.o.Metrics.Count(metrics.Alarms, "plugin")
}

// run replaces each process that ends.
func (s *Supervisor) run(ctx context.Context, i *Instance) {
	defer close(s.ended)
	for {
		s.watch(ctx, i)
		s.set(nil)
		i.Stop()
		if ctx.Err() != nil {
			return
		}
		s.o.Metrics.PluginRestart(s.o.Name)
		s.alarm("plug-in ended; it is started again", slog.Any("error", i.process.child.err))
		if i = s.restart(ctx); i == nil {
			return
		}
		s.set(i)
	}
}

// watch returns when the process has ended, or is to be replaced, or ctx ends.
func (s *Supervisor) watch(ctx context.Context, i *Instance) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		defer cancel()
		for ill := 0; ill < unwell; {
			if s.o.Clock.Sleep(ctx, healthEvery) != nil {
				return
			}
			if s.checkHealth(ctx, i) {
				ill = 0
			} else {
				ill++
			}
		}
		s.alarm("plug-in does not answer; it is replaced")
	}()
	select {
	case <-ctx.Done():
	case <-i.Done():
	}
}

// restart tries until there is a process; nil when ctx ends. The more processes in a row were of no use, the longer it waits.
func (s *Supervisor) restart(ctx context.Context) *Instance {
	s.mu.Lock()
	failures := s.failures + 1
	if s.served {
		failures = 0
	}
	s.mu.Unlock()
	for ; ; failures++ {
		s.tell(failures)
		if s.o.Clock.Sleep(ctx, backOff(failures)) != nil {
			return nil
		}
		i, err := Start(ctx, s.o, s.description)
		if err == nil {
			return i
		}
		s.alarm("plug-in cannot be started", slog.Any("error", err))
	}
}

// tell sets how many processes in a row were of no use, for those who wait for one.
func (s *Supervisor) tell(failures int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures = failures
	close(s.changed)
	s.changed = make(chan struct{})
}

func backOff(failures int) time.Duration {
	wait := firstBackOff
	for ; failures > 0 && wait < lastBackOff; failures-- {
		wait *= 2
	}
	return min(wait, lastBackOff)
}

// instance waits for a process, unless it looks as if none would come.
func (s *Supervisor) instance(ctx context.Context) (*Instance, error) {
	for {
		s.mu.Lock()
		i, changed, failures := s.current, s.changed, s.failures
		s.mu.Unlock()
		if i != nil && !i.process.child.ended() {
			return i, nil
		}
		if failures >= patience {
			return nil, ErrAbsent
		}
		select {
		case <-changed:
		case <-s.ended:
			return nil, ErrAbsent
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: it is being started", ErrAbsent)
		}
	}
}

// call runs fn on the process, within all bounds. Its error is one of ErrAbsent, ErrSlow, ErrWrong, ErrDied and
// ErrUnable, or that of the caller's own context.
func (s *Supervisor) call(ctx context.Context, name string, fn func(context.Context, *Instance) error) error {
	begin := s.o.Clock.Now()
	err := s.bounded(ctx, fn)
	outcome := outcomeOf(err)
	s.o.Metrics.PluginCall(s.o.Name, name, outcome, s.o.Clock.Now().Sub(begin))
	if outcome == "given up" {
		return err // it says nothing about the plug-in
	}
	if err == nil || errors.Is(err, ErrUnable) {
		s.mu.Lock()
		s.served = true
		s.mu.Unlock()
	}
	if errors.Is(err, ErrDied) || errors.Is(err, ErrAbsent) {
		return fmt.Errorf("plugins.%s: %s: %w", s.o.Name, name, err) // how often it is started again is the back-off's business
	}
	if s.breaker.note(err == nil || errors.Is(err, ErrUnable), s.o.Clock.Now()) {
		s.alarm("plug-in fails again and again; calls to it are held back", slog.Duration("for", breakFor))
	}
	if err != nil {
		return fmt.Errorf("plugins.%s: %s: %w", s.o.Name, name, err)
	}
	return nil
}

func (s *Supervisor) bounded(caller context.Context, fn func(context.Context, *Instance) error) error {
	if !s.breaker.allow(s.o.Clock.Now()) {
		return fmt.Errorf("%w: it failed again and again", ErrAbsent)
	}
	ctx, cancel := context.WithTimeout(caller, s.o.Deadline)
	defer cancel()
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return s.late(caller, "all its places are taken")
	}
	i, err := s.instance(ctx)
	if err != nil {
		if caller.Err() != nil {
			return caller.Err()
		}
		return err
	}
	err = fn(ctx, i)
	switch {
	case err == nil, errors.Is(err, ErrUnable), errors.Is(err, errContent):
		return err
	case ctx.Err() != nil, status.Code(err) == codes.DeadlineExceeded:
		return s.late(caller, "it did not answer")
	default:
		return i.classify(ctx, s, err)
	}
}

func (s *Supervisor) late(caller context.Context, why string) error {
	if caller.Err() != nil {
		return caller.Err()
	}
	return fmt.Errorf("%w: %s within %s", ErrSlow, why, s.o.Deadline)
}

// classify tells the end of the process from an answer that is wrong.
func (i *Instance) classify(ctx context.Context, s *Supervisor, err error) error {
	if status.Code(err) == codes.Unavailable || status.Code(err) == codes.Canceled {
		wait, cancel := context.WithTimeout(ctx, deathNotice)
		defer cancel()
		select {
		case <-i.Done():
		case <-wait.Done():
		}
	}
	if i.process.child.ended() {
		return fmt.Errorf("%w: %v", ErrDied, i.process.child.err)
	}
	if errors.Is(err, ErrWrong) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrWrong, err)
}

// outcomeOf is the word for metrics.
func outcomeOf(err error) string {
	switch {
	case err == nil:
		return "good"
	case errors.Is(err, ErrAbsent):
		return "absent"
	case errors.Is(err, ErrSlow):
		return "slow"
	case errors.Is(err, ErrWrong):
		return "wrong"
	case errors.Is(err, ErrDied):
		return "died"
	case errors.Is(err, ErrUnable):
		return "unable"
	default:
		return "given up"
	}
}
