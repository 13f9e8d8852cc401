package app

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/ceralacca/ceralacca/internal/admin"
	"github.com/ceralacca/ceralacca/internal/config"
	"github.com/ceralacca/ceralacca/internal/directory"
	"github.com/ceralacca/ceralacca/internal/effect"
	"github.com/ceralacca/ceralacca/internal/events"
	"github.com/ceralacca/ceralacca/internal/fsx"
	"github.com/ceralacca/ceralacca/internal/metrics"
	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/internal/timesync"
	"github.com/ceralacca/ceralacca/lda"
	"github.com/ceralacca/ceralacca/plugins"
)

// Agent runs the delivery point until ctx ends; then it finishes what is in hand.
func Agent(ctx context.Context, path string, d Deps) error {
	w := &agentWorld{deps: d, metrics: metrics.New()}
	w.plugins = newPlugHost(d, w.metrics, func(c *config.Config) config.Endpoint { return c.Agent.AdminSocket },
		plugins.KindConservation, plugins.KindNotification, plugins.KindKey)
	from := loader{deps: d, plugins: w.plugins, keepDirectory: true}
	p, err := from.load(ctx, path, nil)
	if err != nil {
		return err
	}
	defer w.plugins.close()
	w.plugins.swap(p.set)
	w.parts.Store(p)
	w.time = newKeeper(p.config, d, w.metrics)
	if err := w.open(ctx, p.config); err != nil {
		return err
	}
	defer w.close()
	agent, err := lda.New(w.options())
	if err != nil {
		return err
	}
	w.events = newEventing(context.WithoutCancel(ctx), w.queue, w.metrics)
	defer w.events.close() // what the last transactions recorded is known by then
	w.events.swap(p.set)
	watching := newWatcher(ctx, d, w.metrics)
	watching.start(p)
	defer watching.stop()
	go reloads(ctx, d, func() error {
		fresh, err := from.load(ctx, path, w.parts.Load())
		if err != nil {
			return err
		}
		if err := w.reload(agent, fresh); err != nil {
			return err
		}
		watching.start(fresh)
		return nil
	})
	return w.serve(ctx, agent)
}

// reload starts what is new, before what is old ends.
func (w *agentWorld) reload(agent *lda.Agent, fresh *parts) error {
	if err := agent.Reload(fresh.config, fresh.key, fresh.mailboxes); err != nil {
		w.plugins.drop(fresh.set)
		return err
	}
	w.parts.Store(fresh)
	w.time.Use(timeSettings(fresh.config))
	w.events.swap(fresh.set)
	w.plugins.swap(fresh.set)
	return nil
}

// agentWorld is what the agent has open.
type agentWorld struct {
	deps    Deps
	metrics *metrics.Metrics
	parts   atomic.Pointer[parts]
	store   store.Store
	syncer  *fsx.Syncer
	queue   *events.Queue
	plugins *plugHost
	events  *eventing
	time    *timesync.Keeper
}

// open opens the store, whose only opener the agent is, the events in it, and the file systems of the queues.
func (w *agentWorld) open(ctx context.Context, c *config.Config) error {
	if err := fsx.Folder(c.Agent.State, 0o700); err != nil {
		return err
	}
	var options []fsx.SyncerOption
	if w.deps.Syncfs != nil {
		options = append(options, fsx.SystemCall(w.deps.Syncfs))
	}
	var err error
	if w.syncer, err = fsx.NewSyncer(c.Agent.QueueDirectory, options...); err != nil {
		return err
	}
	w.store, err = store.Open(StoreFile(c), store.OnCommit(func(updates int) {
		w.metrics.Count(metrics.Commits, "all")
		w.metrics.Add(metrics.Updates, "all", updates)
		w.queue.Committed()
	}))
	if err != nil {
		return errors.Join(err, w.syncer.Close())
	}
	w.queue, err = events.Open(ctx, w.store, filepath.Join(c.Agent.State, "events"), w.deps.Clock, w.deps.Log)
	if err != nil {
		return errors.Join(err, w.store.Close(), w.syncer.Close())
	}
	return nil
}

func (w *agentWorld) close() {
	if err := errors.Join(w.store.Close(), w.syncer.Close()); err != nil {
		w.deps.Log.Error("closing the store", slog.Any("error", err))
	}
}

func (w *agentWorld) options() lda.Options {
	p, d := w.parts.Load(), w.deps
	return lda.Options{
		Config: p.config, Key: p.key, HMAC: p.hmac, Mailboxes: p.mailboxes,
		Directory: func() lda.Directory { return w.parts.Load().directory.Current() },
		Store:     w.store, Register: effect.New(w.store, d.Clock, d.Probe), Syncer: w.syncer,
		Clock: d.Clock, ClockSound: w.time.Sound, Log: d.Log, Metrics: w.metrics, Events: w.queue, Spool: spool(),
	}
}

// spool is where long messages lie while they are in hand, in files without a name: a folder on disk.
func spool() string {
	if dir := os.Getenv("TMPDIR"); dir != "" {
		return dir
	}
	return "/var/tmp"
}

// configuration is the one in use.
func (w *agentWorld) configuration() *config.Config { return w.parts.Load().config }

// serve runs all doors of the agent; when one fails all end.
func (w *agentWorld) serve(ctx context.Context, agent *lda.Agent) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c := w.configuration()
	questions, err := admin.Listen(c.Agent.AdminSocket.Address)
	if err != nil {
		return err
	}
	doors := []func() error{
		func() error { return agent.Serve(ctx) },
		func() error {
			answers := newRecords(w.store, w.queue, w.deps.Clock, w.configuration)
			answers.directory = func() *directory.Loader { return w.parts.Load().directory }
			return admin.Serve(ctx, questions, answers, w.deps.Log)
		},
	}
	policies, err := w.openTLSPolicy(ctx, c)
	if err != nil {
		return errors.Join(err, questions.Close())
	}
	if policies != nil {
		doors = append(doors, policies)
	}
	if c.Agent.Metrics != "" {
		scrapes, err := metrics.Listen(c.Agent.Metrics)
		if err != nil {
			return errors.Join(err, questions.Close())
		}
		doors = append(doors, func() error { return w.metrics.Serve(ctx, scrapes) })
	}
	w.deps.Log.Info("agent started", slog.String("provider", c.Provider.Name))
	failures := make([]error, len(doors))
	var running sync.WaitGroup
	running.Go(func() { w.measure(ctx) })
	running.Go(func() { w.time.Run(ctx) })
	running.Go(func() { w.watchExchangers(ctx) })
	for i, door := range doors {
		running.Go(func() {
			defer cancel()
			failures[i] = door()
		})
	}
	running.Wait()
	return errors.Join(failures...)
}
