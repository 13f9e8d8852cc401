package milter

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ceralacca/ceralacca/internal/metrics"
	"github.com/ceralacca/ceralacca/internal/reply"
	"github.com/ceralacca/ceralacca/internal/transaction"
	"github.com/ceralacca/ceralacca/milter/internal/wire"
	"github.com/ceralacca/ceralacca/pec"
)

// session is what the two points have in common: one SMTP transaction.
type session struct {
	*capture
	o        *Options
	point    transaction.Point
	login    string
	client   string
	sender   pec.Address
	spelled  []string      // the recipients, as RCPT named them: only so can Postfix find them
	accepted []pec.Address // the same as addresses, each once
}

func newSession(o *Options, point transaction.Point, m wire.Macros) session {
	return session{
		capture: newCapture(o.Spool, o.Config.Limits.HardSize),
		o:       o, point: point, login: m["{auth_authen}"], client: m["{client_addr}"],
	}
}

// Header implements wire.Handler.
func (s *session) Header(name string, value []byte) { s.field(name, value) }

// EndHeader implements wire.Handler.
func (s *session) EndHeader() { s.endHeader() }

// Body implements wire.Handler.
func (s *session) Body(p []byte) { s.write(p) }

// Close implements wire.Handler.
func (s *session) Close() { s.raw.Discard() }

// announced refuses what says itself that it is too large.
func (s *session) announced(params []string) error {
	for _, p := range params {
		if name, value, _ := strings.Cut(p, "="); strings.EqualFold(name, "SIZE") {
			size, err := strconv.ParseInt(value, 10, 64)
			if limit := s.o.Config.Limits.HardSize; err == nil && limit > 0 && size > limit {
				return refuse(pec.ErrorTooLarge, "it announces %d bytes", size)
			}
		}
	}
	return nil
}

// recipient reads a RCPT address. What is not in the plain form could not be deleted exactly, and Postfix would turn
// % and ! into other addresses than were certified.
func (s *session) recipient(addr string) (pec.Address, error) {
	a, err := pec.ParseAddress(addr)
	if err != nil || a.IsZero() || strings.ContainsAny(a.Local(), "%!") {
		return pec.Address{}, refuse(pec.ErrorPath, "recipient %.200q", addr)
	}
	if a.Domain() == s.o.Config.Provider.InternalDomain {
		return pec.Address{}, refuse(pec.ErrorForbidden, "recipient %s in the internal domain", a)
	}
	return a, nil
}

func (s *session) accept(addr string, a pec.Address) {
	if !slices.Contains(s.spelled, addr) {
		s.spelled = append(s.spelled, addr)
	}
	if !slices.ContainsFunc(s.accepted, func(b pec.Address) bool { return a.Fold() == b.Fold() }) {
		s.accepted = append(s.accepted, a)
	}
}

// directory is the index of providers; without it nothing can be decided.
func (s *session) directory() (Directory, error) {
	d := s.o.Directory()
	if d == nil {
		return nil, errors.New("milter: there is no directory")
	}
	return d, nil
}

// record begins the record of the transaction. Its instant is the one of all that is made of the message; there is none,
// and the message is not taken, while nobody keeps the clock. [C186]
func (s *session) record(m *message) (*transaction.Record, error) {
	if err := s.o.ClockSound(); err != nil {
		return nil, fmt.Errorf("milter: %w", err)
	}
	now := s.o.Clock.Now().Truncate(time.Second)
	id, err := s.newID(now)
	if err != nil {
		return nil, err
	}
	r := &transaction.Record{
		Point: s.point, ID: hex.EncodeToString(id[:]), Instant: now,
		Sender: s.sender, Recipients: s.accepted, // [C012]
		Login: s.login, Client: s.client, MessageID: m.header.MessageID(),
	}
	r.Subject, r.HasSubject = m.subject()
	return r, nil
}

// newID draws an id that nothing else has.
func (s *session) newID(at time.Time) ([16]byte, error) {
	var random [11]byte
	if _, err := io.ReadFull(s.o.Random, random[:]); err != nil {
		return [16]byte{}, fmt.Errorf("milter: random: %w", err)
	}
	return transaction.NewID(at, random), nil
}

// certificate is the SHA-256 of the certificate with which a message was signed.
func certificate(m *pec.SignedMessage) [32]byte { return sha256.Sum256(m.Signer.Raw) }

// refuse makes the error that refuses a command or a message; the cause is for the log only.
func refuse(kind pec.ErrorKind, format string, args ...any) error {
	return &pec.Error{Op: "milter", Kind: kind, Err: fmt.Errorf(format, args...)}
}

// answer turns the end of a command into a reply. The peer gets a fixed text, the log the cause.
func (s *session) answer(command string, err error) wire.Reply {
	if err == nil {
		return wire.Continue()
	}
	r := reply.For(err, reply.DoorMilter)
	s.o.Metrics.Count(metrics.Refusals, r.EnhancedText())
	log := s.o.Log.Info
	if r.Temporary() {
		log = s.o.Log.Error
		s.o.Metrics.Count(metrics.Errors, "milter "+command)
	}
	log("refused", slog.String("point", string(s.point)), slog.String("command", command), slog.String("reply", r.String()), slog.String("cause", err.Error()),
		slog.String("login", s.login), slog.String("client", s.client), slog.String("from", s.sender.String()))
	return wire.SMTP(r.Code, r.EnhancedText(), r.Text)
}

// done logs what became of a message that goes into the queue.
func (s *session) done(queue string, m *message, r *transaction.Record) {
	s.o.Metrics.Count(metrics.Transactions, string(r.Verdict))
	s.o.Log.Info("verdict", slog.String("point", string(r.Point)), slog.String("verdict", string(r.Verdict)),
		slog.String("queue_id", queue), slog.String("transaction", r.ID), slog.String("identifier", string(r.Identifier)),
		slog.String("reason", r.Reason), slog.String("detail", r.Detail), slog.String("kind", string(r.Kind)), slog.String("signer", r.Signer),
		slog.String("from", r.Sender.String()), slog.Int("recipients", len(r.Recipients)), slog.Int64("size", m.Size()),
		slog.String("login", r.Login), slog.String("client", r.Client), seen(r))
}
