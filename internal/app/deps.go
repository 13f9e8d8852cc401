package app

import (
	"crypto/rand"
	"io"
	"log/slog"
	"os"

	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/internal/effect"
	"github.com/ceralacca/ceralacca/internal/mxcheck"
)

// Deps are what a daemon takes from the outside and a test replaces.
type Deps struct {
	Clock  clock.Clock
	Random io.Reader
	Log    *slog.Logger
	// Reload delivers a value each time the configuration should be read again; SIGHUP, in production.
	Reload <-chan os.Signal
	// Probe hears of the steps of each effect. Nil in production.
	Probe effect.Probe
	// Sync replaces what the kernel says of the clock. Nil in production.
	Sync func() (clock.Sync, error)
	// Resolver replaces the DNS of the system. Nil in production.
	Resolver mxcheck.Resolver
	// Syncfs replaces the system call. Nil in production.
	Syncfs func(fd int) error
}

// System is what the daemons work with in production, all but Reload. In a lab [LabClock] moves the clock.
func System() Deps {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{ReplaceAttr: withoutTime}))
	return Deps{Clock: theClock(), Random: rand.Reader, Log: log}
}

// withoutTime drops the instant under journald, which stamps every line itself.
func withoutTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey && os.Getenv("JOURNAL_STREAM") != "" {
		return slog.Attr{}
	}
	return a
}
