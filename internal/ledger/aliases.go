package ledger

import (
	"slices"

	"github.com/ceralacca/ceralacca/pec"
)

// deliveredTwice looks at single mailboxes, where the record names them: an alias has several.
func (m *message) deliveredTwice() {
	type place struct{ recipient, mailbox string }
	seen := map[place]bool{}
	for _, r := range m.of(EventDelivery, EventCopy) {
		for _, a := range r.Covered {
			p := place{a.Fold().String(), r.Detail}
			if r.Detail != "" && seen[p] {
				m.fault(5, "The message was delivered twice to %s for %s.", r.Detail, a)
			}
			seen[p] = true
		}
	}
}

// wholeAliases is what rule 5 says of aliases: their mailboxes were fixed once, a receipt is true of all of them, and what
// a few of them have although the sender was told otherwise is worth knowing.
func wholeAliases(m *message) {
	fixed := m.covered(EventExpansion)
	delivered, receipts := m.covered(EventDelivery), m.covered(EventDeliveryReceipt)
	holders := m.holders()
	for _, r := range m.of(EventExpansion) {
		for _, a := range r.Covered {
			if fixed[a.Fold()] > 1 {
				m.fault(5, "The mailboxes of %s were fixed %d times.", a, fixed[a.Fold()])
			}
			lacking := slices.DeleteFunc(slices.Clone(r.Mailboxes), func(box pec.Address) bool { return holders[box.Fold()] })
			switch whole := delivered[a.Fold()]+receipts[a.Fold()] > 0; {
			case whole && len(lacking) > 0:
				m.fault(5, "%s counts as delivered, but its mailbox %s does not have the message.", a, lacking[0])
			case !whole && m.settled() && len(lacking) < len(r.Mailboxes):
				m.note(5, "%s was not delivered, but %d of its %d mailboxes have the message.", a, len(r.Mailboxes)-len(lacking), len(r.Mailboxes))
			}
		}
		m.onlyIts(r)
	}
}

// holders are the mailboxes that have the message, for whomever.
func (m *message) holders() map[pec.Address]bool {
	found := map[pec.Address]bool{}
	for _, r := range m.of(EventDelivery, EventCopy) {
		if box, err := pec.ParseAddress(r.Detail); err == nil { // else it names none
			found[box.Fold()] = true
		}
	}
	return found
}

// onlyIts finds copies for an alias in mailboxes that it did not come to.
func (m *message) onlyIts(expansion Record) {
	for _, a := range expansion.Covered {
		for _, r := range m.of(EventCopy) {
			about := slices.ContainsFunc(r.Covered, func(c pec.Address) bool { return c.Fold() == a.Fold() })
			its := slices.ContainsFunc(expansion.Mailboxes, func(box pec.Address) bool { return box.String() == r.Detail })
			if about && !its {
				m.fault(5, "The message was put into %s for %s, which is none of its mailboxes.", r.Detail, a)
			}
		}
	}
}
