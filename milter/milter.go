package milter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/internal/config"
	"github.com/ceralacca/ceralacca/internal/mailbox"
	"github.com/ceralacca/ceralacca/internal/metrics"
	"github.com/ceralacca/ceralacca/internal/socket"
	"github.com/ceralacca/ceralacca/internal/transaction"
	"github.com/ceralacca/ceralacca/milter/internal/wire"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/policy"
	"github.com/ceralacca/ceralacca/signer"
)

// Directory is the index of the certified providers, as it stands; it is immutable.
type Directory interface {
	policy.Directory
	signer.Directory
}

// Verifier finds out what an incoming message is that claims to be of the system. An error is temporary.
type Verifier interface {
	Verify(src pec.Source, at time.Time) (*pec.Verification, error)
}

// Mailboxes knows the mailboxes of this provider. An error says that nothing is known of the address.
type Mailboxes interface {
	Lookup(ctx context.Context, a pec.Address) (mailbox.Result, error)
}

// Options are what a Milter works with. All but those said to be optional MUST be set; what they hold MUST be safe for
// concurrent use.
type Options struct {
	Config    *config.Config
	Senders   config.SenderMap // optional: more addresses for logins
	Directory func() Directory // nil while there is none: everything is answered 451
	Verifier  Verifier
	Key       signer.Key
	HMAC      transaction.Key
	Mailboxes Mailboxes
	Scanner   Scanner // not needed when the configuration says that nobody looks for viruses
	Clock     clock.Clock
	// ClockSound returns an error while the clock may not be certified by; it is asked before each instant is read.
	ClockSound func() error
	Random     io.Reader // of cryptographic quality
	Log        *slog.Logger
	Metrics    *metrics.Metrics // optional
	// Spool is the folder for the unlinked files of long messages, which MUST NOT be in memory. Empty is /var/tmp.
	Spool string
}

const (
	defaultSpool = "/var/tmp"
	// progressEvery is well under milter_content_timeout (300 s), which each packet starts again.
	progressEvery = 20 * time.Second
	// grace is how long transactions in hand may take to end when the daemon is asked to.
	grace = 60 * time.Second
)

// Milter serves the sockets of both points. Its methods are safe for concurrent use.
type Milter struct{ options atomic.Pointer[Options] }

// New makes a Milter. The error says which option is missing.
func New(o Options) (*Milter, error) {
	m := &Milter{}
	return m, m.Reload(o)
}

// Reload makes transactions that begin from now on use o; those in hand keep what they began with. Sockets are opened
// once: a change of their paths takes a restart. On an error nothing has changed.
func (m *Milter) Reload(o Options) error {
	if o.Config == nil || o.Directory == nil || o.Verifier == nil || o.Key == nil || o.Mailboxes == nil ||
		o.Clock == nil || o.ClockSound == nil || o.Random == nil || o.Log == nil {
		return errors.New("milter: an option is missing")
	}
	if o.Scanner == nil && o.Config.Antivirus.Mode != config.AntivirusNone {
		return errors.New("milter: there is no antivirus")
	}
	if len(o.Key.Certificates()) == 0 {
		return errors.New("milter: the key has no certificate")
	}
	if o.Spool == "" {
		o.Spool = defaultSpool
	}
	m.options.Store(&o)
	return nil
}

// Serve opens the sockets that the configuration names and answers on them until ctx ends, when it lets transactions in
// hand end, for a minute at most, and returns nil. Otherwise the error is that of a socket.
func (m *Milter) Serve(ctx context.Context) error {
	c := m.options.Load().Config.Milter
	doors := []door{
		{string(transaction.PointSubmission), c.SubmissionSocket, func(o *Options, m wire.Macros) wire.Handler {
			return newSubmission(o, m)
		}},
		{string(transaction.PointIncoming), c.IncomingSocket, func(o *Options, m wire.Macros) wire.Handler {
			return &incoming{newSession(o, transaction.PointIncoming, m)}
		}},
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var running sync.WaitGroup
	failures := make([]error, len(doors))
	for i, d := range doors {
		if d.at.Address == "" {
			continue
		}
		l, err := socket.Listen(d.at.Network, d.at.Address)
		if err != nil {
			failures[i] = fmt.Errorf("milter: %w", err)
			cancel()
			break
		}
		running.Go(func() {
			defer cancel() // a point without its twin would look healthy
			failures[i] = serve(ctx, m.server(d), l)
		})
	}
	running.Wait()
	return errors.Join(failures...)
}

// door is one socket, and what is made of a transaction that comes through it.
type door struct {
	name string
	at   config.Endpoint
	make func(*Options, wire.Macros) wire.Handler
}

func (m *Milter) server(d door) *wire.Server {
	return wire.NewServer(wire.Options{
		New:      func(macros wire.Macros) wire.Handler { return d.make(m.options.Load(), macros) },
		Log:      m.options.Load().Log,
		Panicked: func() { m.options.Load().Metrics.Count(metrics.Panics, d.name) },
		Progress: progressEvery,
	})
}

// serve runs one server until ctx ends.
func serve(ctx context.Context, s *wire.Server, l net.Listener) error {
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	if err := s.Shutdown(limit); err != nil {
		return fmt.Errorf("milter: transactions were cut off: %w", err)
	}
	return <-served
}
