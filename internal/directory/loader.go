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

// Options say where the directory comes from and whom to believe. Exactly one of File and URL is not empty.
type Options struct {
	File string // a path
	URL  string // https
	// ClientCert and ClientKey are paths of PEM files, for URL; they are read at each connection. [C223]
	ClientCert, ClientKey string
	URLCA                 string // a path; empty: whom the system trusts
	SignerCA              string // a path, read at each load
	Every                 time.Duration
	// Keep is a folder where every accepted version is kept, or empty. One process at most may have it.
	Keep  string
	Clock clock.Clock
	Log   *slog.Logger
}

// State is how the loading goes, for metrics and alarms.
type State struct {
	Digest    [sha256.Size]byte // of the signed file in use
	Accepted  time.Time         // when it was taken
	Checked   time.Time         // when its source was last reached and had nothing wrong
	Providers int
	Problems  int   // certificates that are left out
	Err       error // of the last attempt, nil when it went well
}

// source has the signed file. fetch returns nothing and no error when it has not changed since the last one that was
// accepted.
type source interface {
	fetch(ctx context.Context) ([]byte, error)
	accepted() // what was fetched last is in use
}

// Loader has the directory and keeps it fresh. It is safe for concurrent use.
type Loader struct {
	options Options
	source  source

	current atomic.Pointer[Snapshot]

	loading sync.Mutex // one at a time
	mu      sync.Mutex // of state
	state   State
}

// Load reads the directory for the first time; without one there is no Loader. [C211] [C223] [C224]
func Load(ctx context.Context, o Options) (*Loader, error) {
	l := &Loader{options: o}
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
	if err := l.Refresh(ctx); err != nil {
		return nil, err
	}
	return l, nil
}

// Current is the directory in use, never nil.
func (l *Loader) Current() *Snapshot { return l.current.Load() }

// State is how the last attempt went.
func (l *Loader) State() State {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state
}

// Run refreshes every so often until ctx ends, and returns its error.
func (l *Loader) Run(ctx context.Context) error {
	for {
		if err := l.options.Clock.Sleep(ctx, l.options.Every); err != nil {
			return err
		}
		_ = l.Refresh(ctx) // logged, and in the state
	}
}

// Refresh takes the directory from its source if it has changed there. When that fails the one in use stays, and the
// failure is logged as an error, for an alarm.
func (l *Loader) Refresh(ctx context.Context) error {
	l.loading.Lock()
	defer l.loading.Unlock()
	err := l.refresh(ctx)
	now := l.options.Clock.Now()
	l.mu.Lock()
	l.state.Err = err
	if err == nil {
		l.state.Checked = now
	}
	accepted := l.state.Accepted
	l.mu.Unlock()
	if err != nil && !accepted.IsZero() && ctx.Err() == nil {
		l.options.Log.ErrorContext(ctx, "the directory is not refreshed, the old one stays in use",
			"error", err, "accepted", accepted)
	}
	return err
}

func (l *Loader) refresh(ctx context.Context) error {
	file, err := l.source.fetch(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFetch, err)
	}
	digest := sha256.Sum256(file)
	if file == nil || l.current.Load() != nil && digest == l.State().Digest {
		l.source.accepted()
		return nil
	}
	snapshot, err := l.open(file)
	if err != nil {
		return fmt.Errorf("%s: %w", cmp.Or(l.options.File, l.options.URL), err)
	}
	if err := l.keep(file, digest); err != nil {
		return err
	}
	l.take(ctx, snapshot, digest)
	l.source.accepted()
	return nil
}

// open proves a signed file and reads it.
func (l *Loader) open(file []byte) (*Snapshot, error) {
	content, by, certs, err := signer.OpenAttached(file)
	if err != nil {
		return nil, fmt.Errorf("directory: %w", err)
	}
	if err := l.checkSigner(by, certs); err != nil {
		return nil, err
	}
	return Parse(content)
}

// checkSigner: the directory is believed for whoever its authority vouches for, today.
func (l *Loader) checkSigner(by *x509.Certificate, certs []*x509.Certificate) error {
	roots, err := readPool(l.options.SignerCA)
	if err != nil {
		return err
	}
	others := x509.NewCertPool()
	for _, cert := range certs {
		others.AddCert(cert)
	}
	_, err = by.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: others, CurrentTime: l.options.Clock.Now(),
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

// take puts a snapshot in use and says what is other.
func (l *Loader) take(ctx context.Context, s *Snapshot, digest [sha256.Size]byte) {
	changes := s.Changes(l.current.Load())
	l.current.Store(s)
	l.mu.Lock()
	l.state.Digest, l.state.Accepted = digest, l.options.Clock.Now()
	l.state.Providers, l.state.Problems = len(s.providers), len(s.problems)
	l.mu.Unlock()
	l.options.Log.InfoContext(ctx, "a directory is in use", "providers", len(s.providers),
		"sha256", fmt.Sprintf("%x", digest), "changes", changes)
	for _, problem := range s.problems {
		l.options.Log.ErrorContext(ctx, "the directory has a fault", "problem", problem)
	}
}
