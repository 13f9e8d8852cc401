package lda

import (
	"slices"
	"testing"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/internal/effect"
)

// dying is one message, and what its presentation leads to once, whenever the agent dies.
type dying struct {
	effects []string
	steps   []string
	prepare func(w *world) (text []byte, from, to string)
	// mailboxes is what is new in all mailboxes of ours; out what went out, each as often as it may; both sorted.
	mailboxes, out []string
	events         []string
}

// TestDeathWithAVirus lets the agent die before and after each step of each effect that an infected message leads to,
// starts it anew and presents again: everything happens, once.
func TestDeathWithAVirus(t *testing.T) {
	conformance.Covers(t, "C027", "C061", "C067", "C120", "C121", "C143", "C144", "C153", "C157")
	all := []string{effect.StepClaim, effect.StepPrepared, effect.StepHandOver, effect.StepDone}
	kept := []string{effect.StepClaim, effect.StepHandOver, effect.StepDone}
	for name, d := range map[string]dying{
		"submission quarantine": {[]string{effectQuarantine}, kept, dieSubmitting, []string{"non-accettazione 5.5.1"}, nil,
			[]string{"quarantined", "non-acceptance-virus"}},
		"submission refusal": {[]string{effectRefusal}, all, dieSubmitting, []string{"non-accettazione 5.5.1"}, nil,
			[]string{"quarantined", "non-acceptance-virus"}},
		"incoming quarantine": {[]string{effectQuarantine}, kept, dieReceiving, nil, dieReceived, dieReceivedLog},
		"incoming notices":    {[]string{effectTakeCharge, effectOutcome}, all, dieReceiving, nil, dieReceived, dieReceivedLog},
		"virus notice": {[]string{effectOutcome, effectDelivery}, all, dieHearing,
			[]string{"errore-consegna " + anna + " 5.5.1", "rilevazione-virus " + anna + " " + eicar}, nil,
			[]string{"notification-received", "non-delivery-virus", "notification-delivered"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			for _, e := range d.effects {
				for _, step := range around(d.steps) {
					w.dieWith(d, step, e)
				}
			}
		})
	}
}

func dieSubmitting(w *world) ([]byte, string, string) {
	text, _, _ := w.infectedSubmission(mario, luigi)
	return text, mario, "rifiuto" + internal
}

func dieReceiving(w *world) ([]byte, string, string) {
	text, _, _ := w.infectedEnvelope(&message{from: anna, to: []string{mario, luigi}})
	return text, anna, "rifiuto" + internal
}

var (
	dieReceived = []string{
		betaService + ": presa-in-carico " + mario + " " + luigi,
		betaService + ": rilevazione-virus " + luigi + " 5.5.1", betaService + ": rilevazione-virus " + mario + " 5.5.1",
	}
	dieReceivedLog = []string{"quarantined", "reception", "take-charge", "virus-detection", "virus-detection"}
)

func dieHearing(w *world) ([]byte, string, string) {
	text, _, envelope := w.submission(&message{from: mario, to: []string{anna}})
	same(w.t, "submission", w.present(text, mario, "accettazione"+internal), []string{"250 2.0.0"})
	return w.virusNotice(w.certData(envelope), eicar, 0), w.beta.provider.Address.String(), service
}

// inAll says what all mailboxes hold.
func (w *world) inAll() []string {
	return slices.Sorted(slices.Values(slices.Concat(w.in(mario), w.in(luigi), w.in(service))))
}

func (w *world) dieWith(d dying, step, name string) {
	w.t.Helper()
	what := step + " of " + name
	text, from, to := d.prepare(w)
	before, known := w.inAll(), len(w.quarantined())
	logged := len(w.records(""))
	dead := w.killAt(step, name)
	answer := w.present(text, from, to)
	if !dead.Load() || !slices.Equal(answer, []string{"451 4.3.0"}) {
		w.t.Errorf("%s: dead %v, answer %v; want a death and a 451", what, dead.Load(), answer)
	}
	w.restart()
	for range 2 {
		same(w.t, what, w.present(text, from, to), []string{"250 2.0.0"})
	}
	added := append([]string{}, w.inAll()...)
	for _, old := range before {
		i := slices.Index(added, old)
		added = slices.Delete(added, i, i+1)
	}
	same(w.t, "mailboxes after "+what, added, append([]string{}, d.mailboxes...))
	out := w.outgoing()
	if step == "after "+effect.StepHandOver || step == "before "+effect.StepDone {
		out = slices.Compact(out) // a second copy of the same bytes
	}
	same(w.t, "out after "+what, out, append([]string{}, d.out...))
	var events []string
	for _, r := range w.records("")[logged:] {
		if e := string(r.Event); e != "possible-duplicate" && e != "duplicate" {
			events = append(events, e)
		}
	}
	same(w.t, "log after "+what, events, d.events)
	want := 0
	if d.events[0] == "quarantined" {
		want = 1
	}
	if got := len(w.quarantined()) - known; got != want {
		w.t.Errorf("%s: %d messages more in the quarantine, want %d", what, got, want)
	}
}
