package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/pec"
)

// Finding is what an audit has to say of a message.
type Finding struct {
	// Identifier is that of the message.
	Identifier pec.Identifier `json:"identifier"`
	// Rule is the number of the rule that the finding is about, from 1 to 8, or 0 when it is about none:
	//
	//  1. A message has one transport envelope, one sender, and the same recipients in every record.
	//  2. A sender of ours got one acceptance, or one non-acceptance; a foreign one got none from us.
	//  3. Each certified recipient of ours is in one take-charge.
	//  4. Whoever is taken charge of, delivered to or not, is a certified recipient of the message, and ours to answer for.
	//  5. Each certified recipient of ours has one outcome: a receipt of what was delivered, or a notice that it was not.
	//     An alias is delivered when all its mailboxes have the message.
	//  6. Virus detections and the notices of non-delivery that they cause go by twos.
	//  7. Of a recipient that breaks 3 or 5, and of one of another provider of whom nothing is known, the sender was told that
	//     time ran out: once after 12 hours, once after 22.
	//  8. An infected message is in the quarantine before anybody is told of it, and stays there for its time.
	Rule int `json:"rule"`
	// Fault says that something is wrong; otherwise it is worth knowing.
	Fault bool `json:"fault"`
	// Text is a sentence.
	Text string `json:"text"`
}

// Audit is what the rules need to know.
type Audit struct {
	// Ours says whether a domain, in lower case, is managed by this provider.
	Ours func(domain string) bool
	// Settled is the instant at which a message must have begun, or before, to have come to its end: of younger ones
	// only what is there is judged, not what is missing.
	Settled time.Time
	// Now is the present: it says whose sender should have been told by now that time ran out. When it is zero, that is
	// worth knowing only.
	Now time.Time
}

// Run judges every message of the log, as it stands in tx, in the order of the identifiers. No findings: all is well.
// An error says that the log could not be read.
func (a Audit) Run(tx store.Tx) ([]Finding, error) {
	var found []Finding
	m := &message{audit: a}
	err := tx.Scan(tableIdentifiers, nil, func(key, _ []byte) error {
		at := len(key) - 8
		if at < 1 || key[at-1] != 0 {
			return fmt.Errorf("%w: %q in the index of the log", store.ErrRow, key)
		}
		if id := pec.Identifier(key[:at-1]); id != m.id {
			found = append(found, m.judge()...)
			m = &message{audit: a, id: id}
		}
		data, exists := tx.Get(tableRecords, key[at:])
		if !exists {
			return fmt.Errorf("%w: %q has a record that is not there", store.ErrRow, m.id)
		}
		return handOn(key[at:], bytes.Clone(data), m.add)
	})
	return append(found, m.judge()...), err
}

// message is what the log says of one identifier.
type message struct {
	audit    Audit
	id       pec.Identifier
	records  []Record
	findings []Finding
}

func (m *message) add(r Record) error {
	if r.Identifier != m.id {
		return errors.Join(store.ErrRow, fmt.Errorf("the record of %q is in the index of %q", r.Identifier, m.id))
	}
	m.records = append(m.records, r)
	return nil
}

// judge applies all rules.
func (m *message) judge() []Finding {
	for _, rule := range []func(*message){
		oneMessage, oneAnswer, oneTakeCharge, onlyRecipients, onlyTheirRecipients, oneOutcome, wholeAliases, virusesByTwos, foreignOutcomes,
		timeNotices, keptBeforeTold, worthKnowing,
	} {
		rule(m)
	}
	return m.findings
}

func (m *message) fault(rule int, format string, args ...any) {
	m.findings = append(m.findings, Finding{Identifier: m.id, Rule: rule, Fault: true, Text: fmt.Sprintf(format, args...)})
}

func (m *message) note(rule int, format string, args ...any) {
	m.findings = append(m.findings, Finding{Identifier: m.id, Rule: rule, Text: fmt.Sprintf(format, args...)})
}

// certifying are the events of a message that went the certified way: they tell of one message. The others tell of what
// somebody sent under its identifier.
func certifying(e Event) bool {
	switch e {
	case EventReception, EventAcceptance, EventEnvelope, EventTakeCharge, EventDelivery, EventDeliveryReceipt, EventNonDelivery,
		EventNonDeliveryVirus, EventVirusDetection, EventTimeout12, EventTimeout24, EventExpansion, EventCopy:
		return true
	}
	return false
}

// certified are the records of certifying events.
func (m *message) certified() []Record {
	return slices.DeleteFunc(slices.Clone(m.records), func(r Record) bool { return !certifying(r.Event) })
}

// of are the records of some events.
func (m *message) of(events ...Event) []Record {
	return slices.DeleteFunc(slices.Clone(m.records), func(r Record) bool { return !slices.Contains(events, r.Event) })
}

// covered says how often some events are about an address, folded.
func (m *message) covered(events ...Event) map[pec.Address]int {
	count := map[pec.Address]int{}
	for _, r := range m.of(events...) {
		for _, address := range r.Covered {
			count[address.Fold()]++
		}
	}
	return count
}

// local says whether the sender is a user of ours.
func (m *message) local() bool {
	records := m.certified()
	return len(records) > 0 && m.audit.Ours(records[0].Sender.Domain())
}

// settled says whether what is missing now is missing for good.
func (m *message) settled() bool {
	return len(m.records) > 0 && !m.records[0].Time.After(m.audit.Settled)
}

// recipients are the certified recipients of the message, folded, in order.
func (m *message) recipients() []pec.Address {
	var found []pec.Address
	for _, r := range m.certified() {
		for _, recipient := range r.Recipients {
			if a := recipient.Address.Fold(); recipient.Type == pec.Certified && !slices.Contains(found, a) {
				found = append(found, a)
			}
		}
	}
	return found
}

// ours are the certified recipients in our domains that this provider must answer for: all of them when the sender is
// ours, else those that came in, because a foreign provider may send to the others later.
func (m *message) ours() []pec.Address {
	came := m.covered(EventReception, EventTakeCharge, EventExpansion, EventCopy, EventDelivery, EventDeliveryReceipt, EventNonDelivery, EventVirusDetection)
	local := m.local()
	return slices.DeleteFunc(m.recipients(), func(a pec.Address) bool {
		return !m.audit.Ours(a.Domain()) || !local && came[a] == 0
	})
}
