package app

import (
	"context"
	"path/filepath"
	"reflect"
	"slices"
	"sync"

	"github.com/ceralacca/ceralacca/internal/config"
	"github.com/ceralacca/ceralacca/internal/metrics"
	"github.com/ceralacca/ceralacca/plugins"
	"github.com/ceralacca/ceralacca/plugins/host"
)

// hosted is a plug-in that runs, and the section that it was started from.
type hosted struct {
	section    config.Plugin
	supervisor *host.Supervisor
}

// pluginSet are the plug-ins that run for one configuration. It is not changed after it was made.
type pluginSet struct {
	all   []hosted
	calls sync.WaitGroup // those under way
}

// of are the plug-ins of a kind.
func (s *pluginSet) of(kind plugins.Kind) []hosted {
	return slices.DeleteFunc(slices.Clone(s.all), func(h hosted) bool { return h.supervisor.Description().Kind != kind })
}

// plugHost starts the plug-ins of a daemon and swaps them when the configuration changes. It is safe for concurrent use.
type plugHost struct {
	kinds   []plugins.Kind                       // that the daemon uses
	socket  func(*config.Config) config.Endpoint // in whose folder they have theirs
	metrics *metrics.Metrics
	deps    Deps

	mu      sync.Mutex
	current *pluginSet
	closed  bool
}

func newPlugHost(d Deps, m *metrics.Metrics, socket func(*config.Config) config.Endpoint, kinds ...plugins.Kind) *plugHost {
	return &plugHost{kinds: kinds, socket: socket, metrics: m, deps: d, current: &pluginSet{}}
}

// prepare starts what p wants and does not run yet. On an error nothing has changed; otherwise the set waits for
// [plugHost.swap].
func (h *plugHost) prepare(ctx context.Context, p *parts) (*pluginSet, error) {
	set := &pluginSet{}
	for _, section := range p.config.Plugins {
		kind := p.described[section.Name].Kind
		if !slices.Contains(h.kinds, kind) || kind == plugins.KindKey && section.Name != p.config.Key.Plugin {
			continue
		}
		one, err := h.keepOrStart(ctx, p, section)
		if err != nil {
			h.drop(set)
			return nil, config.Faults{pluginFault(p.config, section, err)}
		}
		set.all = append(set.all, one)
	}
	return set, nil
}

func (h *plugHost) keepOrStart(ctx context.Context, p *parts, section config.Plugin) (hosted, error) {
	for _, running := range h.now().all {
		if reflect.DeepEqual(running.section, section) {
			return running, nil
		}
	}
	s, err := host.New(ctx, host.Options{
		Name: section.Name, Program: Program(section), Kind: p.described[section.Name].Kind, Config: section.Values,
		Deadline: section.Deadline, Concurrency: section.Concurrency, RunDir: filepath.Dir(h.socket(p.config).Address),
		SpoolDir: spool(), HostVersion: version(),
		Clock: h.deps.Clock, Log: h.deps.Log, Metrics: h.metrics,
	})
	return hosted{section, s}, err
}

// swap makes a set the current one, and stops what it does not share with the old one once the calls in hand are done.
func (h *plugHost) swap(fresh *pluginSet) {
	h.mu.Lock()
	old := h.current
	if h.closed {
		old, fresh = fresh, old // nobody uses it
	}
	h.current = fresh
	h.mu.Unlock()
	old.calls.Wait()
	h.stop(old, fresh)
}

// close stops all, and whatever a reload that is under way is about to bring.
func (h *plugHost) close() {
	h.mu.Lock()
	old := h.current
	h.current, h.closed = &pluginSet{}, true
	h.mu.Unlock()
	old.calls.Wait()
	h.stop(old, &pluginSet{})
}

// stop stops what is in a set and not in the other, and sets its numbers right: the two may have one by the same name.
func (h *plugHost) stop(set, but *pluginSet) {
	for _, one := range set.all {
		shared := func(other hosted) bool { return other.supervisor == one.supervisor }
		if slices.ContainsFunc(but.all, shared) {
			continue
		}
		one.supervisor.Stop()
		namesake := slices.IndexFunc(but.all, func(other hosted) bool { return other.section.Name == one.section.Name })
		if namesake < 0 {
			h.metrics.PluginGone(one.section.Name)
		} else {
			h.metrics.PluginUp(one.section.Name, but.all[namesake].supervisor.Current() != nil)
		}
	}
}

func (h *plugHost) now() *pluginSet {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.current
}

// drop stops what a set that was prepared for nothing has of its own.
func (h *plugHost) drop(set *pluginSet) { h.stop(set, h.now()) }

// use gives the current set for one call; the caller says when that is done.
func (h *plugHost) use() (set *pluginSet, done func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.current.calls.Add(1)
	return h.current, h.current.calls.Done
}
