package lda

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/internal/config"
	"github.com/ceralacca/ceralacca/internal/effect"
	"github.com/ceralacca/ceralacca/internal/events"
	"github.com/ceralacca/ceralacca/internal/mailbox"
	"github.com/ceralacca/ceralacca/internal/metrics"
	"github.com/ceralacca/ceralacca/internal/reply"
	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/internal/transaction"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/policy"
	"github.com/ceralacca/ceralacca/signer"
)

// Mailboxes is what the agent asks about mailboxes; mailbox.Mailboxes is one.
type Mailboxes interface {
	// Lookup says what an address comes to.
	Lookup(ctx context.Context, a pec.Address) (mailbox.Result, error)
	// Holds says whether a mailbox has a message already.
	Holds(ctx context.Context, box pec.Address, messageID string, match mailbox.Match) (bool, error)
}

var _ Mailboxes = (*mailbox.Mailboxes)(nil)

// Syncer makes what Postfix has written durable; fsx.Syncer is one.
type Syncer interface {
	// Sync returns when all that was written before the call is on disk. Every error is temporary.
	Sync(ctx context.Context) error
}

// Directory finds providers; a snapshot of package directory is one.
type Directory interface {
	// ByCertificate finds the provider that owns a certificate, compared whole.
	ByCertificate(c *x509.Certificate) (*pec.ProviderRecord, bool)
	// ByDomain finds the provider that manages a domain.
	ByDomain(domain string) (*pec.ProviderRecord, bool)
}

// Options is all that an agent works with. All but those said to be optional MUST be set; what they hold MUST be safe
// for concurrent use.
type Options struct {
	Config    *config.Config
	Key       signer.Key
	HMAC      transaction.Key
	Directory func() Directory // nil while there is none: what needs it is answered 451
	Store     store.Store
	Register  *effect.Register
	Mailboxes Mailboxes
	Syncer    Syncer
	Clock     clock.Clock
	// ClockSound returns an error while the clock may not be certified by; it is asked at the beginning of all work.
	ClockSound func() error
	Log        *slog.Logger
	Metrics    *metrics.Metrics // optional
	Events     *events.Queue    // optional: without it no plug-in is told of anything
	// Spool is the folder for the unlinked files of long messages, which MUST NOT be in memory. Empty is /var/tmp.
	Spool string
}

const defaultSpool = "/var/tmp"

// Agent is the delivery point. It is safe for concurrent use.
type Agent struct {
	o     Options
	live  atomic.Pointer[settings]
	turns turns

	started  time.Time // for what fell due before
	watching watching

	toDovecot, toOut lines
}

// settings are what a reload changes: they are read once per presentation, so that it sees one configuration.
type settings struct {
	config    *config.Config
	key       signer.Key
	mailboxes Mailboxes
	out       *tls.Config
}

// New makes an agent, or says why it cannot work. It opens no socket yet.
func New(o Options) (*Agent, error) {
	if o.Spool == "" {
		o.Spool = defaultSpool
	}
	if o.ClockSound == nil {
		return nil, errors.New("lda: nobody says whether the clock may be certified by")
	}
	a := &Agent{o: o, started: o.Clock.Now()}
	return a, a.Reload(o.Config, o.Key, o.Mailboxes)
}

// Reload changes configuration, key and mailboxes for the presentations to come; on an error the old ones stay. What
// the agent opened at its start stays as it is: c MUST name the same sockets and the same state.
func (a *Agent) Reload(c *config.Config, k signer.Key, m Mailboxes) error {
	out, err := loadOut(c.Agent)
	if err != nil {
		return err
	}
	a.live.Store(&settings{config: c, key: k, mailboxes: m, out: out})
	return nil
}

func (s *settings) provider() pec.Provider {
	return pec.Provider{Name: s.config.Provider.Name, Address: s.config.Provider.Address}
}

// isService says whether a is one of our own addresses.
func (s *settings) isService(a pec.Address) bool {
	return policy.IsService([]pec.Address{s.config.Provider.Address, s.config.Provider.ServiceMailbox}, a)
}

// local says whether mail to a goes into a mailbox of this host and not to the outbound instance.
func (s *settings) local(a pec.Address) bool {
	return s.ours(a) || a.Domain() == s.config.Provider.ServiceMailbox.Domain() ||
		a.Domain() == s.config.Provider.Address.Domain()
}

// sync waits until Postfix's queue files are on disk.
func (a *Agent) sync(ctx context.Context) error {
	start := a.o.Clock.Now()
	err := a.o.Register.Probe().Around(effect.StepSync, "", func() error { return a.o.Syncer.Sync(ctx) })
	a.o.Metrics.Observe(metrics.SyncTime, a.o.Clock.Now().Sub(start))
	if err != nil {
		a.o.Log.ErrorContext(ctx, "syncfs failed", "alarm", true, "error", err)
		a.o.Metrics.Count(metrics.Alarms, "syncfs")
		return fail("syncfs", "", pec.ErrorTemporary, err)
	}
	return nil
}

