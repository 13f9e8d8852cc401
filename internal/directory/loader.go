package directory

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/internal/metrics"
	"github.com/ceralacca/ceralacca/signer"
)

// Why a directory was not taken; test with [errors.Is]. What is wrong with its signature is an error of package signer.
var (
	// ErrFetch says that the file could not be had.
	ErrFetch = errors.New("directory cannot be fetched")
	// ErrSigner says that whoever signed the file does not chain to the authority of the directory.
	ErrSigner = errors.New("directory is signed by somebody else")
)

// maxFile bounds the signed file, in bytes; that of all providers has less than one MiB.
const maxFile = 16 << 20

// Fresh is how old the last good look at the directory may be before it is an alarm: a day. [C213]
const Fresh = 24 * time.Hour

// firstRetry is the wait after a first failure; it doubles with each, up to the usual one.
const firstRetry = time.Minute

// Options say where the directory comes from and whom to believe. Exactly one of File and URL is not empty.
type Options struct {
	File string // a path
	URL  string // https
	// ClientCert and ClientKey are paths of PEM files, for URL; they are read at each connection. [C223]
	ClientCert, ClientKey string
	URLCA                 string // a path; empty: whom the system trusts
	SignerCA              string // a path, read at each load
	Every                 time.Duration
	// Keep is a folder where every accepted version is kept, or empty. One process at most may have it; another one, with
	// Follow, only reads there, and takes what the first took.
	Keep   string
	Follow bool
	// Before is the loader that a reload replaces, or nil.
	Before *Loader
	// MaxLoss is how many per cent of the records, domains or certificates a new version may lack before it waits for a person.
	MaxLoss int
	// Self says what is wrong with our own record in a version, or nil. A version in which it gets wrong waits for a person.
	// Nil: nothing is asked.
	Self    func(*Snapshot) error
	Clock   clock.Clock
	Log     *slog.Logger
	Metrics *metrics.Metrics
}

// State is how the loading goes, for metrics and alarms.
type State struct {
	Digest    [sha256.Size]byte // of the signed file in use
	Accepted  time.Time         // when it was taken
	Checked   time.Time         // when its source was last reached and had nothing wrong; of a file, when it was last put there
	Providers int
	Problems  int      // what is left out of it
	Err       error    // of the last attempt, nil when it went well
	Waiting   *Waiting // what a person must accept, or nil; it MUST NOT be changed
}

// source has the signed file. fetch returns nothing and no error when it has not changed since the last one that was
// accepted.
type source interface {
	fetch(ctx context.Context) ([]byte, error)
	accepted() // what was fetched last is in use
	// fresh is until when what was fetched last is known to be what is published.
	fresh(now time.Time) time.Time
}

// Loader has the directory and keeps it fresh. It is safe for concurrent use.
type Loader struct {
	options Options
	source  source

	current atomic.Pointer[Snapshot]

	loading sync.Mutex // one at a time
	mu      sync.Mutex // of state and alarmed
	state   State
	alarmed map[string]bool // what was said since all was well
}

// Load reads the directory for the first time; without one there is no Loader. What was in use before stays so when what
// is published now must wait for a person. [C211] [C223] [C224]
func Load(ctx context.Context, o Options) (*Loader, error) {
	l := &Loader{options: o, alarmed: map[string]bool{}}
	switch {
	case (o.File == "") == (o.URL == ""):
		return nil, errors.New("directory: one of file and URL is needed")
	case o.File != "":
		l.source = &fileSource{path: o.File}
	default:
		web, err := newWebSource(&o)
		if err != nil {
			return nil, err
		}
		l.source = web
	}
	l.adopt(ctx)
	if err := l.Refresh(ctx); err != nil && !errors.Is(err, ErrWaiting) && !l.away(err) {
		return nil, err
	}
	return l, nil
}

