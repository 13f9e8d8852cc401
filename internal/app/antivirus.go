package app

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/ceralacca/ceralacca/internal/transaction"
	"github.com/ceralacca/ceralacca/milter"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/plugins"
	"github.com/ceralacca/ceralacca/plugins/host"
)

// scanner asks every antivirus that runs.
type scanner struct{ plugins *plugHost }

var _ milter.Scanner = scanner{}

var errNoAntivirus = errors.New("no antivirus runs")

// Scan implements milter.Scanner: infected is what one of them finds infected, whatever the others say. Otherwise all must
// have answered, and what is encrypted for one of them is so.
func (s scanner) Scan(ctx context.Context, src pec.Source, r *transaction.Record) (transaction.Scan, error) {
	set, done := s.plugins.use()
	defer done()
	content := host.Content{ReaderAt: src, Size: src.Size(), Metadata: metadata(r)}
	var answers []plugins.Result
	var failures []error
	for _, one := range set.of(plugins.KindAntivirus) {
		answer, err := host.Antivirus{Supervisor: one.supervisor}.Scan(ctx, content)
		if err != nil {
			failures = append(failures, err)
			continue
		}
		if answer.Verdict == plugins.Infected {
			return transaction.Scan{Verdict: transaction.ScanInfected, Virus: answer.Virus, Engine: answer.Engine, Signatures: answer.Signatures}, nil
		}
		answers = append(answers, answer)
	}
	if len(answers)+len(failures) == 0 {
		return transaction.Scan{}, errNoAntivirus
	}
	if len(failures) > 0 {
		return transaction.Scan{}, errors.Join(failures...)
	}
	return together(answers), nil
}

// together is what several say who found nothing.
func together(answers []plugins.Result) transaction.Scan {
	scan := transaction.Scan{Verdict: transaction.ScanClean}
	var engines, signatures []string
	for _, a := range answers {
		if a.Verdict == plugins.Encrypted {
			scan.Verdict = transaction.ScanEncrypted
		}
		engines, signatures = append(engines, a.Engine), append(signatures, a.Signatures)
	}
	scan.Engine = strings.Join(engines, ", ")
	scan.Signatures = strings.Join(slices.DeleteFunc(signatures, func(s string) bool { return s == "" }), ", ")
	return scan
}

// metadata are those of the transaction, in the words of the contract.
func metadata(r *transaction.Record) plugins.Metadata {
	point := map[transaction.Point]string{transaction.PointSubmission: "access", transaction.PointIncoming: "incoming"}
	m := plugins.Metadata{Identifier: string(r.Identifier), Transaction: r.ID, Point: point[r.Point], Sender: r.Sender.String()}
	for _, a := range r.Recipients {
		m.Recipients = append(m.Recipients, a.String())
	}
	return m
}
