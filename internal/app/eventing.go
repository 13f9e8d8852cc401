package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/ceralacca/ceralacca/internal/events"
	"github.com/ceralacca/ceralacca/internal/metrics"
	"github.com/ceralacca/ceralacca/plugins"
	"github.com/ceralacca/ceralacca/plugins/host"
)

// tooOld is the age at which an event that waits is an alarm, which comes again each time as much has passed.
const tooOld = time.Hour

// eventing tells the plug-ins of the agent what happened. It is safe for concurrent use.
type eventing struct {
	queue   *events.Queue
	metrics *metrics.Metrics
	ctx     context.Context // of the deliveries

	mu      sync.Mutex
	running []*delivering
	closed  bool
	alarmed map[string]time.Time // by plug-in, when its oldest event was last an alarm
}

// delivering is the delivery to one plug-in.
type delivering struct {
	hosted
	end   context.CancelFunc
	ended chan struct{}
}

func newEventing(ctx context.Context, q *events.Queue, m *metrics.Metrics) *eventing {
	return &eventing{queue: q, metrics: m, ctx: ctx, alarmed: map[string]time.Time{}}
}

// swap tells those of a set from now on. Deliveries to a plug-in that is not in it have ended when it returns: two processes
// of one plug-in must not be told of one mailbox at a time.
func (e *eventing) swap(set *pluginSet) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return // the next start tells them
	}
	told := append(set.of(plugins.KindConservation), set.of(plugins.KindNotification)...)
	subscriptions := make([]events.Subscription, len(told))
	for i, one := range told {
		subscriptions[i] = subscription(one)
	}
	e.queue.Subscribe(subscriptions)
	var kept []*delivering
	var leaving []*delivering
	for _, d := range e.running {
		if slices.ContainsFunc(told, func(one hosted) bool { return one.supervisor == d.supervisor }) {
			kept = append(kept, d)
			continue
		}
		d.end()
		leaving = append(leaving, d)
	}
	for _, d := range leaving {
		<-d.ended
	}
	for _, one := range told {
		if !slices.ContainsFunc(kept, func(d *delivering) bool { return d.supervisor == one.supervisor }) {
			kept = append(kept, e.start(one))
		}
	}
	e.running = kept
}

func (e *eventing) start(one hosted) *delivering {
	ctx, cancel := context.WithCancel(e.ctx)
	d := &delivering{hosted: one, end: cancel, ended: make(chan struct{})}
	go func() {
		defer close(d.ended)
		e.queue.Run(ctx, one.section.Name, counting{subscriber(one.supervisor), e.metrics}, one.section.Concurrency)
	}()
	return d
}

// close ends all deliveries. What is prepared later is recorded as before, for the next start.
func (e *eventing) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	for _, d := range e.running {
		d.end()
	}
	for _, d := range e.running {
		<-d.ended
	}
	e.running = nil
}

// subscription is what a plug-in says that it must see.
func subscription(one hosted) events.Subscription {
	needs := one.supervisor.Description().Needs
	return events.Subscription{Name: one.section.Name, Metadata: slices.Contains(needs, plugins.NeedMetadata),
		Headers: slices.Contains(needs, plugins.NeedHeaders), Content: slices.Contains(needs, plugins.NeedContent)}
}

func subscriber(s *host.Supervisor) events.Subscriber {
	if s.Description().Kind == plugins.KindConservation {
		return depositor{s}
	}
	return notifier{s}
}

// counting counts what is refused for good, as an alarm.
type counting struct {
	events.Subscriber
	metrics *metrics.Metrics
}

// Deliver implements events.Subscriber.
func (c counting) Deliver(ctx context.Context, e events.Event, content events.Content) (events.Outcome, string, error) {
	outcome, reason, err := c.Subscriber.Deliver(ctx, e, content)
	if err == nil && outcome == events.Refused {
		c.metrics.Count(metrics.Alarms, "events")
	}
	return outcome, reason, err
}

