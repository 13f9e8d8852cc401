package lda

import (
	"fmt"

	"github.com/ceralacca/ceralacca/internal/transaction"
	"github.com/ceralacca/ceralacca/pec"
)

// stepsFor is the whole pipeline: what is done with each verdict, in this order. A verdict that is not here is
// temporary: this program does not know what to do with it. [C158]
func stepsFor(r *transaction.Record) ([]step, error) {
	switch r.Verdict {
	case transaction.VerdictEnvelope: // [C183]
		return []step{
			{"read", read}, {"accept", clocked(accept)}, {"tell", tellEarly}, {"take charge", clocked(takeCharge)},
			{"deliver", deliver}, {"conclude", conclude},
		}, nil
	case transaction.VerdictRefused:
		return []step{{"refuse", refuse}}, nil
	case transaction.VerdictValidEnvelope:
		return []step{
			{"read", read}, {"identify", identify}, {"take charge", clocked(takeCharge)}, {"deliver", deliver},
			{"conclude", conclude},
		}, nil
	case transaction.VerdictNotification: // [C117]
		return []step{{"read", read}, {"note", note}, {"tell", tell}, {"pass", passNotification}}, nil
	case transaction.VerdictVirus:
		return infectedSteps(r), nil
	case transaction.VerdictKept: // [C184]
		return []step{{"keep", keepAll}}, nil
	case transaction.VerdictAnomaly: // [C182]
		return []step{{"pass", passAnomaly}}, nil
	}
	return nil, fail("route", r.Identifier, pec.ErrorTemporary, fmt.Errorf("no steps for the verdict %q", r.Verdict))
}

// infectedSteps: nothing of an infected message reaches anybody, and it is in the quarantine before anybody is told.
func infectedSteps(r *transaction.Record) []step {
	switch {
	case r.Point == transaction.PointSubmission: // [C027] [C060]
		return []step{{"quarantine", setAside}, {"refuse", refuse}}
	case r.Kind == pec.KindTransport: // [C120] [C121]
		return []step{
			{"read", read}, {"identify", identify}, {"quarantine", setAside}, {"take charge", takeCharge}, {"detect", detect},
		}
	}
	return []step{{"read", read}, {"note", note}, {"tell", tell}, {"quarantine", infectedNotification}}
}
