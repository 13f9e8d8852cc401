package revocation

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/internal/metrics"
	"github.com/ceralacca/ceralacca/signer"
)

// Options say what is fetched, and for whom. All but those said to be optional MUST be set.
type Options struct {
	// URLs are fetched whatever certificates say: http or https. They may be none.
	URLs []string
	// Certificates returns those whose distribution points are followed, as they stand; nil follows none. It MUST be safe for
	// concurrent use.
	Certificates func() []*x509.Certificate
	// Cache is the folder where lists are kept. Several processes may share it.
	Cache string
	// Every is how long a list is believed to be the newest. [C113]
	Every time.Duration
	// Roots are the authorities of servers of https; nil are those that the system trusts.
	Roots *x509.CertPool
	Trust *signer.Trust
	Clock clock.Clock
	Log   *slog.Logger
	// Metrics is optional.
	Metrics *metrics.Metrics
}

// Fetcher keeps the lists of a Trust fresh. It is safe for concurrent use.
type Fetcher struct {
	o      Options
	client *http.Client

	mu      sync.Mutex
	sources map[string]*source // by URL
	told    map[string]bool    // URLs that are not followed, once that is said
}

// source is a place where a list is. Its fields belong to the mutex of the Fetcher, but for those that only the one that
// fetches it touches.
type source struct {
	url     string
	busy    bool
	next    time.Time // when it is fetched again
	checked time.Time // when it was last reached and had nothing wrong
	ends    time.Time // of its list
	trouble trouble

	lasts             time.Duration // of its list, from thisUpdate to nextUpdate
	etag, lastChanged string        // of the list in use
}

// New makes a Fetcher, which fetches nothing yet.
func New(o Options) *Fetcher {
	return &Fetcher{o: o, client: newClient(o.Roots), sources: map[string]*source{}, told: map[string]bool{}}
}

// State is how the fetching from one place goes.
type State struct {
	URL     string
	Checked time.Time // when it was last reached and had nothing wrong; zero is never
	Err     error     // of the last attempt; nil when it went well
}

// State lists the places in the order of their URLs.
func (f *Fetcher) State() []State {
	f.mu.Lock()
	defer f.mu.Unlock()
	states := make([]State, 0, len(f.sources))
	for _, url := range slices.Sorted(maps.Keys(f.sources)) {
		s := f.sources[url]
		states = append(states, State{URL: url, Checked: s.checked, Err: s.trouble.err})
	}
	return states
}

// Fetch fetches all that is due now, and returns when all of it is here, or has failed, or ctx ends. Failures are logged, and
// in the State.
func (f *Fetcher) Fetch(ctx context.Context) {
	var running sync.WaitGroup
	f.begin(ctx, &running)
	running.Wait()
}

// tick is how often a Fetcher looks whether something is due, if it has time.
const tick = 10 * time.Second

// Run fetches what is due until ctx ends, and returns its error. A place that is slow keeps no other waiting. [C113]
func (f *Fetcher) Run(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	for {
		f.begin(ctx, &running)
		f.measure()
		if err := f.o.Clock.Sleep(ctx, min(tick, f.o.Every)); err != nil {
			return err
		}
	}
}

// begin starts to fetch what is due.
func (f *Fetcher) begin(ctx context.Context, running *sync.WaitGroup) {
	for _, s := range f.due(f.o.Clock.Now()) {
		running.Go(func() {
			outcome, err := f.fetch(ctx, s)
			if ctx.Err() == nil {
				f.o.Metrics.Count(metrics.RevocationFetches, outcome)
			}
			f.finish(ctx, s, err)
		})
	}
}

// due marks what is due as busy.
func (f *Fetcher) due(now time.Time) []*source {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.follow()
	var due []*source
	for _, s := range f.sources {
		if !s.busy && !now.Before(s.next) {
			s.busy = true
			due = append(due, s)
		}
	}
	return due
}

// finish plans the next attempt, and says what is to be said of this one.
func (f *Fetcher) finish(ctx context.Context, s *source, err error) {
	now := f.o.Clock.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	s.busy = false
	if ctx.Err() != nil {
		return // we are ending: it is nobody's fault
	}
	if err == nil {
		s.checked = now
	}
	s.next = now.Add(s.wait(now, f.o.Every, err))
	note(ctx, &s.trouble, now, err, report{f.o.Log, f.o.Metrics, "the revocation list is not refreshed; what was known stays", slog.String("url", s.url)})
}

// wait is how long to leave a place alone. A list that ends, or has ended, is looked for sooner; after failures the time grows,
// though never beyond the usual one: a revocation may be waiting. [C113]
func (s *source) wait(now time.Time, every time.Duration, err error) time.Duration {
	const soon = 30 * time.Second
	if err != nil {
		return min(every, soon<<min(s.trouble.times, 20))
	}
	left := s.ends.Sub(now)
	switch early := left - s.lasts/10; {
	case s.ends.IsZero():
		return every
	case left <= 0:
		return min(every, soon)
	case early > 0:
		return min(every, early)
	}
	return min(every, max(left, time.Second))
}

// measure sets the gauge of the place that was reached the longest ago.
func (f *Fetcher) measure() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.sources) == 0 {
		return
	}
	oldest := f.o.Clock.Now()
	for _, s := range f.sources {
		if s.checked.Before(oldest) {
			oldest = s.checked
		}
	}
	if oldest.IsZero() {
		oldest = time.Unix(0, 0)
	}
	f.o.Metrics.Set(metrics.RevocationChecked, float64(oldest.Unix()))
}

// fetch gets one list and offers it. It says what became of it, for the metric.
func (f *Fetcher) fetch(ctx context.Context, s *source) (outcome string, err error) {
	got, err := get(ctx, f.client, s.url, s.etag, s.lastChanged)
	if err != nil {
		return "failed", err
	}
	if got.content == nil {
		return "unchanged", nil
	}
	list, err := f.o.Trust.Offer(got.content, s.url, f.o.Clock.Now())
	if err != nil && !errors.Is(err, signer.ErrSameList) {
		return "refused", err
	}
	s.etag, s.lastChanged = got.etag, got.lastChanged
	f.mu.Lock()
	s.ends, s.lasts = list.NextUpdate, list.NextUpdate.Sub(list.ThisUpdate)
	f.mu.Unlock()
	if err != nil {
		return "unchanged", nil
	}
	f.taken(ctx, s, list, got.content)
	return "taken", nil
}

// taken says what is in use from now on, and keeps it.
func (f *Fetcher) taken(ctx context.Context, s *source, list signer.OfferedList, content []byte) {
	f.o.Log.InfoContext(ctx, "a revocation list is in use", "url", s.url, "issuer", list.Issuer, "this_update", list.ThisUpdate,
		"next_update", list.NextUpdate, "revoked", list.Revoked)
	if list.NumberFell {
		f.o.Log.WarnContext(ctx, "the revocation list is newer and has a lower number: its authority should be asked", "url", s.url)
	}
	if err := f.keep(list.Name, content); err != nil {
		f.o.Metrics.Count(metrics.Alarms, "revocation")
		f.o.Log.ErrorContext(ctx, "a revocation list is in use and cannot be kept: after a restart it is missing until it is fetched",
			"alarm", true, "error", err)
	}
}
