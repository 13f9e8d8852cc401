package milter

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	"github.com/ceralacca/ceralacca/internal/config"
	"github.com/ceralacca/ceralacca/internal/mailbox"
	"github.com/ceralacca/ceralacca/internal/metrics"
	"github.com/ceralacca/ceralacca/internal/transaction"
	"github.com/ceralacca/ceralacca/milter/internal/wire"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/pec/compose"
	"github.com/ceralacca/ceralacca/policy"
)

// incoming is the incoming point: a transaction from the network.
type incoming struct{ session }

var _ wire.Handler = (*incoming)(nil)

// Mail implements wire.Handler. Any sender may write, but one that is not in the plain form could not be certified, nor
// told the agent.
func (s *incoming) Mail(addr string, params []string) wire.Reply {
	return s.answer("MAIL", s.mail(addr, params))
}

func (s *incoming) mail(addr string, params []string) (err error) {
	if addr != "" {
		if s.sender, err = pec.ParseAddress(addr); err != nil {
			return refuse(pec.ErrorPath, "sender %.200q", addr)
		}
	}
	return s.announced(params)
}

// Rcpt implements wire.Handler. Every address of a certified domain is taken: an unknown one is answered by a certified
// notice. A domain of ours that is ordinary, or one of others, does not belong here.
func (s *incoming) Rcpt(addr string, _ []string) wire.Reply {
	return s.answer("RCPT", s.rcpt(addr))
}

func (s *incoming) rcpt(addr string) error {
	a, err := s.recipient(addr)
	if err != nil {
		return err
	}
	if !slices.Contains(s.o.Config.Provider.Domains, a.Domain()) {
		if len(s.accepted) > 0 {
			return refuse(pec.ErrorMixed, "recipient %s beside certified ones", a)
		}
		return refuse(pec.ErrorForbidden, "recipient %s is not in a certified domain", a)
	}
	s.accept(addr, a)
	return nil
}

// End implements wire.Handler.
func (s *incoming) End(ctx context.Context, macros wire.Macros, e *wire.Edits) wire.Reply {
	return s.answer("end of message", s.end(ctx, macros, e))
}

func (s *incoming) end(ctx context.Context, macros wire.Macros, e *wire.Edits) error {
	m, err := s.finish()
	if err != nil {
		return err
	}
	defer func() { _ = m.Close() }() // it was read to the end, or nothing came of it
	if len(m.header) > maxFields {
		return errHeader()
	}
	directory, err := s.directory()
	if err != nil {
		return err
	}
	r, err := s.record(m)
	if err != nil {
		return err
	}
	v, err := s.o.Verifier.Verify(m, r.Instant)
	if err != nil {
		return fmt.Errorf("milter: %w", err)
	}
	describe(r, v)
	judgement := policy.JudgeIncoming(&policy.Incoming{
		Verification: v, Sender: r.Sender, Recipients: r.Recipients, Self: s.self(directory), Service: s.service(),
	})
	if err := s.carryOut(ctx, e, m, r, judgement); err != nil {
		return err
	}
	s.done(macros["i"], m, r)
	return nil
}

// describe puts into the record what the signature says; what a signature that does not hold says is worth nothing.
func describe(r *transaction.Record, v *pec.Verification) {
	if v.Message != nil && v.Provider != nil && !untrusted(v.Problem) {
		r.Signer, r.SignerCert, r.Kind = v.Provider.Name, certificate(v.Message), v.Kind
		if v.Data != nil {
			r.Identifier = v.Data.Identifier
		}
	}
}

func untrusted(p pec.Problem) bool {
	switch p {
	case pec.ProblemNoSignature, pec.ProblemSignature, pec.ProblemUnknownSigner, pec.ProblemChain, pec.ProblemExpired, pec.ProblemRevoked:
		return true
	}
	return false
}

// self is this provider's own record: as the directory has it, or as the configuration does.
func (s *incoming) self(d Directory) *pec.ProviderRecord {
	certificates := s.o.Key.Certificates()
	if own, ok := d.ByCertificate(certificates[0]); ok {
		return own
	}
	p := s.o.Config.Provider
	return &pec.ProviderRecord{
		Name: p.Name, MailReceipt: p.ServiceMailbox, Domains: p.Domains, Certificates: certificates[:1],
	}
}

