package ledger_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/internal/ledger"
	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/pec"
)

// Our provider has alfa.example; the others are foreign.
func ours(domain string) bool { return domain == "alfa.example" }

// story is a message with what the log of alfa says of it.
type story struct {
	t          testing.TB
	id         pec.Identifier
	sender     pec.Address
	recipients []pec.Recipient
	records    []ledger.Record
}

func newStory(t testing.TB, sender string, recipients ...string) *story {
	s := &story{t: t, id: pec.Identifier("id@" + sender[strings.Index(sender, "@")+1:]), sender: address(t, sender)}
	for _, r := range recipients {
		kind := pec.Certified
		if strings.HasSuffix(r, "@ordinary.example") {
			kind = pec.Ordinary
		}
		s.recipients = append(s.recipients, pec.Recipient{Address: address(t, r), Type: kind})
	}
	return s
}

// tell adds a record about some recipients.
func (s *story) tell(e ledger.Event, covered ...string) *story {
	r := ledger.Record{Identifier: s.id, Time: instant, Sender: s.sender, Recipients: s.recipients, Event: e, Provider: "P"}
	r.Time = r.Time.Add(map[ledger.Event]time.Duration{ledger.EventTimeout12: 12 * time.Hour, ledger.EventTimeout24: 23 * time.Hour}[e])
	for _, c := range covered {
		r.Covered = append(r.Covered, address(s.t, c))
	}
	s.records = append(s.records, r)
	return s
}

// hear adds a notification of another provider.
func (s *story) hear(kind pec.Kind, covered ...string) *story {
	s.tell(ledger.EventNotification, covered...)
	s.records[len(s.records)-1].Kind = kind
	return s
}

// detail sets the detail of the last record.
func (s *story) detail(detail string) *story {
	s.records[len(s.records)-1].Detail = detail
	return s
}

func (s *story) delivered(to string) *story {
	return s.tell(ledger.EventDelivery, to).tell(ledger.EventDeliveryReceipt, to)
}

func (s *story) accepted() *story {
	return s.tell(ledger.EventAcceptance).tell(ledger.EventEnvelope)
}

