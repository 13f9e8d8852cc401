package milter

import (
	"context"
	"errors"
	"log/slog"

	"github.com/ceralacca/ceralacca/internal/config"
	"github.com/ceralacca/ceralacca/internal/metrics"
	"github.com/ceralacca/ceralacca/internal/transaction"
	"github.com/ceralacca/ceralacca/milter/internal/wire"
	"github.com/ceralacca/ceralacca/pec"
)

// Scanner has a message looked at by the antivirus.
type Scanner interface {
	// Scan returns an answer whose verdict is never empty, and infected if and only if it names a virus; or an error, of
	// whatever kind, when the message was not looked at by all that should. It reads src as it is, not after it returned,
	// and MUST NOT hold all of it in memory. It is safe for concurrent use.
	Scan(ctx context.Context, src pec.Source, r *transaction.Record) (transaction.Scan, error)
}

var errNoAnswer = errors.New("the antivirus gave no verdict")

// scan asks the antivirus about the message as it was captured, and puts what it says into the record. An error means
// that nothing is known: it is temporary, and never "clean". [C060] [C122] [C232]
func (s *session) scan(ctx context.Context, m *message, r *transaction.Record) error {
	if s.o.Config.Antivirus.Mode == config.AntivirusNone {
		return nil
	}
	answer, err := s.o.Scanner.Scan(ctx, m, r)
	if err == nil && (answer.Verdict == "" || (answer.Verdict == transaction.ScanInfected) != (answer.Virus != "")) {
		err = errNoAnswer
	}
	if err != nil {
		s.unscanned(ctx, r, err)
		return &pec.Error{Op: "milter: scan", ID: r.Identifier, Kind: pec.ErrorTemporary, Err: err}
	}
	r.Scan = answer
	s.o.Metrics.Count(metrics.Scans, string(answer.Verdict))
	if encrypted(r) {
		s.o.Log.Warn("part of the message is encrypted: nobody could check it for viruses", slog.String("point", string(s.point)),
			slog.String("transaction", r.ID), slog.String("identifier", string(r.Identifier)), slog.String("engine", answer.Engine))
	}
	return nil
}

// unscanned raises the alarm, unless it was the client who went away.
func (s *session) unscanned(ctx context.Context, r *transaction.Record, err error) {
	if ctx.Err() != nil {
		return
	}
	s.o.Metrics.Count(metrics.Scans, "failed")
	s.o.Metrics.Count(metrics.Alarms, "antivirus")
	s.o.Log.Error("the antivirus did not answer; the message is not taken", slog.Bool("alarm", true), slog.String("point", string(s.point)),
		slog.String("transaction", r.ID), slog.String("identifier", string(r.Identifier)), slog.Any("error", err))
}

// quarantine sends the message, as it came, to nobody but the agent, who stores it and issues what is due. [C027] [C121]
func (s *session) quarantine(e *wire.Edits, m *message, r *transaction.Record) error {
	r.Verdict, r.Reason, r.Detail = transaction.VerdictVirus, reasonVirus, ""
	s.redirect(e)
	return s.unchanged(e, m, r)
}

// reasonVirus is the code of why, in the record of what the antivirus found.
const reasonVirus = "virus"

// redirect takes all recipients away and leaves the agent's address for what goes no further.
func (s *session) redirect(e *wire.Edits) {
	for _, addr := range s.spelled {
		e.DeleteRcpt(addr)
	}
	e.AddRcpt(pec.RefusalMailbox + "@" + s.o.Config.Provider.InternalDomain)
}

// encrypted says whether part of the message could be looked into by nobody, which our envelopes say as well.
func encrypted(r *transaction.Record) bool { return r.Scan.Verdict == transaction.ScanEncrypted }

// infected refuses, in the session, what earns no notice. [C123] [C143]
func infected(r *transaction.Record) error {
	if r.Scan.Verdict != transaction.ScanInfected {
		return nil
	}
	return refuse(pec.ErrorInfected, "%s in a message of signer %q, found by %s (%s)", r.Scan.Virus, r.Signer, r.Scan.Engine, r.Scan.Signatures)
}

// seen is what the antivirus said, for a line of the log.
func seen(r *transaction.Record) slog.Attr {
	if r.Scan == (transaction.Scan{}) {
		return slog.String("scan", "none")
	}
	return slog.Group("scan", slog.String("verdict", string(r.Scan.Verdict)), slog.String("virus", r.Scan.Virus),
		slog.String("engine", r.Scan.Engine), slog.String("signatures", r.Scan.Signatures))
}
