package ledger

import (
	"slices"

	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/pec"
)

// virusesByTwos is rule 6. The notice is the duty of the sender's provider, for what others have detected; when it knew of
// another outcome before, the log has the contradiction and the sender hears nothing. [C157]
func virusesByTwos(m *message) {
	told, detected := m.covered(EventNonDeliveryVirus), m.covered(EventVirusDetection)
	for a, n := range detected {
		if n > 1 {
			m.fault(6, "%d virus detections were issued for %s.", n, a)
		}
	}
	for _, a := range m.recipients() {
		heard := len(m.heard(a, pec.KindVirusDetection))
		found := heard + detected[a]
		switch {
		case told[a] > 0 && !m.local():
			m.fault(6, "A sender of another provider was told of the virus for %s.", a)
		case told[a] > 1:
			m.fault(6, "The sender was told %d times of the virus for %s.", told[a], a)
		case told[a] == 1 && found == 0:
			m.fault(6, "The sender was told of a virus for %s that nobody detected.", a)
		case told[a] == 0 && found > 0 && m.contradicted(a):
			m.note(6, "The sender was not told of the virus for %s: another outcome was known.", a)
		case told[a] == 0 && found > 0 && m.local() && m.settled():
			m.fault(6, "The sender was not told of the virus for %s.", a)
		}
		if told[a] <= 1 && heard > 1 {
			m.note(6, "%d virus notices came in for %s.", heard, a)
		}
	}
}

// contradicted says whether the log has a contradiction about an address.
func (m *message) contradicted(a pec.Address) bool { return m.covered(EventContradiction)[a] > 0 }

// keptBeforeTold is rule 8.
func keptBeforeTold(m *message) {
	kept := slices.IndexFunc(m.records, func(r Record) bool { return r.Event == EventQuarantined })
	for n, r := range m.records {
		if (r.Event == EventVirusDetection || r.Event == EventNonAcceptanceVirus) && (kept < 0 || n < kept) {
			m.fault(8, "There is a record %s, and the infected message was not in the quarantine before.", r.Event)
		}
	}
}

// InQuarantine returns the records of the messages that the quarantine must have: those that were put in and not removed
// since. The related id of each is the name that the message has there.
func InQuarantine(tx store.Tx) ([]Record, error) {
	var records []Record
	err := ReadFrom(tx, 0, func(r Record) error {
		switch r.Event {
		case EventQuarantined:
			records = append(records, r)
		case EventQuarantineRemoved:
			records = slices.DeleteFunc(records, func(old Record) bool { return slices.Equal(old.Related, r.Related) })
		}
		return nil
	})
	return records, err
}
