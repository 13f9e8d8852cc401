package ledger

import (
	"slices"

	"github.com/ceralacca/ceralacca/pec"
)

// oneMessage is rule 1.
func oneMessage(m *message) {
	if n := len(m.of(EventEnvelope)); n > 1 {
		m.fault(1, "%d transport envelopes were sent.", n)
	}
	records := m.certified()
	for n, r := range records {
		if n > 0 && r.Sender.Fold() != records[0].Sender.Fold() {
			m.fault(1, "The %s is of a message by %s, the %s of one by %s.", r.Event, r.Sender, records[0].Event, records[0].Sender)
		}
		if n > 0 && !sameRecipients(r, records[0]) {
			m.fault(1, "The %s names other recipients than the %s.", r.Event, records[0].Event)
		}
	}
	for _, r := range m.of(EventNotification) {
		if len(records) > 0 && (r.Sender.Fold() != records[0].Sender.Fold() || !sameRecipients(r, records[0])) {
			m.note(1, "The provider %s speaks of another sender or of other recipients.", r.Provider)
		}
	}
}

// sameRecipients compares without case and order.
func sameRecipients(a, b Record) bool {
	list := func(r Record) []string {
		var out []string
		for _, recipient := range r.Recipients {
			out = append(out, recipient.Address.Fold().String()+" "+string(recipient.Type))
		}
		slices.Sort(out)
		return slices.Compact(out)
	}
	return slices.Equal(list(a), list(b))
}

// oneAnswer is rule 2.
func oneAnswer(m *message) {
	accepted := len(m.of(EventAcceptance))
	refused := len(m.of(EventNonAcceptance, EventNonAcceptanceVirus))
	sent := len(m.of(EventEnvelope))
	switch {
	case refused > 1:
		m.fault(2, "The sender got %d notices of non-acceptance.", refused)
	case refused == 1 && len(m.certified()) > 0:
		m.fault(2, "The sender was told that the message is not accepted, but it was sent.")
	case len(m.certified()) == 0:
	case !m.local() && accepted+sent > 0:
		m.fault(2, "The message was accepted here, but its sender belongs to another provider.")
	case !m.local():
	case accepted > 1:
		m.fault(2, "The sender got %d acceptance receipts.", accepted)
	case accepted == 0:
		m.fault(2, "The message is on its way, but the sender has no acceptance receipt.")
	case sent == 0:
		m.fault(1, "The message was accepted, but no transport envelope was sent.")
	}
}

// oneTakeCharge is rule 3.
func oneTakeCharge(m *message) {
	taken := m.covered(EventTakeCharge)
	for _, a := range m.ours() {
		switch n := taken[a]; {
		case n > 1:
			m.fault(3, "%s is in %d take-charge receipts.", a, n)
		case n == 0 && m.settled():
			m.missing(3, a, "is in no take-charge receipt")
		}
	}
}

// onlyRecipients is rule 4.
func onlyRecipients(m *message) {
	recipients := m.recipients()
	for _, r := range m.of(EventTakeCharge, EventDelivery, EventDeliveryReceipt, EventNonDelivery, EventVirusDetection, EventNonDeliveryVirus,
		EventTimeout12, EventTimeout24) {
		for _, a := range r.Covered {
			switch {
			case !slices.Contains(recipients, a.Fold()):
				m.fault(4, "The %s is about %s, which is no certified recipient of the message.", r.Event, a)
			case !m.audit.Ours(a.Domain()) && !m.maySpeakFor(r.Event):
				m.fault(4, "The %s is about %s, which belongs to another provider.", r.Event, a)
			}
		}
	}
}

// onlyTheirRecipients is rule 4 for what others certify about a message of ours.
func onlyTheirRecipients(m *message) {
	if !m.local() {
		return
	}
	recipients := m.recipients()
	for _, r := range m.of(EventNotification) {
		for _, a := range r.Covered {
			if !slices.Contains(recipients, a.Fold()) {
				m.note(4, "The provider %s speaks of %s, which is no certified recipient of the message.", r.Provider, a)
			}
		}
	}
}

// maySpeakFor says whether an event may be about a recipient of another provider: its sender's provider tells what its
// own servers could not do, of the viruses that others detected, and that time ran out.
func (m *message) maySpeakFor(e Event) bool {
	return m.local() && slices.Contains([]Event{EventNonDelivery, EventNonDeliveryVirus, EventTimeout12, EventTimeout24}, e)
}