// away: the server cannot be reached that the loader before, which this one replaces, asked in the same way. What was in use
// stays so, as it would without a reload. A start, and other settings, need an answer.
func (l *Loader) away(err error) bool {
	before := l.options.Before
	if before == nil || l.options.URL == "" || !errors.Is(err, ErrFetch) {
		return false
	}
	source := func(o *Options) [5]string { return [5]string{o.URL, o.URLCA, o.ClientCert, o.ClientKey, o.SignerCA} }
	return source(&l.options) == source(&before.options)
}

// Current is the directory in use, never nil.
func (l *Loader) Current() *Snapshot { return l.current.Load() }

// State is how the last attempt went.
func (l *Loader) State() State {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state
}

// Run refreshes every so often until ctx ends, and returns its error. After a failure it tries again sooner.
func (l *Loader) Run(ctx context.Context) error {
	failures := 0
	if errors.Is(l.State().Err, ErrFetch) { // at the reload
		failures = 1
	}
	for {
		if err := l.rest(ctx, l.pause(failures)); err != nil {
			return err
		}
		err := l.Refresh(ctx) // logged, and in the state
		if failures++; err == nil || errors.Is(err, ErrWaiting) {
			failures = 0
		}
	}
}

// pause is how long to wait after so many failures in a row.
func (l *Loader) pause(failures int) time.Duration {
	if failures == 0 || failures > 16 {
		return l.options.Every
	}
	return min(l.options.Every, firstRetry<<(failures-1))
}

// rest sleeps, and sees meanwhile what another process accepts.
func (l *Loader) rest(ctx context.Context, left time.Duration) error {
	for left > 0 {
		step := left
		if l.options.Follow {
			step = min(left, followEvery)
		}
		if err := l.options.Clock.Sleep(ctx, step); err != nil {
			return err
		}
		if left -= step; l.options.Follow {
			l.follow(ctx)
		}
	}
	return nil
}

// Refresh takes the directory from its source if it has changed there. When that fails the one in use stays, and the
// failure is logged as an error. An error that waiting does not mend is an alarm at once, another when the last good look is
// a day old. [C213]
func (l *Loader) Refresh(ctx context.Context) error {
	l.loading.Lock()
	defer l.loading.Unlock()
	err := l.refresh(ctx)
	now := l.options.Clock.Now()
	if err == nil {
		l.good(l.source.fresh(now), now)
	}
	l.mu.Lock()
	l.state.Err = err
	state := l.state
	l.mu.Unlock()
	if ctx.Err() == nil && l.current.Load() != nil {
		l.complain(ctx, err, state)
		l.checkAge(ctx, state.Checked, now)
	}
	return err
}

// complain says of a failed attempt what a person must know.
func (l *Loader) complain(ctx context.Context, err error, state State) {
	said := false
	switch {
	case err == nil:
		return
	case errors.Is(err, ErrWaiting):
		said = l.alarm(ctx, fmt.Sprintf("waiting %x", state.Waiting.Digest), err.Error(), "changes", few(state.Waiting.Changes))
	case !errors.Is(err, ErrFetch):
		said = l.alarm(ctx, "wrong", "the directory is not as it should be, the old one stays in use", "error", err, "accepted", state.Accepted)
	}
	if !said {
		l.options.Log.ErrorContext(ctx, "the directory is not refreshed, the old one stays in use", "error", err, "accepted", state.Accepted)
	}
}

// checkAge raises the alarm for each day that the last good look is old. [C213]
func (l *Loader) checkAge(ctx context.Context, checked, now time.Time) {
	if age := now.Sub(checked); age > Fresh {
		l.alarm(ctx, fmt.Sprint("old ", int64(age/Fresh)), "the copy of the directory is older than a day", "checked", checked)
	}
}

// good notes that what is in use was what is published at an instant, and ends the alarms when that is not long ago.
func (l *Loader) good(at, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state.Checked, l.state.Err = at, nil
	if now.Sub(at) <= Fresh {
		clear(l.alarmed)
	}
}

