package lda

import (
	"testing"

	"github.com/ceralacca/ceralacca/internal/conformance"
)

// TestSentTwice: a client whose answer was lost sends again. Both messages take their way, each once, and the log marks
// the second, which names the first.
func TestSentTwice(t *testing.T) {
	conformance.Covers(t, "C241")
	w := newWorld(t)
	first, one, _ := w.submission(&message{from: mario, to: []string{luigi}})
	second, two, _ := w.submission(&message{from: mario, to: []string{luigi}})
	for _, text := range [][]byte{first, first, second, second} {
		got := w.present(text, mario, luigi, "accettazione"+internal)
		same(t, "answers", got, []string{"250 2.0.0", "250 2.0.0"})
	}
	same(t, "luigi", w.in(luigi), []string{"posta-certificata", "posta-certificata"})
	whole := []string{"acceptance", "transport-envelope", "take-charge", "delivery", "delivery-receipt"}
	same(t, "log of the first", w.events(one.Identifier), whole)
	same(t, "log of the second", w.events(two.Identifier), append(whole[:2:2], append([]string{"possible-duplicate"}, whole[2:]...)...))
	mark := w.records(two.Identifier)[2]
	same(t, "the first, as the mark names it", mark.Related, []string{"<" + string(one.Identifier) + ">"})
}
