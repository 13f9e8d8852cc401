package app

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/ceralacca/ceralacca/internal/config"
	"github.com/ceralacca/ceralacca/internal/metrics"
	"github.com/ceralacca/ceralacca/internal/timesync"
	"github.com/ceralacca/ceralacca/milter"
	"github.com/ceralacca/ceralacca/plugins"
)

// Milter runs the access point and the incoming point until ctx ends; then it lets transactions in hand end.
func Milter(ctx context.Context, path string, d Deps) error {
	w := &milterWorld{deps: d, metrics: metrics.New()}
	w.plugins = newPlugHost(d, w.metrics, func(c *config.Config) config.Endpoint { return c.Milter.SubmissionSocket },
		plugins.KindAntivirus, plugins.KindKey)
	from := loader{deps: d, plugins: w.plugins}
	p, err := from.load(ctx, path, nil)
	if err != nil {
		return err
	}
	defer w.plugins.close() // transactions in hand have ended
	w.plugins.swap(p.set)
	w.time = newKeeper(p.config, d, w.metrics)
	m, err := milter.New(w.options(p))
	if err != nil {
		return err
	}
	watching := newWatcher(ctx, d, w.metrics)
	watching.start(p)
	defer watching.stop()
	w.parts.Store(p)
	go reloads(ctx, d, func() error {
		fresh, err := from.load(ctx, path, w.parts.Load())
		if err != nil {
			return err
		}
		if err := m.Reload(w.options(fresh)); err != nil {
			w.plugins.drop(fresh.set)
			return err
		}
		w.time.Use(timeSettings(fresh.config))
		w.plugins.swap(fresh.set) // what is new runs before what is old ends
		w.parts.Store(fresh)
		watching.start(fresh)
		return nil
	})
	return w.serve(ctx, m)
}

// milterWorld is what the milter has beside its sockets.
type milterWorld struct {
	deps    Deps
	metrics *metrics.Metrics
	plugins *plugHost
	time    *timesync.Keeper
	parts   atomic.Pointer[parts]
}

func (w *milterWorld) options(p *parts) milter.Options {
	d := w.deps
	return milter.Options{
		Config: p.config, Senders: p.senders, Key: p.key, HMAC: p.hmac,
		Directory: func() milter.Directory { return p.directory.Current() },
		Verifier:  p.verifier(), Mailboxes: p.mailboxes, Scanner: scanner{w.plugins},
		Clock: d.Clock, ClockSound: w.time.Sound, Random: d.Random, Log: d.Log, Metrics: w.metrics, Spool: spool(),
	}
}

// serve answers Postfix, and scrapes where the configuration says so; when one of them fails, both end.
func (w *milterWorld) serve(ctx context.Context, m *milter.Milter) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c := w.parts.Load().config
	doors := []func() error{func() error { return m.Serve(ctx) }}
	if c.Milter.Metrics != "" {
		scrapes, err := metrics.Listen(c.Milter.Metrics)
		if err != nil {
			return err
		}
		doors = append(doors, func() error { return w.metrics.Serve(ctx, scrapes) })
	}
	w.deps.Log.Info("milter started", slog.String("provider", c.Provider.Name), slog.String("antivirus", w.antivirus()))
	failures := make([]error, len(doors))
	var running sync.WaitGroup
	running.Go(func() { w.measure(ctx) })
	running.Go(func() { w.time.Run(ctx) })
	for i, door := range doors {
		running.Go(func() {
			defer cancel()
			failures[i] = door()
		})
	}
	running.Wait()
	return errors.Join(failures...)
}

// antivirus is who looks for viruses, for the log.
func (w *milterWorld) antivirus() string {
	var names []string
	for _, one := range w.plugins.now().of(plugins.KindAntivirus) {
		names = append(names, one.section.Name)
	}
	if len(names) == 0 {
		return config.AntivirusNone
	}
	return strings.Join(names, ",")
}

// measure keeps the gauges until ctx ends.
func (w *milterWorld) measure(ctx context.Context) {
	for {
		measureParts(w.metrics, w.parts.Load(), w.deps.Clock.Now())
		if w.deps.Clock.Sleep(ctx, measureEvery) != nil {
			return
		}
	}
}

// reloads calls fn for each wish to reload. When it fails the old configuration stays.
func reloads(ctx context.Context, d Deps, fn func() error) {
	for {
		select {
		case <-ctx.Done():
			return
		case _, ok := <-d.Reload:
			if !ok {
				return
			}
			if err := fn(); err != nil {
				d.Log.Error("the configuration was not read again; the old one stays", slog.Any("error", err))
				continue
			}
			d.Log.Info("the configuration was read again")
		}
	}
}

// watcher keeps the parts in use fresh, and lets go of those that a reload replaced.
type watcher struct {
	ctx     context.Context
	deps    Deps
	metrics *metrics.Metrics
	mu      sync.Mutex
	end     context.CancelFunc
}

func newWatcher(ctx context.Context, d Deps, m *metrics.Metrics) *watcher {
	return &watcher{ctx: ctx, deps: d, metrics: m, end: func() {}}
}

func (w *watcher) start(p *parts) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.end()
	ctx, cancel := context.WithCancel(w.ctx)
	w.end = cancel
	go p.watch(ctx, w.deps)
	go p.watchCertificate(ctx, w.deps, w.metrics)
}

func (w *watcher) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.end()
}
