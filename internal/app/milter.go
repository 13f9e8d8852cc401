package app

import (
	"context"
	"log/slog"
	"sync"

	"github.com/ceralacca/ceralacca/milter"
)

// Milter runs the access point and the incoming point until ctx ends; then it lets transactions in hand end.
func Milter(ctx context.Context, path string, d Deps) error {
	p, err := load(ctx, path, d, false, nil)
	if err != nil {
		return err
	}
	m, err := milter.New(milterOptions(p, d))
	if err != nil {
		return err
	}
	watching := newWatcher(ctx, d)
	watching.start(p)
	defer watching.stop()
	go reloads(ctx, d, func() error {
		fresh, err := load(ctx, path, d, false, p)
		if err != nil {
			return err
		}
		if err := m.Reload(milterOptions(fresh, d)); err != nil {
			return err
		}
		watching.start(fresh)
		return nil
	})
	d.Log.Info("milter started", slog.String("provider", p.config.Provider.Name))
	return m.Serve(ctx)
}

// milterOptions has no metrics: the configuration gives the milter no address for them. What it decides stands in its
// log and, message by message, in what the agent does with it.
func milterOptions(p *parts, d Deps) milter.Options {
	return milter.Options{
		Config: p.config, Senders: p.senders, Key: p.key, HMAC: p.hmac,
		Directory: func() milter.Directory { return p.directory.Current() },
		Verifier:  p.verifier(), Mailboxes: p.mailboxes,
		Clock: d.Clock, Random: d.Random, Log: d.Log,
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
	ctx  context.Context
	deps Deps
	mu   sync.Mutex
	end  context.CancelFunc
}

func newWatcher(ctx context.Context, d Deps) *watcher {
	return &watcher{ctx: ctx, deps: d, end: func() {}}
}

func (w *watcher) start(p *parts) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.end()
	ctx, cancel := context.WithCancel(w.ctx)
	w.end = cancel
	go p.watch(ctx, w.deps)
}

func (w *watcher) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.end()
}
