package ledger

import (
	"time"

	"github.com/ceralacca/ceralacca/pec"
)

// The terms of the time notices, from the dispatch. [C088] [C089]
const (
	termFirst    = 12 * time.Hour
	termLast     = 22 * time.Hour
	termOverdue  = 24 * time.Hour
	termRounding = time.Second // instants are whole seconds
)

// timeNotices is rule 7 for what was told: by the sender's provider alone, once each, not too early.
func timeNotices(m *message) {
	told := m.of(EventTimeout12, EventTimeout24)
	if len(told) == 0 {
		return
	}
	if !m.local() {
		m.fault(7, "The sender was told that time ran out, but he belongs to another provider.")
	}
	for _, event := range []Event{EventTimeout12, EventTimeout24} {
		for a, n := range m.covered(event) {
			if n > 1 {
				m.fault(7, "%d notices %s were issued for %s.", n, event, a)
			}
		}
	}
	sent := m.of(EventAcceptance)
	if len(sent) == 0 {
		return // rule 2 says so
	}
	for _, r := range told {
		m.inTerm(r, r.Time.Sub(sent[0].Time))
	}
}

// inTerm judges when a notice was issued.
func (m *message) inTerm(r Record, after time.Duration) {
	term := termFirst
	if r.Event == EventTimeout24 {
		term = termLast
	}
	switch {
	case after < term-termRounding:
		m.fault(7, "The %s for %v was issued %s after the dispatch, which is too early.", r.Event, r.Covered, after)
	case r.Event == EventTimeout24 && after > termOverdue+termRounding:
		m.note(7, "The %s for %v was issued %s after the dispatch, which is late.", r.Event, r.Covered, after)
	}
}

// overdue says whether the sender should have been told of everybody of whom nothing is known.
func (m *message) overdue() bool {
	return m.settled() && !m.audit.Now.IsZero() && m.audit.Now.Sub(m.records[0].Time) > termOverdue
}

// foreignNotices is rule 7 for a recipient of another provider without outcome: both notices, or the last alone when it
// was taken charge of.
func (m *message) foreignNotices(a pec.Address) {
	switch {
	case m.covered(EventTimeout24)[a] == 0:
		m.fault(7, "Nothing is known of %s, and the sender was not told after 24 hours.", a)
	case m.covered(EventTimeout12)[a] == 0 && len(m.heard(a, pec.KindTakeCharge)) == 0:
		m.fault(7, "Nobody took charge of the message for %s, and the sender was not told after 12 hours.", a)
	}
}