// depositor deposits what an event is about.
type depositor struct{ *host.Supervisor }

var _ events.Subscriber = depositor{}

// Deliver implements events.Subscriber.
func (d depositor) Deliver(ctx context.Context, e events.Event, c events.Content) (events.Outcome, string, error) {
	if c.ReaderAt == nil {
		return events.Refused, "it was recorded for a plug-in that did not need the content", nil
	}
	effect, err := host.Conservation{Supervisor: d.Supervisor}.Deposit(ctx, plugins.Bundle{
		Key: e.Key, Mailbox: e.Mailbox.String(), Event: string(e.Name), Size: c.Size, SHA256: c.SHA256,
		MediaType: "message/rfc822", Time: e.Time.Unix(),
	}, host.Content{ReaderAt: c, Size: c.Size, Metadata: metadataOf(e)})
	return outcomeOf(effect, err)
}

// notifier tells of an event.
type notifier struct{ *host.Supervisor }

var _ events.Subscriber = notifier{}

// Deliver implements events.Subscriber.
func (n notifier) Deliver(ctx context.Context, e events.Event, c events.Content) (events.Outcome, string, error) {
	effect, err := host.Notification{Supervisor: n.Supervisor}.Notify(ctx, plugins.Event{
		Key: e.Key, Mailbox: e.Mailbox.String(), Name: string(e.Name), Time: e.Time.Unix(), Metadata: metadataOf(e),
		Headers: c.Headers,
	})
	return outcomeOf(effect, err)
}

func metadataOf(e events.Event) plugins.Metadata {
	return plugins.Metadata{Identifier: string(e.Identifier), Transaction: e.Transaction, Point: "delivery", Sender: e.Sender,
		Recipients: e.Recipients}
}

func outcomeOf(effect plugins.Effect, err error) (events.Outcome, string, error) {
	switch {
	case errors.Is(err, host.ErrAbsent):
		return 0, "", fmt.Errorf("%w: %w", events.ErrNotAsked, err)
	case err != nil:
		return 0, "", err
	case effect.Outcome == plugins.Done:
		return events.Done, "", nil
	case effect.Outcome == plugins.Refused:
		return events.Refused, effect.Reason, nil
	}
	return events.Later, effect.Reason, nil
}

// measureEvents sets the numbers of what waits, and raises the alarm for what waits too long: also for a plug-in that is no
// longer in the configuration, whose events nobody will ever take.
func (w *agentWorld) measureEvents(backlogs map[string]events.Backlog) {
	now := w.deps.Clock.Now()
	configured := map[string]bool{}
	for _, p := range w.configuration().Plugins {
		configured[p.Name] = true
		if _, waits := backlogs[p.Name]; !waits && w.parts.Load().told(p.Name) {
			backlogs[p.Name] = events.Backlog{Plugin: p.Name}
		}
	}
	for name, b := range backlogs {
		age := time.Duration(0)
		if !b.Oldest.IsZero() {
			age = max(now.Sub(b.Oldest), 0)
		}
		w.metrics.PluginEvents(name, b.Waiting, b.Refused, age)
		if age < tooOld || !w.events.alarm(name, now) {
			continue
		}
		w.metrics.Count(metrics.Alarms, "events")
		w.deps.Log.Error("events wait for a plug-in; ceralacca plugin events lists them", slog.Bool("alarm", true),
			slog.String("plugin", name), slog.Int("waiting", b.Waiting), slog.Duration("age", age.Round(time.Second)),
			slog.Bool("configured", configured[name]))
	}
}

// alarm says whether it is time for one.
func (e *eventing) alarm(plugin string, now time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if last, before := e.alarmed[plugin]; before && now.Sub(last) < tooOld {
		return false
	}
	e.alarmed[plugin] = now
	return true
}

// told says whether a plug-in of the configuration is told of events.
func (p *parts) told(name string) bool {
	kind := p.described[name].Kind
	return kind == plugins.KindConservation || kind == plugins.KindNotification
}