// present does all that is due for one presentation and returns what Postfix hears, by recipient. [C158]
func (a *Agent) present(ctx context.Context, p *presentation) (replies []reply.Reply) {
	start := a.o.Clock.Now()
	answers := a.guarded(ctx, p)
	replies = make([]reply.Reply, len(answers))
	for i, err := range answers {
		replies[i] = a.replyTo(ctx, p, i, err)
	}
	a.o.Metrics.Observe(metrics.TransactionTime, a.o.Clock.Now().Sub(start))
	return replies
}

// guarded is the one place where a panic ends: temporary for everybody, and counted.
func (a *Agent) guarded(ctx context.Context, p *presentation) (answers []error) {
	a.o.Metrics.Move(metrics.InHand, 1)
	defer a.o.Metrics.Move(metrics.InHand, -1)
	defer func() {
		if cause := recover(); cause != nil {
			a.o.Metrics.Count(metrics.Panics, "lmtp")
			a.o.Log.ErrorContext(ctx, "panic", "alarm", true, "cause", fmt.Sprint(cause), "stack", string(debug.Stack()))
			answers = allAnswers(p, errors.New("panic"))
		}
	}()
	return a.handle(ctx, p)
}

func allAnswers(p *presentation, err error) []error {
	answers := make([]error, len(p.recipients))
	for i := range answers {
		answers[i] = err
	}
	return answers
}

// handle opens the presentation and walks through its steps.
func (a *Agent) handle(ctx context.Context, p *presentation) []error {
	if err := a.o.ClockSound(); err != nil { // nothing is stamped; Postfix keeps the message
		return allAnswers(p, fail("read the clock", "", pec.ErrorTemporary, err))
	}
	if err := p.readHeader(); err != nil {
		return allAnswers(p, a.closed(ctx, p, fail("read", "", pec.ErrorTemporary, err)))
	}
	if p.dsnOnly || a.mayBeBounce(p) {
		return allAnswers(p, a.closed(ctx, p, a.bounce(ctx, p)))
	}
	j, err := a.open(p)
	if err != nil {
		return allAnswers(p, a.closed(ctx, p, err))
	}
	if j.todo, err = stepsFor(j.record); err != nil {
		return allAnswers(p, err)
	}
	if _, err := j.instant(ctx, j.record.Instant); err != nil {
		return allAnswers(p, err)
	}
	end, err := a.turn(ctx, turnOf(j.record))
	if err != nil {
		return allAnswers(p, err)
	}
	defer end()
	j.run(ctx)
	return j.answers
}

// turn waits for the turn of a message, and asks once more whether the clock may be certified by: it was a long wait.
func (a *Agent) turn(ctx context.Context, message string) (end func(), err error) {
	end, err = a.turns.take(ctx, message)
	if err != nil {
		return nil, err
	}
	if err := a.o.ClockSound(); err != nil {
		end()
		return nil, fail("read the clock", "", pec.ErrorTemporary, err)
	}
	return end, nil
}

// closed raises the alarm for what is not from our milter, and returns the error as it is. What is turned away for good
// stands in the log; when it cannot, it is not turned away yet.
func (a *Agent) closed(ctx context.Context, p *presentation, err error) error {
	if err == nil {
		return nil
	}
	kind := reply.Kind(err)
	altered := errors.Is(err, errAltered) || errors.Is(err, transaction.ErrUncovered)
	if kind == pec.ErrorUntrusted || altered {
		a.o.Metrics.Count(metrics.Alarms, "untrusted")
		a.o.Log.ErrorContext(ctx, "turned away: not what our milter let in", "alarm", true, "error", err,
			"sender", p.sender, "queue_id", p.queueID, "recipients", len(p.recipients))
	}
	if kind == pec.ErrorUntrusted {
		if failed := a.recordUntrusted(ctx, p, err); failed != nil {
			return fail("record", "", pec.ErrorTemporary, failed)
		}
	}
	return err
}

// replyTo makes the reply to one recipient, and logs the cause, which the peer does not hear.
func (a *Agent) replyTo(ctx context.Context, p *presentation, i int, err error) reply.Reply {
	r := reply.Reply{Code: 250, Enhanced: [3]int{2, 1, 5}, Text: "Done"}
	if err != nil {
		r = reply.For(err, reply.DoorLMTP)
		a.o.Log.WarnContext(ctx, "not done", "recipient", p.recipients[i].raw, "queue_id", p.queueID, "reply", r.String(),
			"error", err)
	}
	a.o.Metrics.Count(metrics.Replies, fmt.Sprint(r.Code))
	return r
}
