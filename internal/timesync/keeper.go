package timesync

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/internal/metrics"
	"github.com/ceralacca/ceralacca/pec"
)

// ErrUnsound says that the clock of the host may not be certified by.
var ErrUnsound = errors.New("the clock of this host is not kept")

// Settings are what an operator chooses.
type Settings struct {
	// Defer says that nothing is certified while the clock is not sound; otherwise that is only a warning.
	Defer bool
	// MaxError is how far the clock may be from UTC, by the kernel's word.
	MaxError time.Duration
	// MaxStep is by how much the clock may be set at once without anybody looking at it.
	MaxStep time.Duration
}

// Options are what a Keeper works with. Metrics may be nil; Sync and Read are those of the host when they are nil.
type Options struct {
	Sync    func() (clock.Sync, error)
	Read    func() (clock.Pair, error)
	Clock   clock.Clock // to wait by
	Log     *slog.Logger
	Metrics *metrics.Metrics
}

const (
	every = time.Second      // how often the clock is looked at: a step there and back is seen between two looks only
	again = 10 * time.Minute // how often the alarm is repeated while it lasts
)

// Keeper knows whether the clock may be certified by. It is safe for concurrent use.
type Keeper struct {
	o Options

	mu       sync.Mutex
	settings Settings
	looked   bool // at least once
	sound    bool // at the last look
	last     clock.Pair
	said     time.Duration // uptime of the last line about a clock that is not sound
}

// New makes a Keeper.
func New(s Settings, o Options) *Keeper {
	if o.Sync == nil {
		o.Sync = clock.KernelSync
	}
	if o.Read == nil {
		o.Read = clock.Read
	}
	return &Keeper{o: o, settings: s}
}

// Use takes other settings from now on.
func (k *Keeper) Use(s Settings) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.settings = s
}

// Sound returns an error, a temporary one, when nothing may be certified now. It asks the kernel each time, so that it
// never speaks of a state that is over; what cannot be asked is not sound. Whoever certifies MUST call it before he reads
// an instant.
func (k *Keeper) Sound() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	err := k.judge()
	k.tell(err)
	if err == nil || !k.settings.Defer {
		return nil
	}
	return &pec.Error{Op: "clock", Kind: pec.ErrorTemporary, Err: err}
}

// judge asks the kernel.
func (k *Keeper) judge() error {
	s, err := k.o.Sync()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnsound, err)
	}
	k.o.Metrics.Set(metrics.ClockMaxError, s.MaxError.Seconds())
	k.o.Metrics.Set(metrics.ClockEstimatedError, s.EstimatedError.Seconds())
	switch {
	case !s.Synchronised:
		return fmt.Errorf("%w: the kernel says that nobody synchronises it", ErrUnsound)
	case s.MaxError > k.settings.MaxError:
		return fmt.Errorf("%w: it may be wrong by %s, and %s are allowed", ErrUnsound, s.MaxError, k.settings.MaxError)
	}
	return nil
}

// tell says what has changed, and while the clock is not sound repeats it from time to time.
func (k *Keeper) tell(unsound error) {
	now, err := k.o.Read()
	if err != nil {
		now = k.last // a kernel without such a clock: the line is not repeated
	}
	before, first := k.sound, !k.looked
	k.looked, k.sound = true, unsound == nil
	k.o.Metrics.Set(metrics.ClockSound, map[bool]float64{true: 1}[k.sound])
	switch {
	case k.sound && !before && !first:
		k.o.Log.Info("the clock of this host is kept again")
	case !k.sound && (before || first || now.Uptime-k.said >= again):
		k.said = now.Uptime
		k.unsound(unsound)
	}
}

func (k *Keeper) unsound(why error) {
	if !k.settings.Defer {
		k.o.Log.Warn("certified all the same, as the configuration says", slog.Any("error", why))
		return
	}
	k.o.Metrics.Count(metrics.Alarms, "clock")
	k.o.Log.Error("nothing is certified until the clock is kept", slog.Bool("alarm", true), slog.Any("error", why))
}

// Run watches until ctx ends, also while nothing is certified.
func (k *Keeper) Run(ctx context.Context) {
	for {
		_ = k.Sound() // said already
		k.look()
		if k.o.Clock.Sleep(ctx, every) != nil {
			return
		}
	}
}

// look says whether the clock was set since the last look.
func (k *Keeper) look() {
	k.mu.Lock()
	defer k.mu.Unlock()
	now, err := k.o.Read()
	if err != nil {
		return // without the one of the two no step can be known
	}
	last := k.last
	k.last = now
	if last == (clock.Pair{}) {
		return
	}
	if step := now.Step(last); step.Abs() > k.settings.MaxStep {
		k.stepped(step, now, last)
	}
}

// stepped: what was certified before the step cannot be taken back; somebody must know which side of it was right.
func (k *Keeper) stepped(step time.Duration, now, last clock.Pair) {
	direction := "forward"
	if step < 0 {
		direction = "backward"
	}
	k.o.Metrics.Count(metrics.ClockSteps, direction)
	attributes := []any{slog.Duration("by", step), slog.Time("before", last.Wall), slog.Time("after", now.Wall)}
	if !k.settings.Defer {
		k.o.Log.Warn("the clock of this host was set", attributes...)
		return
	}
	k.o.Metrics.Count(metrics.Alarms, "clock")
	k.o.Log.Error("the clock of this host was set: what was certified just before has the old time",
		append(attributes, slog.Bool("alarm", true))...)
}