// alarm says what a person must look at, once for each what until all is well again, and whether it did.
func (l *Loader) alarm(ctx context.Context, what, text string, more ...any) bool {
	l.mu.Lock()
	said := l.alarmed[what]
	l.alarmed[what] = true
	l.mu.Unlock()
	if said {
		return false
	}
	l.options.Metrics.Count(metrics.Alarms, "directory")
	l.options.Log.ErrorContext(ctx, text, append([]any{"alarm", true}, more...)...)
	return true
}

func (l *Loader) refresh(ctx context.Context) error {
	l.catchUp(ctx)
	file, err := l.source.fetch(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFetch, err)
	}
	digest := sha256.Sum256(file)
	if file == nil || l.current.Load() != nil && digest == l.State().Digest {
		l.source.accepted()
		l.settle()
		return nil
	}
	snapshot, err := l.open(file, l.options.Clock.Now())
	if err != nil {
		return fmt.Errorf("%s: %w", cmp.Or(l.options.File, l.options.URL), err)
	}
	if l.current.Load() == nil {
		if err := l.self(snapshot); err != nil { // it is not for us, and not to be kept
			return err
		}
	}
	if loss, reasons := l.judge(snapshot); len(reasons) > 0 {
		return l.hold(&Waiting{Digest: digest, Reasons: reasons, Changes: snapshot.Changes(l.current.Load()), Loss: loss,
			file: file, snapshot: snapshot})
	}
	instant, err := l.keep(file, digest)
	if err != nil {
		return err
	}
	l.take(ctx, snapshot, digest, instant)
	l.source.accepted()
	l.settle()
	return nil
}

// open proves a signed file and reads it, as of an instant.
func (l *Loader) open(file []byte, at time.Time) (*Snapshot, error) {
	content, by, certs, err := signer.OpenAttached(file)
	if err != nil {
		return nil, fmt.Errorf("directory: %w", err)
	}
	if err := l.checkSigner(by, certs, at); err != nil {
		return nil, err
	}
	return Parse(content)
}

// checkSigner: the directory is believed for whoever its authority vouches for, on that day.
func (l *Loader) checkSigner(by *x509.Certificate, certs []*x509.Certificate, at time.Time) error {
	roots, err := readPool(l.options.SignerCA)
	if err != nil {
		return err
	}
	others := x509.NewCertPool()
	for _, cert := range certs {
		others.AddCert(cert)
	}
	_, err = by.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: others, CurrentTime: at,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return fmt.Errorf("%w: %q: %w", ErrSigner, by.Subject, err)
	}
	return nil
}

func readPool(path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("directory: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("directory: %s: no certificate in it", path)
	}
	return pool, nil
}

// take puts a snapshot in use, which it is since an instant, and says what is other.
func (l *Loader) take(ctx context.Context, s *Snapshot, digest [sha256.Size]byte, since time.Time) {
	changes := s.Changes(l.current.Load())
	l.current.Store(s)
	l.mu.Lock()
	l.state.Digest, l.state.Accepted = digest, since
	l.state.Providers, l.state.Problems = len(s.providers), len(s.problems)
	l.mu.Unlock()
	l.options.Log.InfoContext(ctx, "a directory is in use", "providers", len(s.providers), "domains", len(s.byDomain),
		"sha256", fmt.Sprintf("%x", digest), "changes", few(changes))
	for _, problem := range few(s.problems) {
		l.alarm(ctx, problem, "the directory has a fault", "problem", problem)
	}
}

// mostSaid is how many changes or problems go into the log at a time.
const mostSaid = 50

// few is the beginning of a list that may be long.
func few(list []string) []string {
	if len(list) <= mostSaid {
		return list
	}
	return append(list[:mostSaid:mostSaid], fmt.Sprintf("and %d more", len(list)-mostSaid))
}
