package foreign

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/policy"
)

// verdict is what a message must turn out to be, and for what reason.
type verdict struct {
	outcome policy.Outcome // "" is valid: what the kind is when nothing is wrong
	problem pec.Problem
}

func (v verdict) String() string {
	switch {
	case v.outcome == "":
		return "valid"
	case v.problem == "":
		return string(v.outcome)
	}
	return string(v.outcome) + ": " + string(v.problem)
}

// The verdicts. Ordinary mail is refused with 550 5.7.1 or wrapped, as [incoming] ordinary says; anomalies are always
// wrapped; what is kept reaches no mailbox.
var (
	valid     = verdict{}
	signature = anomaly(pec.ProblemSignature)
	malformed = anomaly(pec.ProblemMalformed)
	routing   = anomaly(pec.ProblemRouting)
	author    = anomaly(pec.ProblemFrom)
	unsigned  = ordinary(pec.ProblemNoSignature)
	unread    = ordinary(pec.ProblemMalformed) // as a signature, so that nobody is known to have signed
	nobody    = ordinary(pec.ProblemSignature)
)

func anomaly(p pec.Problem) verdict  { return verdict{policy.OutcomeAnomaly, p} }
func ordinary(p pec.Problem) verdict { return verdict{policy.OutcomeOrdinary, p} }
func kept(p pec.Problem) verdict     { return verdict{policy.OutcomeKept, p} }

// mutation is a small change of a valid message, and what must come of it.
type mutation struct {
	name   string
	kind   string // of the message; "" is an envelope
	by     string // who signs; "" is delta
	change Change
	smtp   func(*transaction)
	want   verdict
	says   string // is in the reason for the log
}

// mutations are all of them, by topic.
func mutations() map[string][]mutation {
	return map[string][]mutation{
		"1. Signature": append(signatureMutations(), cmsMutations()...), "2. Signer": signerMutations(), "3. Structure": append(structureMutations(), partMutations()...),
		"4. Certification data": append(documentMutations(), valueMutations()...), "5. Kind and error": errorMutations(),
		"6. Outer header": append(headerMutations(), readerMutations()...), "7. SMTP transaction": transactionMutations(),
		"8. Receipts and notices": noticeMutations(),
	}
}

// TestMutations: each small change, in both families, has its verdict for its reason.
func TestMutations(t *testing.T) {
	conformance.Covers(t, "C103", "C104", "C105", "C107", "C108", "C109", "C110", "C111", "C112", "C114", "C118", "C119", "C131", "C199", "C200", "C258")
	w, count := theWorld(), 0
	seen := map[string]bool{}
	for topic, list := range mutations() {
		for _, m := range list {
			if seen[m.name] {
				t.Errorf("%s: %q is there twice", topic, m.name)
			}
			seen[m.name] = true
			count++
			for family, spell := range families {
				got, want := w.verdictOf(t, m, spell())
				if got.Outcome != want.outcome || got.Problem != want.problem || !strings.Contains(got.Detail, m.says) {
					t.Errorf("%s, %s: %s because of %q (%s), want %s, %q", m.name, family, got.Outcome, got.Problem, got.Detail, m.want, m.says)
				}
			}
		}
	}
	if count < 80 {
		t.Errorf("%d mutations only", count)
	}
}

// verdictOf judges a mutation in a spelling. A change that changes nothing proves nothing.
func (w *world) verdictOf(t *testing.T, m mutation, s Style) (policy.Judgement, verdict) {
	t.Helper()
	kind, by := or(m.kind, "envelope"), or(m.by, "delta")
	f, smtp := w.facts(kind)
	message := Build(f, s, w.who[by], m.change)
	if _, comes := kinds[kind]; comes && m.by == "" && m.smtp == nil && string(message) == string(Build(f, s, w.who[by])) {
		t.Errorf("%s changes nothing", m.name)
	}
	if m.smtp != nil {
		m.smtp(&smtp)
	}
	want := m.want
	if want.outcome == "" {
		want.outcome = kinds[kind]
	}
	return w.judge(t, message, smtp), want
}

// replaced changes text that must be there.
func replaced(old, with string) func(string) string {
	return func(s string) string {
		if !strings.Contains(s, old) {
			panic(fmt.Sprintf("there is no %q in\n%.2000s", old, s))
		}
		return strings.Replace(s, old, with, 1)
	}
}

func data(old, with string) Change { return Change{Data: replaced(old, with)} }
func sent(old, with string) Change { return Change{Sent: replaced(old, with)} }