func (s *incoming) service() []pec.Address {
	return []pec.Address{s.o.Config.Provider.Address, s.o.Config.Provider.ServiceMailbox}
}

// carryOut does what the judgement asks for. Sender and recipients stay [C141], but for a virus: what is valid then goes to
// the agent alone [C120], and all else is refused. The antivirus is not asked about what policy refuses anyway.
func (s *incoming) carryOut(ctx context.Context, e *wire.Edits, m *message, r *transaction.Record, j policy.Judgement) error {
	r.Reason, r.Detail = string(j.Problem), j.Detail
	if j.Problem != "" {
		s.o.Metrics.Count(metrics.Problems, string(j.Problem))
	}
	if ordinary := j.Outcome == policy.OutcomeOrdinary; ordinary {
		if err := s.ordinary(ctx); err != nil {
			return err
		}
	}
	if err := s.scan(ctx, m, r); err != nil {
		return err
	}
	switch j.Outcome {
	case policy.OutcomeEnvelope: // [C116]
		return s.pass(e, m, r, transaction.VerdictValidEnvelope)
	case policy.OutcomeNotification: // [C117]
		return s.pass(e, m, r, transaction.VerdictNotification)
	}
	if err := infected(r); err != nil {
		return err
	}
	if j.Outcome == policy.OutcomeKept { // [C184]
		return s.pass(e, m, r, transaction.VerdictKept)
	}
	return s.wrap(ctx, e, m, r, j.Problem) // [C118]
}

// pass leaves the message as it came. [C145]
func (s *incoming) pass(e *wire.Edits, m *message, r *transaction.Record, v transaction.Verdict) error {
	if r.Scan.Verdict == transaction.ScanInfected {
		return s.quarantine(e, m, r)
	}
	r.Verdict = v
	return s.unchanged(e, m, r)
}

// wrap puts an anomaly envelope in the place of the message. One that names a service address beside users goes to all
// of them: the agent keeps that one copy for the operator. [C132] [C142]
func (s *incoming) wrap(ctx context.Context, e *wire.Edits, m *message, r *transaction.Record, p pec.Problem) error {
	r.Verdict = transaction.VerdictAnomaly
	provider := pec.Provider{Name: s.o.Config.Provider.Name, Address: s.o.Config.Provider.Address}
	envelope, err := compose.AnomalyEnvelope(provider, m.original(r), compose.Anomaly{
		Sender: r.Sender, Recipients: r.Recipients, Reason: p.Italian(), Time: r.Instant, ID: r.ID,
	})
	if err != nil {
		return fmt.Errorf("milter: compose: %w", err)
	}
	return s.replace(ctx, e, m, cutSubject(envelope), r)
}

// ordinary says why ordinary mail is refused, nil when it is wrapped. One that names a service address is refused
// whole, also when it names users: its sender then hears that nobody got it, and from his own server, while a notice of
// ours about the one address would often go to somebody whose address was forged. [C119] [C184]
func (s *incoming) ordinary(ctx context.Context) error {
	service := s.service()
	for _, a := range s.accepted {
		if policy.IsService(service, a) {
			return refuse(pec.ErrorForbidden, "ordinary mail for the service address %s", a)
		}
	}
	if s.o.Config.Incoming.Ordinary == config.OrdinaryRefuse {
		return refuse(pec.ErrorUncertified, "ordinary mail")
	}
	if s.allUnknown(ctx) {
		return refuse(pec.ErrorUnknownMailbox, "ordinary mail for unknown mailboxes only")
	}
	return nil
}

// allUnknown says whether no recipient exists. Doubt lets the message through: the agent asks again.
func (s *incoming) allUnknown(ctx context.Context) bool {
	for _, a := range s.accepted {
		found, err := s.o.Mailboxes.Lookup(ctx, a)
		if err != nil {
			s.o.Log.Warn("mailbox not looked up", slog.String("address", a.String()), slog.Any("error", err))
			return false
		}
		if found.State != mailbox.Unknown {
			return false
		}
	}
	return true
}
