package clock

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Sync is what the kernel says of the machine's clock.
type Sync struct {
	// Synchronised says that somebody keeps the clock, and has told the kernel so in the last hours.
	Synchronised bool
	// MaxError is how far the clock may be from UTC: what the time server may be wrong by, and 500 ppm since it was asked.
	MaxError time.Duration
	// EstimatedError is how far it probably is.
	EstimatedError time.Duration
}

// KernelSync asks the kernel, by adjtimex(2), which changes nothing and needs no right. Whoever calls may be forbidden the
// system call all the same, by a filter as systemd's ProtectClock= is one; that is an error.
func KernelSync() (Sync, error) {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return Sync{}, fmt.Errorf("adjtimex: %w", err)
	}
	return Sync{
		Synchronised: state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0,
		MaxError:     time.Duration(t.Maxerror) * time.Microsecond, EstimatedError: time.Duration(t.Esterror) * time.Microsecond,
	}, nil
}

// Pair is one moment by two clocks: what the host calls it, and how long the host has been running. When they do not
// advance alike, somebody has set the first.
type Pair struct {
	Wall   time.Time
	Uptime time.Duration // time asleep included
}

// Read reads both clocks of the host. It fails only where the kernel lacks one of them.
func Read() (Pair, error) {
	var wall, up unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_REALTIME, &wall); err != nil {
		return Pair{}, fmt.Errorf("clock_gettime: %w", err)
	}
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &up); err != nil {
		return Pair{}, fmt.Errorf("clock_gettime: %w", err)
	}
	return Pair{time.Unix(wall.Unix()), time.Duration(up.Nano())}, nil
}

// Step is by how much the wall clock was set between two moments: forward when positive. A clock that is slewed, which
// chrony and ntpd do within their limits, makes small ones.
func (p Pair) Step(earlier Pair) time.Duration {
	return p.Wall.Sub(earlier.Wall) - (p.Uptime - earlier.Uptime)
}