func audit(t testing.TB, settled time.Time, stories ...*story) []ledger.Finding {
	t.Helper()
	s := open(t)
	for _, story := range stories {
		appendAll(t, s, story.records...)
	}
	var findings []ledger.Finding
	err := s.View(t.Context(), func(tx store.Tx) (err error) {
		findings, err = ledger.Audit{Ours: ours, Settled: settled}.Run(tx)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return findings
}

const (
	mario = "mario@alfa.example"
	luisa = "luisa@alfa.example"
	anna  = "anna@beta.example"
	bruno = "bruno@beta.example"
	joe   = "joe@ordinary.example"
)

// good are stories without a fault.
func good(t testing.TB) map[string]*story {
	return map[string]*story{
		"between two users of ours": newStory(t, mario, luisa).accepted().tell(ledger.EventTakeCharge, luisa).delivered(luisa),
		"to many": newStory(t, mario, luisa, anna, joe).accepted().tell(ledger.EventTakeCharge, luisa).delivered(luisa).
			hear(pec.KindTakeCharge, anna).hear(pec.KindDelivery, anna),
		"from outside": newStory(t, anna, mario, luisa, bruno).tell(ledger.EventReception, mario, luisa).
			tell(ledger.EventTakeCharge, mario, luisa).delivered(mario).tell(ledger.EventNonDelivery, luisa),
		"from outside, one of two recipients came": newStory(t, anna, mario, luisa).tell(ledger.EventReception, mario).
			tell(ledger.EventTakeCharge, mario).delivered(mario),
		"upper case": newStory(t, mario, "LUISA@alfa.example").accepted().tell(ledger.EventTakeCharge, "Luisa@alfa.example").
			delivered("luisa@ALFA.example"),
		"an alias of two mailboxes": newStory(t, anna, mario).tell(ledger.EventReception, mario).tell(ledger.EventTakeCharge, mario).
			tell(ledger.EventDelivery, mario).detail("a@alfa.example").tell(ledger.EventDelivery, mario).detail("b@alfa.example").
			tell(ledger.EventDeliveryReceipt, mario),
		"refused":                   newStory(t, mario, anna).tell(ledger.EventNonAcceptance),
		"bounced":                   newStory(t, mario, anna).accepted().tell(ledger.EventDSN, anna).tell(ledger.EventNonDelivery, anna),
		"a virus from outside":      newStory(t, anna, mario).tell(ledger.EventQuarantined).tell(ledger.EventReception, mario).tell(ledger.EventTakeCharge, mario).tell(ledger.EventVirusDetection, mario),
		"a submission with a virus": newStory(t, mario, anna).tell(ledger.EventQuarantined).tell(ledger.EventNonAcceptanceVirus),
		"a virus notice for what was delivered": newStory(t, mario, anna).accepted().hear(pec.KindDelivery, anna).
			tell(ledger.EventContradiction, anna).hear(pec.KindVirusDetection, anna),
		"two virus notices": newStory(t, mario, anna).accepted().hear(pec.KindVirusDetection, anna).tell(ledger.EventNonDeliveryVirus, anna).
			hear(pec.KindVirusDetection, anna),
		"a virus found outside": newStory(t, mario, anna).accepted().hear(pec.KindTakeCharge, anna).hear(pec.KindVirusDetection, anna).tell(ledger.EventNonDeliveryVirus, anna),
		"time ran out":          newStory(t, mario, luisa).accepted().tell(ledger.EventTimeout12, luisa).tell(ledger.EventTimeout24, luisa),
		"an anomaly under the same identifier": func() *story {
			s := newStory(t, mario, luisa).accepted().tell(ledger.EventTakeCharge, luisa).delivered(luisa)
			s.records = append(s.records, ledger.Record{Identifier: s.id, Time: instant, Sender: address(t, "evil@delta.example"), Event: ledger.EventAnomaly})
			return s
		}(),
	}
}

func TestCleanLog(t *testing.T) {
	for name, s := range good(t) {
		for _, f := range audit(t, instant, s) {
			if f.Fault {
				t.Errorf("%s: rule %d: %s", name, f.Rule, f.Text)
			}
		}
	}
}

func TestEachRuleIsJudged(t *testing.T) {
	conformance.Covers(t, "C143", "C157")
	for name, test := range map[string]struct {
		story *story
		rule  int
		fault bool
	}{
		"two envelopes": {newStory(t, mario, luisa).accepted().tell(ledger.EventEnvelope).tell(ledger.EventTakeCharge, luisa).delivered(luisa), 1, true},
		"another sender": {func() *story {
			s := good(t)["between two users of ours"]
			s.records[3].Sender = address(t, luisa)
			return s
		}(), 1, true},
		"other recipients": {func() *story {
			s := good(t)["to many"]
			s.records[2].Recipients = s.records[2].Recipients[:2]
			return s
		}(), 1, true},
		"another type": {func() *story {
			s := good(t)["from outside"]
			s.records[1].Recipients = slices.Clone(s.records[1].Recipients)
			s.records[1].Recipients[2].Type = pec.Ordinary
			return s
		}(), 1, true},
		"accepted and never sent":                  {newStory(t, mario, anna).tell(ledger.EventAcceptance), 1, true},
		"two acceptances":                          {newStory(t, mario, anna).accepted().tell(ledger.EventAcceptance), 2, true},
		"no acceptance":                            {newStory(t, mario, luisa).tell(ledger.EventEnvelope).tell(ledger.EventTakeCharge, luisa).delivered(luisa), 2, true},
		"a foreign sender accepted":                {newStory(t, anna, mario).accepted().tell(ledger.EventTakeCharge, mario).delivered(mario), 2, true},
		"refused twice":                            {newStory(t, mario, anna).tell(ledger.EventNonAcceptance).tell(ledger.EventNonAcceptance), 2, true},
		"refused and sent":                         {newStory(t, mario, anna).accepted().tell(ledger.EventNonAcceptance), 2, true},
		"two take-charges":                         {newStory(t, anna, mario).tell(ledger.EventTakeCharge, mario).tell(ledger.EventTakeCharge, "Mario@alfa.example").delivered(mario), 3, true},
		"no take-charge":                           {newStory(t, mario, luisa).accepted().delivered(luisa), 3, true},
		"received without take-charge":             {newStory(t, anna, mario).tell(ledger.EventReception, mario), 3, true},
		"take-charge of a stranger":                {newStory(t, anna, mario).tell(ledger.EventTakeCharge, mario, luisa).delivered(mario), 4, true},
		"take-charge of an ordinary one":           {newStory(t, mario, joe).accepted().tell(ledger.EventTakeCharge, joe), 4, true},
		"a receipt for a stranger":                 {newStory(t, anna, mario).tell(ledger.EventTakeCharge, mario).delivered(mario).tell(ledger.EventDeliveryReceipt, luisa), 4, true},
		"a receipt for another provider's user":    {newStory(t, mario, anna).accepted().tell(ledger.EventDeliveryReceipt, anna), 4, true},
		"a non-delivery for another sender's user": {newStory(t, anna, bruno, mario).tell(ledger.EventTakeCharge, mario).delivered(mario).tell(ledger.EventNonDelivery, bruno), 4, true},
		"two receipts":                             {newStory(t, anna, mario).tell(ledger.EventTakeCharge, mario).delivered(mario).tell(ledger.EventDeliveryReceipt, mario), 5, true},
		"two non-deliveries":                       {newStory(t, anna, mario).tell(ledger.EventTakeCharge, mario).tell(ledger.EventNonDelivery, mario).tell(ledger.EventNonDelivery, mario), 5, true},
		"both":                                     {newStory(t, anna, mario).tell(ledger.EventTakeCharge, mario).delivered(mario).tell(ledger.EventNonDelivery, mario), 5, true},
		"delivered, told otherwise":                {newStory(t, anna, mario).tell(ledger.EventTakeCharge, mario).tell(ledger.EventDelivery, mario).tell(ledger.EventNonDelivery, mario), 5, true},
		"a receipt without delivery":               {newStory(t, anna, mario).tell(ledger.EventTakeCharge, mario).tell(ledger.EventDeliveryReceipt, mario), 5, true},
		"delivered without receipt":                {newStory(t, anna, mario).tell(ledger.EventTakeCharge, mario).tell(ledger.EventDelivery, mario), 5, true},
		"no outcome":                               {newStory(t, anna, mario).tell(ledger.EventTakeCharge, mario), 5, true},
		"twice into a mailbox": {newStory(t, anna, mario).tell(ledger.EventTakeCharge, mario).tell(ledger.EventDelivery, mario).detail(mario).
			delivered(mario).detail("").tell(ledger.EventDelivery, mario).detail(mario), 5, true},
		"two foreign non-deliveries":           {newStory(t, mario, anna).accepted().tell(ledger.EventNonDelivery, anna).tell(ledger.EventNonDelivery, anna), 5, true},
		"non-delivery after their receipt":     {newStory(t, mario, anna).accepted().hear(pec.KindDelivery, anna).tell(ledger.EventNonDelivery, anna), 5, true},
		"their receipt after non-delivery":     {newStory(t, mario, anna).accepted().tell(ledger.EventNonDelivery, anna).hear(pec.KindDelivery, anna), 5, false},
		"they say both":                        {newStory(t, mario, anna).accepted().hear(pec.KindDelivery, anna).hear(pec.KindNonDelivery, anna), 5, false},
		"the sender not told of a virus":       {newStory(t, mario, anna).accepted().hear(pec.KindVirusDetection, anna), 6, true},
		"told of a virus twice":                {newStory(t, mario, anna).accepted().hear(pec.KindVirusDetection, anna).tell(ledger.EventNonDeliveryVirus, anna).tell(ledger.EventNonDeliveryVirus, anna), 6, true},
		"told of a virus nobody found":         {newStory(t, mario, anna).accepted().tell(ledger.EventNonDeliveryVirus, anna), 6, true},
		"a foreign sender told of a virus":     {newStory(t, anna, mario).tell(ledger.EventTakeCharge, mario).tell(ledger.EventVirusDetection, mario).tell(ledger.EventNonDeliveryVirus, mario), 6, true},
		"told of a virus, the notice not kept": {newStory(t, mario, anna).tell(ledger.EventNonAcceptanceVirus), 8, true},
		"a virus detected, not kept before":    {newStory(t, anna, mario).tell(ledger.EventTakeCharge, mario).tell(ledger.EventVirusDetection, mario).tell(ledger.EventQuarantined), 8, true},
		"delivered, and a virus detected": {newStory(t, anna, mario).tell(ledger.EventQuarantined).tell(ledger.EventTakeCharge, mario).tell(ledger.EventDelivery, mario).
			tell(ledger.EventVirusDetection, mario), 5, true},
		"told of a virus in what is known to be delivered": {newStory(t, mario, anna).accepted().hear(pec.KindDelivery, anna).
			hear(pec.KindVirusDetection, anna).tell(ledger.EventNonDeliveryVirus, anna), 5, true},
		"a virus detected twice":            {newStory(t, anna, mario).tell(ledger.EventTakeCharge, mario).tell(ledger.EventVirusDetection, mario).tell(ledger.EventVirusDetection, mario), 6, true},
		"time ran out on ours":              {newStory(t, mario, luisa).accepted().tell(ledger.EventTimeout24, luisa), 3, false},
		"they took charge twice":            {newStory(t, mario, anna).accepted().hear(pec.KindTakeCharge, anna).hear(pec.KindTakeCharge, anna).hear(pec.KindDelivery, anna), 3, false},
		"they never took charge":            {newStory(t, mario, anna).accepted().hear(pec.KindDelivery, anna), 3, false},
		"they speak of a stranger":          {newStory(t, mario, anna).accepted().hear(pec.KindTakeCharge, anna).hear(pec.KindDelivery, anna).hear(pec.KindDelivery, bruno), 4, false},
		"something was turned away":         {newStory(t, mario, luisa).tell(ledger.EventUntrusted), 0, false},
		"nothing known of a foreign one":    {newStory(t, mario, anna).accepted(), 7, false},
		"a contradiction":                   {good(t)["from outside"].tell(ledger.EventContradiction, mario), 0, false},
		"they speak of other recipients":    {newStory(t, mario, anna, bruno).accepted().hear(pec.KindDelivery, anna).hear(pec.KindDelivery, bruno).reshape(), 1, false},
		"notifications of an unknown thing": {newStory(t, mario, anna).hear(pec.KindDelivery, anna), 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			findings := audit(t, instant, test.story)
			found := slices.ContainsFunc(findings, func(f ledger.Finding) bool { return f.Rule == test.rule && f.Fault == test.fault })
			if !found {
				t.Errorf("findings %+v, want one of rule %d with fault %v", findings, test.rule, test.fault)
			}
			if !test.fault && slices.ContainsFunc(findings, func(f ledger.Finding) bool { return f.Fault }) {
				t.Errorf("findings %+v, want no fault", findings)
			}
		})
	}
}

// reshape takes the last recipient from the last record.
func (s *story) reshape() *story {
	last := &s.records[len(s.records)-1]
	last.Recipients = last.Recipients[:len(last.Recipients)-1]
	return s
}

// What is missing of a young message may still come; what is there is judged at once.
func TestYoungMessages(t *testing.T) {
	before := instant.Add(-time.Second)
	if got := audit(t, before, newStory(t, mario, luisa).accepted(), newStory(t, anna, mario).tell(ledger.EventTakeCharge, mario)); got != nil {
		t.Errorf("findings about messages under way: %+v", got)
	}
	twice := newStory(t, anna, mario).tell(ledger.EventTakeCharge, mario).tell(ledger.EventTakeCharge, mario)
	if got := audit(t, before, twice); len(got) != 1 || got[0].Rule != 3 {
		t.Errorf("findings about a young message taken twice: %+v, want one of rule 3", got)
	}
}

// Random logs of good messages are clean; with one record dropped or doubled the message it belongs to, and no other,
// is found out.
func TestRandomLogs(t *testing.T) {
	for seed := range uint64(60) {
		random := rand.New(rand.NewPCG(seed, 1))
		var stories []*story
		for n := range 1 + random.IntN(6) {
			stories = append(stories, randomStory(t, random, n))
		}
		if got := faults(audit(t, instant, stories...)); len(got) > 0 {
			t.Fatalf("seed %d: a clean log has faults: %+v", seed, got)
		}
		victim := stories[random.IntN(len(stories))]
		at := random.IntN(len(victim.records))
		spoilt := victim.records[at]
		if spoilt.Event == ledger.EventReception || spoilt.Event == ledger.EventNotification {
			continue // they may come twice, and their absence shows in nothing
		}
		what := "doubled"
		if random.IntN(2) == 0 {
			victim.records, what = slices.Delete(victim.records, at, at+1), "dropped"
		} else {
			victim.records = append(victim.records, spoilt)
		}
		if spoilt.Event == ledger.EventDelivery && what == "doubled" {
			continue // an alias has several mailboxes
		}
		if spoilt.Event == ledger.EventTakeCharge && what == "dropped" && len(victim.records) == 1 {
			continue // nothing certain is left
		}
		got := faults(audit(t, instant, stories...))
		if len(got) == 0 {
			t.Errorf("seed %d: %s of %s %s, and no fault is found", seed, spoilt.Event, victim.id, what)
		}
		for _, f := range got {
			if f.Identifier != victim.id {
				t.Errorf("seed %d: %s was spoilt, but %s is found: %s", seed, victim.id, f.Identifier, f.Text)
			}
		}
	}
}

func faults(findings []ledger.Finding) []ledger.Finding {
	return slices.DeleteFunc(findings, func(f ledger.Finding) bool { return !f.Fault })
}

// randomStory is a message without a fault. Its records come in an order that a busy agent may write.
func randomStory(t testing.TB, random *rand.Rand, n int) *story {
	sender, local := mario, random.IntN(2) == 0
	if !local {
		sender = anna
	}
	var own, all []string
	for i := range 1 + random.IntN(5) {
		all = append(all, fmt.Sprintf("user%d@alfa.example", i))
	}
	own = slices.Clone(all)
	if random.IntN(2) == 0 {
		all = append(all, joe)
	}
	s := newStory(t, sender, all...)
	s.id = pec.Identifier(fmt.Sprintf("%d.%s", n, s.id))
	if local {
		s.accepted()
	} else {
		s.tell(ledger.EventReception, own...)
	}
	s.tell(ledger.EventTakeCharge, own...)
	random.Shuffle(len(own), func(i, j int) { own[i], own[j] = own[j], own[i] })
	for _, to := range own {
		if random.IntN(3) == 0 {
			s.tell(ledger.EventNonDelivery, to)
		} else {
			s.delivered(to)
		}
	}
	return s
}
