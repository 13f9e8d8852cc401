package timesync

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/internal/metrics"
	"github.com/ceralacca/ceralacca/internal/reply"
)

// host is a machine whose clock a test sets.
type host struct {
	t       *testing.T
	sync    clock.Sync
	denied  error
	mu      sync.Mutex // of now
	now     clock.Pair
	log     strings.Builder
	metrics *metrics.Metrics
	keeper  *Keeper
}

func kept() clock.Sync { return clock.Sync{Synchronised: true, MaxError: 20 * time.Millisecond} }

func newHost(t *testing.T, s Settings) *host {
	h := &host{t: t, sync: kept(), now: clock.Pair{Wall: time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC), Uptime: time.Hour}, metrics: metrics.New()}
	h.keeper = New(s, Options{
		Sync: func() (clock.Sync, error) { return h.sync, h.denied }, Read: func() (clock.Pair, error) { return h.at(0, 0), nil },
		Clock: clock.System{}, Log: slog.New(slog.NewTextHandler(&h.log, nil)), Metrics: h.metrics,
	})
	return h
}

// at moves the clock on the wall and the other, and returns them.
func (h *host) at(wall, uptime time.Duration) clock.Pair {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now.Wall, h.now.Uptime = h.now.Wall.Add(wall), h.now.Uptime+uptime
	return h.now
}

// pass lets time pass.
func (h *host) pass(wall, uptime time.Duration) {
	h.at(wall, uptime)
	h.keeper.look()
}

// has checks lines of what Prometheus is told.
func (h *host) has(lines ...string) {
	h.t.Helper()
	w := httptest.NewRecorder()
	h.metrics.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, line := range lines {
		if !strings.Contains(w.Body.String(), "\n"+line+"\n") {
			h.t.Errorf("the metrics lack %q", line)
		}
	}
}

func settings() Settings {
	return Settings{Defer: true, MaxError: time.Second, MaxStep: 500 * time.Millisecond}
}

// TestSound: what the kernel says, or that it cannot be asked, decides whether anything may be certified.
func TestSound(t *testing.T) {
	for name, c := range map[string]struct {
		sync   clock.Sync
		denied error
		sound  bool
		says   string
	}{
		"kept":                 {sync: kept(), sound: true},
		"kept, just":           {sync: clock.Sync{Synchronised: true, MaxError: time.Second}, sound: true},
		"nobody keeps it":      {sync: clock.Sync{MaxError: time.Millisecond}, says: "nobody synchronises it"},
		"too uncertain":        {sync: clock.Sync{Synchronised: true, MaxError: 1001 * time.Millisecond}, says: "wrong by 1.001s, and 1s are allowed"},
		"it cannot be asked":   {sync: kept(), denied: errors.New("operation not permitted"), says: "operation not permitted"},
		"nothing at all known": {says: "nobody synchronises it"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, settings())
			h.sync, h.denied = c.sync, c.denied
			err := h.keeper.Sound()
			if (err == nil) != c.sound {
				t.Fatalf("Sound() = %v, want sound: %v", err, c.sound)
			}
			if c.sound {
				h.has("ceralacca_clock_sound 1")
				return
			}
			if !errors.Is(err, ErrUnsound) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("Sound() = %v, want %v that says %q", err, ErrUnsound, c.says)
			}
			if r := reply.For(err, reply.DoorMilter); r.Code != 451 {
				t.Errorf("the peer hears %s, want 451", r)
			}
			h.has("ceralacca_clock_sound 0", `ceralacca_alarms_total{alarm="clock"} 1`)
			h.keeper.Use(Settings{MaxError: time.Second})
			if err := h.keeper.Sound(); err != nil {
				t.Errorf("when that is a warning only: %v, want nothing", err)
			}
			h.has("ceralacca_clock_sound 0")
		})
	}
}

