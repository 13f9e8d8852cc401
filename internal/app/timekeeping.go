package app

import (
	"github.com/ceralacca/ceralacca/internal/config"
	"github.com/ceralacca/ceralacca/internal/metrics"
	"github.com/ceralacca/ceralacca/internal/timesync"
)

// newKeeper watches the clock for a daemon. A clock that nobody keeps yet does not stop its start, as a missing directory
// does: at boot the time comes by itself, and mail waits for it.
func newKeeper(c *config.Config, d Deps, m *metrics.Metrics) *timesync.Keeper {
	return timesync.New(timeSettings(c), timesync.Options{Sync: d.Sync, Clock: d.Clock, Log: d.Log, Metrics: m})
}

func timeSettings(c *config.Config) timesync.Settings {
	return timesync.Settings{
		Defer: c.Time.Unsynchronised != config.UnsynchronisedWarn, MaxError: c.Time.MaxError, MaxStep: c.Time.MaxStep,
	}
}
