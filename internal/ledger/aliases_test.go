package ledger_test

import (
	"slices"
	"testing"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/internal/ledger"
)

const info = "info@alfa.example"

// boxes sets the mailboxes of the last record.
func (s *story) boxes(list ...string) *story {
	r := &s.records[len(s.records)-1]
	for _, box := range list {
		r.Mailboxes = append(r.Mailboxes, address(s.t, box))
	}
	return s
}

// TestAuditOfAliases: an alias is delivered when all mailboxes that were fixed have the message, and only those.
func TestAuditOfAliases(t *testing.T) {
	conformance.Covers(t, "C160", "C165")
	begin := func() *story {
		return newStory(t, anna, info, mario).tell(ledger.EventReception, info).tell(ledger.EventTakeCharge, info).
			tell(ledger.EventExpansion, info).boxes(mario, luisa)
	}
	copyIn := func(s *story, box string) *story { return s.tell(ledger.EventCopy, info).detail(box) }
	for name, test := range map[string]struct {
		story *story
		want  []string // with "!" in front of a fault
	}{
		"all have it":     {copyIn(copyIn(begin(), mario), luisa).delivered(info), nil},
		"one failed":      {copyIn(begin(), mario).tell(ledger.EventNonDelivery, info), []string{"info@alfa.example was not delivered, but 1 of its 2 mailboxes have the message."}},
		"none has it":     {begin().tell(ledger.EventNonDelivery, info), nil},
		"one is wanting":  {copyIn(begin(), mario).delivered(info), []string{"!info@alfa.example counts as delivered, but its mailbox luisa@alfa.example does not have the message."}},
		"delivered twice": {copyIn(copyIn(copyIn(begin(), mario), mario), luisa).delivered(info), []string{"!The message was delivered twice to mario@alfa.example for info@alfa.example."}},
		"another mailbox": {copyIn(copyIn(copyIn(begin(), mario), luisa), "spy@alfa.example").delivered(info), []string{"!The message was put into spy@alfa.example for info@alfa.example, which is none of its mailboxes."}},
		"fixed twice": {copyIn(copyIn(begin().tell(ledger.EventExpansion, info).boxes(mario), mario), luisa).delivered(info),
			[]string{"!The mailboxes of info@alfa.example were fixed 2 times.", "!The mailboxes of info@alfa.example were fixed 2 times.",
				"!The message was put into luisa@alfa.example for info@alfa.example, which is none of its mailboxes."}},
		"one had it under its own name": {copyIn(begin().tell(ledger.EventTakeCharge, mario).tell(ledger.EventDelivery, mario).detail(mario).
			tell(ledger.EventDeliveryReceipt, mario), luisa).delivered(info), nil},
		"both outcomes": {copyIn(copyIn(begin(), mario), luisa).delivered(info).tell(ledger.EventNonDelivery, info), []string{"!info@alfa.example has more than one outcome."}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, f := range audit(t, instant, test.story) {
				if f.Fault {
					f.Text = "!" + f.Text
				}
				got = append(got, f.Text)
			}
			slices.Sort(got)
			if !slices.Equal(got, test.want) {
				t.Errorf("findings %q, want %q", got, test.want)
			}
		})
	}
}