// TestWarnRaisesNoAlarm: who chose a warning gets one, not an alarm.
func TestWarnRaisesNoAlarm(t *testing.T) {
	h := newHost(t, Settings{MaxError: time.Second, MaxStep: time.Second})
	h.sync = clock.Sync{}
	_ = h.keeper.Sound()
	h.pass(0, 0)
	h.pass(time.Hour, time.Second)
	if log := h.log.String(); strings.Contains(log, "alarm=true") || strings.Count(log, "level=WARN") != 2 {
		t.Errorf("got\n%swant two warnings", log)
	}
	h.has(`ceralacca_clock_steps_total{direction="forward"} 1`)
}

// TestAlarmIsRepeated: once when it begins, then every ten minutes; and the end is said too.
func TestAlarmIsRepeated(t *testing.T) {
	h := newHost(t, settings())
	h.sync = clock.Sync{}
	for range 25 * 60 { // seconds
		_ = h.keeper.Sound()
		h.pass(time.Second, time.Second)
	}
	h.has(`ceralacca_alarms_total{alarm="clock"} 3`)
	h.sync = kept()
	_ = h.keeper.Sound()
	_ = h.keeper.Sound()
	if got := strings.Count(h.log.String(), "kept again"); got != 1 {
		t.Errorf("that it is kept again is said %d times, want once", got)
	}
}

// TestSteps: the clock on the wall against the one that nobody sets.
func TestSteps(t *testing.T) {
	for name, c := range map[string]struct {
		wall, uptime time.Duration
		direction    string // of the step, if it is one
	}{
		"a second":                   {time.Second, time.Second, ""},
		"slewed":                     {1001 * time.Millisecond, time.Second, ""},
		"as much as is allowed":      {1500 * time.Millisecond, time.Second, ""},
		"forward":                    {1501 * time.Millisecond, time.Second, "forward"},
		"a year forward":             {365 * 24 * time.Hour, time.Second, "forward"},
		"stopped for a second":       {0, time.Second, "backward"}, // a leap second that is not smeared
		"backward":                   {-time.Hour, time.Second, "backward"},
		"asleep for a day":           {24 * time.Hour, 24 * time.Hour, ""},
		"asleep, and then not right": {25 * time.Hour, 24 * time.Hour, "forward"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, settings())
			h.pass(0, 0)
			h.pass(c.wall, c.uptime)
			h.pass(time.Second, time.Second)
			alarmed := strings.Contains(h.log.String(), "alarm=true")
			if alarmed != (c.direction != "") || strings.Count(h.log.String(), "was set") > 1 {
				t.Fatalf("got %q, want a step %q", h.log.String(), c.direction)
			}
			if c.direction != "" {
				h.has(`ceralacca_clock_steps_total{direction="`+c.direction+`"} 1`, `ceralacca_alarms_total{alarm="clock"} 1`)
			}
		})
	}
}

// TestRun: a daemon that certifies nothing hears of it within seconds, and ends when it is told to.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, settings())
		h.sync = clock.Sync{}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			h.keeper.Run(ctx)
			close(ended)
		}()
		synctest.Wait()
		h.at(time.Hour, 0)
		time.Sleep(2 * every)
		cancel()
		<-ended
		h.has(`ceralacca_alarms_total{alarm="clock"} 2`, `ceralacca_clock_steps_total{direction="forward"} 1`)
	})
}

// TestTheHost: the real kernel can be asked, and its two clocks agree as long as nobody sets one.
func TestTheHost(t *testing.T) {
	if _, err := clock.KernelSync(); err != nil {
		t.Logf("the kernel may not be asked here: %v", err)
	}
	first, err := clock.Read()
	if err != nil {
		t.Fatal(err)
	}
	if away := time.Since(first.Wall).Abs(); away > time.Minute {
		t.Errorf("the clock is %s away from that of the standard library", away)
	}
	time.Sleep(20 * time.Millisecond)
	second, err := clock.Read()
	if err != nil {
		t.Fatal(err)
	}
	if second.Uptime-first.Uptime < 20*time.Millisecond || second.Step(first).Abs() > 10*time.Millisecond {
		t.Errorf("between two looks: %s, and a step of %s", second.Uptime-first.Uptime, second.Step(first))
	}
}
