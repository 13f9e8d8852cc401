package ledger_test

import (
	"slices"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/internal/ledger"
	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/pec"
)

// after sets when the last record's artefact was made, from the dispatch.
func (s *story) after(d time.Duration) *story {
	s.records[len(s.records)-1].Time = instant.Add(d)
	return s
}

// The time notices of a log: whoever should have had them has them, in their terms, once, and nobody else has.
func TestTimeNoticesAreJudged(t *testing.T) {
	conformance.Covers(t, "C088", "C089", "C090", "C092", "C100")
	told := func(s *story) *story { return s.tell(ledger.EventTimeout12, anna).tell(ledger.EventTimeout24, anna) }
	start := func() *story { return newStory(t, mario, anna, joe).accepted() }
	for name, test := range map[string]struct {
		story   *story
		hours   int
		rules   []int // of the faults
		noteToo bool
	}{
		"both":                        {told(start()), 30, nil, false},
		"neither, in time":            {start(), 23, nil, true},
		"neither, too late":           {start(), 25, []int{7}, false},
		"the first alone":             {start().tell(ledger.EventTimeout12, anna), 25, []int{7}, false},
		"the last alone":              {start().tell(ledger.EventTimeout24, anna), 25, []int{7}, false},
		"the last alone, taken":       {start().hear(pec.KindTakeCharge, anna).tell(ledger.EventTimeout24, anna), 25, nil, false},
		"taken and not told":          {start().hear(pec.KindTakeCharge, anna), 25, []int{7}, false},
		"delivered after the first":   {start().tell(ledger.EventTimeout12, anna).hear(pec.KindDelivery, anna), 25, nil, true},
		"delivered after both":        {told(start()).hear(pec.KindDelivery, anna), 30, nil, true},
		"not delivered after both":    {told(start()).tell(ledger.EventDSN, anna).tell(ledger.EventNonDelivery, anna), 30, nil, false},
		"the first too early":         {start().tell(ledger.EventTimeout12, anna).after(11*time.Hour).tell(ledger.EventTimeout24, anna), 30, []int{7}, false},
		"the last too early":          {start().tell(ledger.EventTimeout12, anna).tell(ledger.EventTimeout24, anna).after(21 * time.Hour), 30, []int{7}, false},
		"the last too late":           {start().tell(ledger.EventTimeout12, anna).tell(ledger.EventTimeout24, anna).after(25 * time.Hour), 30, nil, true},
		"the first twice":             {told(start()).tell(ledger.EventTimeout12, anna), 30, []int{7}, false},
		"the last twice":              {told(start()).tell(ledger.EventTimeout24, anna), 30, []int{7}, false},
		"about an ordinary recipient": {told(start()).tell(ledger.EventTimeout24, joe), 30, []int{4}, false},
		"about a stranger":            {told(start()).tell(ledger.EventTimeout12, bruno), 30, []int{4}, false},
		"to a foreign sender": {newStory(t, anna, mario).tell(ledger.EventReception, mario).tell(ledger.EventTakeCharge, mario).
			delivered(mario).tell(ledger.EventTimeout24, mario), 30, []int{7}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			appendAll(t, s, test.story.records...)
			var found []ledger.Finding
			err := s.View(t.Context(), func(tx store.Tx) (err error) {
				found, err = ledger.Audit{Ours: ours, Settled: instant, Now: instant.Add(time.Duration(test.hours) * time.Hour)}.Run(tx)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			var rules []int
			for _, f := range found {
				if f.Fault {
					rules = append(rules, f.Rule)
				}
			}
			if !slices.Equal(rules, test.rules) || test.noteToo && len(found) == len(rules) {
				t.Errorf("findings %+v, want faults of the rules %v, a note too: %v", found, test.rules, test.noteToo)
			}
		})
	}
}
