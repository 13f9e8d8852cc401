package lda

import (
	"context"
	"slices"

	"github.com/ceralacca/ceralacca/internal/transaction"
	"github.com/ceralacca/ceralacca/pec"
)

// identify finds out whether a valid envelope is what it says it is over time, which the milter cannot: it has no
// store. The same identifier with other content, and an envelope that is old and was never seen, are anomalies: no
// take-charge, no receipt. [C118]
func identify(ctx context.Context, j *job) error {
	known, err := j.agent.o.Register.Known(ctx, j.provider.Name, string(j.data.Identifier))
	if err != nil {
		return err
	}
	switch {
	case slices.Contains(known, j.signed.Digest): // presented before, and found in order
		return nil
	case len(known) > 0:
		j.divert(pec.ProblemOtherContent)
	case j.record.Instant.Sub(j.data.Time) > j.live.config.Incoming.MaxAge:
		j.divert(pec.ProblemTooOld)
	}
	return nil
}

// divert replaces what is left to do with an anomaly envelope of our own making.
func (j *job) divert(p pec.Problem) {
	j.log.Warn("a valid envelope is an anomaly", "problem", string(p), "provider", j.provider.Name)
	if j.record.Verdict == transaction.VerdictVirus { // never delivered, also not inside an anomaly envelope [C143]
		j.problem = p
		j.todo = []step{{"quarantine", infectedEnvelope}}
		return
	}
	j.todo = []step{{"wrap", wrap(p)}, {"pass", passAnomaly}}
}