// oneOutcome is rule 5.
func oneOutcome(m *message) {
	delivered, receipts := m.covered(EventDelivery), m.covered(EventDeliveryReceipt)
	refused, viruses := m.covered(EventNonDelivery), m.covered(EventVirusDetection)
	for _, a := range m.ours() {
		outcomes := min(receipts[a], 1) + min(refused[a], 1) + min(viruses[a], 1)
		switch {
		case receipts[a] > 1:
			m.fault(5, "%d delivery receipts were issued for %s.", receipts[a], a)
		case refused[a] > 1:
			m.fault(5, "%d notices of non-delivery were issued for %s.", refused[a], a)
		case outcomes > 1:
			m.fault(5, "%s has more than one outcome.", a)
		case delivered[a] > 0 && refused[a]+viruses[a] > 0:
			m.fault(5, "%s has the message, and the sender was told otherwise.", a)
		case receipts[a] == 1 && delivered[a] == 0:
			m.fault(5, "The receipt says that %s has the message, but it was not delivered.", a)
		case outcomes == 0 && m.settled():
			m.missing(5, a, "has no outcome")
		}
	}
	m.deliveredTwice()
}

// missing is rule 7: what broke rule 3 or 5 is no fault when the sender was told in time.
func (m *message) missing(rule int, a pec.Address, what string) {
	if m.covered(EventTimeout12, EventTimeout24)[a] > 0 {
		m.note(rule, "%s %s; the sender was told that time ran out.", a, what)
		return
	}
	m.fault(rule, "%s %s.", a, what)
}

// foreignOutcomes is rules 5 and 7 for the certified recipients of others, as far as their receipts say. What they fail
// to send is no fault of this log.
func foreignOutcomes(m *message) {
	if !m.local() {
		return
	}
	told := m.covered(EventTimeout12, EventTimeout24)
	for _, a := range m.recipients() {
		if m.audit.Ours(a.Domain()) {
			continue
		}
		delivered, notices := m.heard(a, pec.KindDelivery), m.ourNonDelivery(a)
		refused := append(m.heard(a, pec.KindNonDelivery), m.heard(a, pec.KindVirusDetection)...)
		switch {
		case len(notices) > 1:
			m.fault(5, "%d notices of non-delivery were issued for %s.", len(notices), a)
		case len(notices) == 1 && len(delivered) > 0 && delivered[0] < notices[0]:
			m.fault(5, "The sender was told that %s has no message, after its provider had said that it has.", a)
		case len(delivered) > 0 && len(refused)+len(notices) > 0:
			m.note(5, "The provider of %s contradicts what was known.", a)
		case len(delivered)+len(refused)+len(notices) == 0 && m.overdue():
			m.foreignNotices(a)
		case len(delivered)+len(refused)+len(notices) == 0 && m.settled() && told[a] == 0:
			m.note(7, "Nothing is known of %s.", a)
		}
		m.foreignTakeCharge(a, len(delivered)+len(refused))
	}
}

// foreignTakeCharge is rule 3 for a certified recipient of another provider, which certified so many outcomes.
func (m *message) foreignTakeCharge(a pec.Address, outcomes int) {
	switch n := len(m.heard(a, pec.KindTakeCharge)); {
	case n > 1:
		m.note(3, "The provider of %s sent %d take-charge receipts.", a, n)
	case n == 0 && outcomes > 0 && m.settled():
		m.note(3, "The provider of %s sent no take-charge receipt.", a)
	}
}

// heard are the places in the log of the notifications of a kind about an address.
func (m *message) heard(a pec.Address, kind pec.Kind) []uint64 {
	return m.places(a, func(r Record) bool { return r.Event == EventNotification && r.Kind == kind })
}

func (m *message) ourNonDelivery(a pec.Address) []uint64 {
	return m.places(a, func(r Record) bool { return r.Event == EventNonDelivery || r.Event == EventNonDeliveryVirus })
}

func (m *message) places(a pec.Address, wanted func(Record) bool) []uint64 {
	var found []uint64
	for _, r := range m.records {
		about := slices.ContainsFunc(r.Covered, func(c pec.Address) bool { return c.Fold() == a })
		if about && wanted(r) {
			found = append(found, r.Sequence)
		}
	}
	return found
}

// worthKnowing is no rule: what somebody should look at.
func worthKnowing(m *message) {
	for _, r := range m.of(EventPossibleDuplicate, EventContradiction, EventUndeliverable, EventUntrusted) {
		m.note(0, "There is a record %s: %s.", r.Event, r.Detail)
	}
	if len(m.certified()) == 0 && len(m.of(EventNotification)) > 0 && m.settled() {
		m.note(0, "There are notifications about a message that this log does not know.")
	}
}
