package milter

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/ceralacca/ceralacca/internal/transaction"
	"github.com/ceralacca/ceralacca/milter/internal/wire"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/pec/compose"
	"github.com/ceralacca/ceralacca/policy"
)

// submission is the access point: the transaction of a user.
type submission struct{ session }

var _ wire.Handler = (*submission)(nil)

// newSubmission begins a transaction. What is certified is hashed with the envelope: a digest of its own is wanted only
// of what is refused.
func newSubmission(o *Options, m wire.Macros) *submission {
	s := &submission{newSession(o, transaction.PointSubmission, m)}
	s.raw.SkipDigest()
	return s
}

// Mail implements wire.Handler.
func (s *submission) Mail(addr string, params []string) wire.Reply {
	return s.answer("MAIL", s.mail(addr, params))
}

func (s *submission) mail(addr string, params []string) error {
	if s.login == "" { // [C023]
		return refuse(pec.ErrorUnauthenticated, "no login")
	}
	if strings.HasPrefix(addr, "@") {
		return refuse(pec.ErrorPath, "sender with a source route %.200q", addr)
	}
	a, err := pec.ParseAddress(addr)
	if err != nil || a.IsZero() || !s.owns(a) {
		return refuse(pec.ErrorSender, "sender %.200q", addr)
	}
	s.sender = a
	return s.announced(params)
}

// owns says whether the login may send as a, for which this provider must be able to certify.
func (s *submission) owns(a pec.Address) bool {
	if !slices.Contains(s.o.Config.Provider.Domains, a.Domain()) {
		return false
	}
	self, err := pec.ParseAddress(s.login)
	return err == nil && self.Fold() == a.Fold() || s.o.Senders.May(s.login, a)
}

// Rcpt implements wire.Handler.
func (s *submission) Rcpt(addr string, _ []string) wire.Reply {
	a, err := s.recipient(addr)
	if err == nil {
		s.accept(addr, a)
	}
	return s.answer("RCPT", err)
}

// End implements wire.Handler.
func (s *submission) End(ctx context.Context, macros wire.Macros, e *wire.Edits) wire.Reply {
	return s.answer("end of message", s.end(ctx, macros, e))
}

func (s *submission) end(ctx context.Context, macros wire.Macros, e *wire.Edits) error {
	m, err := s.finish()
	if err != nil {
		return err
	}
	defer func() { _ = m.Close() }() // it was read to the end, or nothing came of it
	directory, err := s.directory()
	if err != nil {
		return err
	}
	r, err := s.record(m)
	if err != nil {
		return err
	}
	id, err := s.newID(r.Instant)
	if err != nil {
		return err
	}
	r.Identifier = pec.NewIdentifier(id, s.o.Config.Provider.Address.Domain()) // [C032]
	recipients := policy.Types(directory, r.Recipients)
	for _, one := range recipients {
		r.Types = append(r.Types, one.Type)
	}
	if err := s.decide(ctx, e, m, r); err != nil {
		return err
	}
	s.done(macros["i"], m, r)
	return nil
}

// decide certifies the message, or rejects it: a virus before a formal fault, and that also when the antivirus does not
// answer, for nothing is carried then. What the envelope would repeat at a length that Postfix cuts is a formal fault like
// the same in the original. [C060]
func (s *submission) decide(ctx context.Context, e *wire.Edits, m *message, r *transaction.Record) error {
	e.ChangeFrom(r.Sender.String(), "ENVID="+s.o.HMAC.EnvelopeID(r.ID))
	unscanned := s.scan(ctx, m, r)
	if r.Scan.Verdict == transaction.ScanInfected {
		return s.quarantine(e, m, r)
	}
	if faults := s.faults(m); len(faults) > 0 {
		return s.reject(e, m, r, faults)
	}
	if unscanned != nil {
		return unscanned
	}
	provider := pec.Provider{Name: s.o.Config.Provider.Name, Address: s.o.Config.Provider.Address}
	envelope, err := compose.TransportEnvelope(provider, m.original(r), s.data(m, r))
	if err != nil {
		return fmt.Errorf("milter: compose: %w", err)
	}
	if name := overlong(envelope.Header); name != "" {
		return s.reject(e, m, r, []policy.Fault{{Code: pec.FaultField, Detail: name}})
	}
	return s.certify(ctx, e, m, r, envelope)
}

func (s *submission) faults(m *message) []policy.Fault {
	limits := s.o.Config.Limits
	return policy.CheckSubmission(&policy.Submission{
		Sender: s.sender, Recipients: s.accepted, Header: m.header,
		Size: m.Size(), LongestLine: m.longest, NUL: m.nul,
		Limits: policy.Limits{Size: limits.Size, Product: limits.Product, HardSize: limits.HardSize},
	})
}

// reject sends the message, as it came, to nobody but the agent, who issues the notice. [C026] [C047]
func (s *submission) reject(e *wire.Edits, m *message, r *transaction.Record, faults []policy.Fault) error {
	codes := make([]string, len(faults))
	for i, f := range faults {
		codes[i] = string(f.Code)
	}
	r.Verdict, r.Reason, r.Detail = transaction.VerdictRefused, strings.Join(codes, ","), policy.JoinFaults(faults)
	s.redirect(e)
	return s.unchanged(e, m, r)
}

// certify puts the transport envelope in the place of the message; its sender and recipients stay. [C025] [C086]
func (s *submission) certify(ctx context.Context, e *wire.Edits, m *message, r *transaction.Record, envelope *pec.Artefact) error {
	r.Verdict, r.Kind = transaction.VerdictEnvelope, pec.KindTransport
	e.AddRcpt(pec.AcceptanceMailbox + "@" + s.o.Config.Provider.InternalDomain)
	return s.replace(ctx, e, m, envelope, r)
}

// data is what the envelope certifies. [C031] [C037] [C085]
func (s *submission) data(m *message, r *transaction.Record) *pec.CertData {
	c := &pec.CertData{
		Kind: pec.KindTransport, Error: pec.ErrorNone, Sender: r.Sender, Provider: s.o.Config.Provider.Name,
		Time: r.Instant, Identifier: r.Identifier, MessageID: r.MessageID,
		ReplyTo: r.Sender.String(), Receipt: policy.WantedReceipt(m.header),
	}
	for i, a := range r.Recipients {
		c.Recipients = append(c.Recipients, pec.Recipient{Address: a, Type: r.Types[i]})
	}
	if reply := m.header.Get("Reply-To"); reply != "" {
		c.ReplyTo = pec.DecodeText(reply)
	}
	if r.HasSubject {
		c.Subject = &r.Subject
	}
	return c
}
