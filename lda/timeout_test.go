package lda

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/internal/effect"
	"github.com/ceralacca/ceralacca/internal/ledger"
	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/internal/tracking"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/signer"
	"github.com/ceralacca/ceralacca/test/dovecot"
)

const (
	firstCode = "Alfa" // the first notice has no code: its error text begins with the provider
	lastCode  = "5.4.1"
)

// first and last describe the notices about a recipient.
func first(to string) string { return string(pec.KindTimeout) + " " + to + " " + firstCode }
func last(to string) string  { return string(pec.KindTimeout) + " " + to + " " + lastCode }

// at lets the clock be so long after the test's begin, and has the agent look at what is due.
func (w *world) at(d time.Duration) {
	w.t.Helper()
	w.clock.shift.Store(int64(d))
	if err := w.agent.watchDue(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// accepts has a submission accepted and returns its certification data.
func (w *world) accepts(from string, to ...string) *pec.CertData {
	w.t.Helper()
	text, _, envelope := w.submission(&message{from: from, to: to})
	same(w.t, "submission", w.present(text, from, "accettazione"+internal), []string{"250 2.0.0"})
	return w.certData(envelope)
}

// certifies has beta say something about a recipient of a message.
func (w *world) certifies(kind pec.Kind, about *pec.CertData, recipient string) {
	w.t.Helper()
	a, to := addr(w.t, recipient), about.Sender.String()
	if kind == pec.KindTakeCharge {
		to = service
	}
	text := w.notification(kind, about, to, func(c *pec.CertData) {
		if c.Delivery != nil {
			c.Delivery = &a
		} else {
			c.Taken = []pec.Address{a}
		}
	})
	same(w.t, string(kind), w.present(text, w.beta.provider.Address.String(), to), []string{"250 2.0.0"})
}

// notices are the time notices in a mailbox, in their order.
func (w *world) notices(box string) []string {
	w.t.Helper()
	out := []string{}
	for _, text := range w.dovecot.Messages(box) {
		if said := w.describe(crlf(text)); strings.HasPrefix(said, string(pec.KindTimeout)) {
			out = append(out, said)
		}
	}
	return out
}

func (w *world) watches() (list []tracking.Watch, count int) {
	w.t.Helper()
	err := w.store.View(w.t.Context(), func(tx store.Tx) error {
		count = tracking.Watched(tx)
		return tracking.WatchesFrom(tx, tracking.Watch{}, func(one tracking.Watch) error {
			list = append(list, one)
			return nil
		})
	})
	if err != nil || len(list) != count {
		w.t.Errorf("%d watches, counted %d, %v", len(list), count, err)
	}
	return list, count
}

// The cases of RFC 6109 3.1.6: what is certified when, and what the sender is told by when.
func TestTimeNotices(t *testing.T) {
	conformance.Covers(t, "C088", "C089", "C090", "C091", "C092", "C093", "C100", "C131")
	const never = 0
	hours := func(h float64) time.Duration { return time.Duration(h * float64(time.Hour)) }
	for name, test := range map[string]struct {
		taken, delivered, refused, virus float64  // when, in hours; -1 is before the acceptance
		at12, at13, at22, at24, late     []string // the notices after 11:59, 12:01, 21:59, 23:20 and in the end
	}{
		"neither":                            {at13: []string{"first"}, at22: []string{"first"}, at24: []string{"first", "last"}},
		"taken within 12 h, never delivered": {taken: 1, at24: []string{"last"}},
		"taken after 12 h, never delivered":  {taken: 13, at13: []string{"first"}, at22: []string{"first"}, at24: []string{"first", "last"}},
		"delivered between 12 and 24 h":      {delivered: 14, at13: []string{"first"}, at22: []string{"first"}, at24: []string{"first"}},
		"taken, delivered between":           {taken: 2, delivered: 14},
		"delivered within 12 h":              {delivered: 3},
		"taken and delivered within 12 h":    {taken: 3, delivered: 4},
		"not delivered within 12 h":          {refused: 4},
		"taken, not delivered after 22 h":    {taken: 1, refused: 22.5},
		"not delivered after the first":      {refused: 20, at13: []string{"first"}, at22: []string{"first"}, at24: []string{"first"}},
		"a virus within 12 h":                {virus: 3},
		"delivered after the last":           {delivered: 26, at13: []string{"first"}, at22: []string{"first"}, at24: []string{"first", "last"}},
		"taken before the acceptance":        {taken: -1, at24: []string{"last"}},
		"delivered before the acceptance":    {delivered: -1},
		"refused before the acceptance":      {refused: -1},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			text, r, envelope := w.submission(&message{from: mario, to: []string{anna, carlo}})
			about := w.certData(envelope)
			certify := func(from, to float64) {
				for kind, hour := range map[pec.Kind]float64{
					pec.KindTakeCharge: test.taken, pec.KindDelivery: test.delivered, pec.KindNonDelivery: test.refused,
				} {
					if hour != never && hour >= from && hour < to {
						w.certifies(kind, about, anna)
					}
				}
				if test.virus != never && test.virus >= from && test.virus < to {
					w.hear(w.virusNotice(about, eicar, 0))
				}
			}
			certify(-1, 0)
			same(t, "submission", w.present(text, mario, "accettazione"+internal), []string{"250 2.0.0"})
			before := 0.0
			for _, look := range []struct {
				hour float64
				want []string
			}{{11.99, test.at12}, {12.01, test.at13}, {21.99, test.at22}, {23.3, test.at24}, {25, test.at24}, {48, test.at24}} {
				w.clock.shift.Store(int64(hours(look.hour) - 30*time.Second))
				certify(before, look.hour)
				before = look.hour
				for range 2 { // looking again tells nothing again
					w.at(hours(look.hour))
				}
				want := []string{}
				for _, one := range look.want {
					want = append(want, map[string]string{"first": first(anna), "last": last(anna)}[one])
				}
				same(t, "notices", w.notices(mario), want)
			}
			if list, _ := w.watches(); len(list) != 0 {
				t.Errorf("still watched: %+v", list)
			}
			if test.delivered > 0 && !slices.ContainsFunc(w.in(mario), func(s string) bool { return strings.HasPrefix(s, "avvenuta-consegna") }) {
				t.Error("the receipt did not reach the sender")
			}
			w.audited(r.Identifier)
		})
	}
}

// audited asks that the log of a message is coherent.
func (w *world) audited(id pec.Identifier) {
	w.t.Helper()
	err := w.store.View(w.t.Context(), func(tx store.Tx) error {
		found, err := ledger.Audit{Ours: func(d string) bool { return d == "alfa.example" }, Settled: w.clock.Now(), Now: w.clock.Now()}.Run(tx)
		for _, f := range found {
			if f.Fault && f.Identifier == id {
				w.t.Errorf("audit: rule %d: %s", f.Rule, f.Text)
			}
		}
		return err
	})
	if err != nil {
		w.t.Error(err)
	}
}

// TestTimeNoticeForm: what both notices say, and to whom. OpenSSL's word on them is in test/clock.
func TestTimeNoticeForm(t *testing.T) {
	conformance.Covers(t, "C094", "C095", "C096", "C097", "C098", "C099", "C253")
	w := newWorld(t)
	about := w.accepts(mario, anna, bruno)
	w.at(12*time.Hour + time.Minute)
	w.at(23*time.Hour + 30*time.Minute)
	same(t, "notices", slices.Sorted(slices.Values(w.notices(mario))), []string{last(anna), first(anna), last(bruno), first(bruno)})
	same(t, "out", w.outgoing(), []string{})
	details := map[string]string{
		first(anna): w.alfa.provider.Name + " - il messaggio non è stato consegnato nelle prime dodici ore dal suo invio",
		last(anna):  "5.4.1 - " + w.alfa.provider.Name + " - il messaggio non è stato consegnato nelle prime ventiquattro ore dal suo invio",
	}
	words := map[string]string{first(anna): "prime dodici ore", last(anna): "ventiquattro ore successive"}
	for _, raw := range w.dovecot.Messages(mario) {
		text := crlf(raw)
		said := w.describe(text)
		if details[said] == "" {
			continue
		}
		opened := must(signer.Open(pec.Bytes(text)))(t)
		for field, want := range map[string]string{
			pec.FieldReceipt: "preavviso-errore-consegna", "To": mario, pec.FieldReference: about.MessageID,
			"Subject": "AVVISO DI MANCATA CONSEGNA PER SUP. TEMPO MASSIMO: Prova", "From": w.alfa.provider.Address.String(),
		} {
			if got := opened.Header.Get(field); got != want {
				t.Errorf("%s: %s is %q, want %q", said, field, got, want)
			}
		}
		data := w.certData(text)
		if data.Detail != details[said] || data.Error != pec.ErrorOther || data.Identifier != about.Identifier || *data.Delivery != addr(t, anna) {
			t.Errorf("%s: the data say %+v", said, data)
		}
		if got := w.text(text); !strings.Contains(got, words[said]) || !strings.Contains(got, anna) || strings.Contains(got, bruno) {
			t.Errorf("%s: the text says\n%s", said, got)
		}
		if parts := must(pec.ReadParts(opened.Content))(t); parts.Original != nil || bytes.Contains(text, []byte("message/rfc822")) {
			t.Errorf("%s carries the original", said)
		}
	}
	same(t, "log", w.events(about.Identifier), []string{
		"acceptance", "transport-envelope", "timeout-12h", "timeout-12h", "timeout-24h", "timeout-24h",
	})
	w.audited(about.Identifier)
}

// TestLocalRecipientsAreWatched: whoever cannot be delivered to here is told of like others; and not when Dovecot is back.
func TestLocalRecipientsAreWatched(t *testing.T) {
	conformance.Covers(t, "C088", "C090", "C183")
	w := newWorld(t)
	text, r, _ := w.submission(&message{from: mario, to: []string{luigi}})
	to := []string{luigi, "accettazione" + internal}
	w.lose(luigi)
	same(t, "answers", w.present(text, mario, to...), []string{"451 4.3.0", "250 2.0.0"})
	w.at(13 * time.Hour) // taken: no first notice
	same(t, "after 13 h", w.notices(mario), []string{})
	w.at(23*time.Hour + 20*time.Minute) // Postfix has not come again
	same(t, "after 23 h", w.notices(mario), []string{last(luigi)})
	w.lose()
	same(t, "answers", w.present(text, mario, to...), []string{"250 2.0.0", "250 2.0.0"})
	same(t, "fact", []string{w.fact(r.Identifier, luigi)}, []string{"taken delivered"})
	w.audited(r.Identifier)
}

// TestForeignCertificatesStopNothing: what a provider says of the recipients of others, of another message, or of the same
// identifier of another provider, is no fact about this one.
func TestForeignCertificatesStopNothing(t *testing.T) {
	conformance.Covers(t, "C131")
	w := newWorld(t)
	about := w.accepts(mario, anna)
	other := *about
	other.Identifier = "0" + about.Identifier[1:]
	if other.Identifier == about.Identifier {
		other.Identifier = "1" + about.Identifier[1:]
	}
	w.certifies(pec.KindDelivery, &other, anna)
	w.certifies(pec.KindDelivery, about, bruno)
	text, _, _ := w.incoming(&message{from: anna, to: []string{mario}, identifier: about.Identifier}) // beta's message of that name
	same(t, "incoming", w.present(text, anna, mario), []string{"250 2.0.0"})
	w.at(12*time.Hour + time.Minute)
	w.at(23*time.Hour + 20*time.Minute)
	same(t, "notices", w.notices(mario), []string{first(anna), last(anna)})
}

// TestCertificateBetweenLookAndNotice: what is recorded after the look and before the notice is prepared, or before it is
// handed over, stops it; nothing is left of it.
func TestCertificateBetweenLookAndNotice(t *testing.T) {
	conformance.Covers(t, "C088", "C089")
	for _, step := range []string{"before " + effect.StepClaim, "after " + effect.StepClaim, "before " + effect.StepPrepared, "after " + effect.StepPrepared} {
		t.Run(step, func(t *testing.T) {
			w := newWorld(t)
			about := w.accepts(mario, anna)
			fact := tracking.Fact{Sender: w.alfa.provider.Name, Identifier: about.Identifier, Recipient: addr(t, anna),
				Kind: tracking.Delivered, Time: w.clock.Now(), Provider: w.beta.provider.Name}
			w.atStep(func(s, n string) {
				if s == step && n == effectTimeout12 {
					if err := w.store.Update(t.Context(), func(tx store.Tx) error { _, err := tracking.Record(tx, fact); return err }); err != nil {
						t.Error(err)
					}
				}
			})
			w.at(12*time.Hour + time.Minute)
			w.at(24 * time.Hour)
			same(t, "notices", w.notices(mario), []string{})
			same(t, "unfinished", w.unfinished(), []string{})
			if list, _ := w.watches(); len(list) != 0 {
				t.Errorf("still watched: %+v", list)
			}
		})
	}
}

func (w *world) unfinished() []string {
	w.t.Helper()
	out := []string{}
	err := w.store.View(w.t.Context(), func(tx store.Tx) error {
		found, err := effect.FindUnfinished(tx, w.clock.Now().Add(time.Hour))
		for _, u := range found {
			out = append(out, u.Sentence())
		}
		return err
	})
	if err != nil {
		w.t.Error(err)
	}
	return out
}

// TestNoticeThatCannotBeHandedOver: it is tried again; when the receipt comes first it is dropped.
func TestNoticeThatCannotBeHandedOver(t *testing.T) {
	conformance.Covers(t, "C088", "C089")
	w := newWorld(t)
	about, second := w.accepts(mario, anna), w.accepts(mario, anna)
	w.dovecot.Down()
	w.at(12*time.Hour + time.Minute)
	same(t, "unfinished", w.unfinished(), []string{})
	w.alarmedNot("late")
	same(t, "log", w.events(about.Identifier), []string{"acceptance", "transport-envelope"})
	w.dovecot.Up()
	w.certifies(pec.KindDelivery, second, anna)
	w.at(12*time.Hour + 3*time.Minute)
	same(t, "notices", w.notices(mario), []string{first(anna)})
	same(t, "log", w.events(about.Identifier), []string{"acceptance", "transport-envelope", "timeout-12h"})
	w.dovecot.Down()
	w.at(23*time.Hour + 20*time.Minute)
	w.at(23*time.Hour + 40*time.Minute)
	w.alarmed("time notices are late")
	w.dovecot.Up()
	w.at(24*time.Hour + 10*time.Minute)
	w.alarmed("told after more than 24 hours")
	same(t, "notices", w.notices(mario), []string{first(anna), last(anna)})
}

func (w *world) alarmedNot(word string) {
	w.t.Helper()
	if strings.Contains(w.log.String(), word) {
		w.t.Errorf("the log has %q:\n%s", word, w.log.String())
	}
}

// TestNoticesForAFullMailboxWait: they are listed among what no mailbox takes.
func TestNoticesForAFullMailboxWait(t *testing.T) {
	conformance.Covers(t, "C088", "C089")
	w := newWorld(t)
	w.accepts(pieno, anna)
	w.at(12*time.Hour + time.Minute)
	w.at(23*time.Hour + 20*time.Minute)
	kinds := []string{}
	for _, d := range w.due() {
		kinds = append(kinds, string(d.Kind))
	}
	same(t, "waiting", slices.Sorted(slices.Values(kinds)), []string{"accettazione", string(pec.KindTimeout), string(pec.KindTimeout)})
	if list, _ := w.watches(); len(list) != 0 {
		t.Errorf("still watched: %+v", list)
	}
	w.dovecot.SetUsers(dovecot.User{Address: pieno, Quota: "*:storage=1G"})
	w.clock.shift.Store(int64(30 * time.Hour))
	if err := w.agent.retryDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	same(t, "mailbox with room", slices.Sorted(slices.Values(w.notices(pieno))), []string{last(anna), first(anna)})
}

// TestDeathInATimeNotice lets the agent die before and after each step of each notice, and starts it anew: it goes out
// once. When the receipt has come in between, the notice goes out only if it may have been handed over already.
func TestDeathInATimeNotice(t *testing.T) {
	conformance.Covers(t, "C088", "C089", "C092")
	steps := around([]string{effect.StepClaim, effect.StepPrepared, effect.StepHandOver, effect.StepDone})
	for name, after := range map[string]time.Duration{effectTimeout12: 12*time.Hour + time.Minute, effectTimeout24: 23*time.Hour + 16*time.Minute} {
		for _, meanwhile := range []bool{false, true} {
			t.Run(name+map[bool]string{true: " and a receipt"}[meanwhile], func(t *testing.T) {
				w := newWorld(t)
				for _, step := range steps {
					w.dieInNotice(step, name, after, meanwhile)
				}
			})
		}
	}
}

func (w *world) dieInNotice(step, name string, after time.Duration, meanwhile bool) {
	w.t.Helper()
	t := w.t
	start := time.Duration(w.clock.shift.Load())
	about := w.accepts(mario, anna)
	before := len(w.notices(mario))
	if name == effectTimeout24 {
		w.at(start + 12*time.Hour + time.Minute)
		before++
	}
	dead := w.killAt(step, name)
	w.at(start + after)
	if !dead.Load() {
		t.Errorf("%s of %s: the agent did not come there", step, name)
	}
	w.restart()
	if meanwhile {
		w.certifies(pec.KindDelivery, about, anna)
	}
	w.at(start + after + 10*time.Minute)  // begun ones are finished at once
	w.at(start + after + 100*time.Minute) // the others when Postfix has had time to present what it holds
	want := before + 1
	mayHave := !strings.HasSuffix(step, effect.StepClaim) && step != "before "+effect.StepPrepared
	if meanwhile && !mayHave {
		want = before
	}
	if got := len(w.notices(mario)); got != want {
		t.Errorf("%s of %s, receipt %v: %d notices, want %d", step, name, meanwhile, got, want)
	}
	same(t, "unfinished after "+step, w.unfinished(), []string{})
	events := slices.DeleteFunc(w.events(about.Identifier), func(e string) bool { return !strings.HasPrefix(e, "timeout") })
	var wanted []string
	if name == effectTimeout24 {
		wanted = []string{"timeout-12h"}
	}
	if want > before {
		wanted = append(wanted, name)
	}
	if diff := cmp.Diff(wanted, events); diff != "" && len(wanted)+len(events) > 0 {
		t.Errorf("log after %s of %s (-want +got):\n%s", step, name, diff)
	}
	w.clock.shift.Store(int64(start + 30*time.Hour))
	w.at(start + 30*time.Hour)
}

// TestDaysOfDowntime: what fell due while nobody ran waits until Postfix has presented what came meanwhile, and goes out
// then, late and in order.
func TestDaysOfDowntime(t *testing.T) {
	conformance.Covers(t, "C088", "C089", "C092")
	w := newWorld(t)
	lost, came := w.accepts(mario, anna), w.accepts(mario, bruno)
	w.clock.shift.Store(int64(72 * time.Hour))
	w.restart()
	w.at(72*time.Hour + time.Minute)
	same(t, "notices at the start", w.notices(mario), []string{})
	w.alarmed("time notices are late")
	w.certifies(pec.KindDelivery, came, bruno)
	w.at(73*time.Hour + 15*time.Minute)
	same(t, "notices", w.notices(mario), []string{first(anna), last(anna)})
	w.at(80 * time.Hour)
	same(t, "notices", w.notices(mario), []string{first(anna), last(anna)})
	same(t, "log", w.events(lost.Identifier), []string{"acceptance", "transport-envelope", "timeout-12h", "timeout-24h"})
	if list, _ := w.watches(); len(list) != 0 {
		t.Errorf("still watched: %+v", list)
	}
}

// TestDowntimeNearTheLimit: the last notice does not wait beyond its limit.
func TestDowntimeNearTheLimit(t *testing.T) {
	conformance.Covers(t, "C089")
	w := newWorld(t)
	w.accepts(mario, anna)
	w.at(12*time.Hour + time.Minute)
	w.clock.shift.Store(int64(23*time.Hour + 30*time.Minute))
	w.restart()
	w.at(23*time.Hour + 31*time.Minute)
	same(t, "notices before", w.notices(mario), []string{first(anna)})
	w.at(23*time.Hour + 51*time.Minute)
	same(t, "notices", w.notices(mario), []string{first(anna), last(anna)})
	w.alarmedNot("more than 24 hours")
}

// TestABadWatchHoldsUpNobody: a row that cannot be read is tried again, and does not hold up the others.
func TestABadWatchHoldsUpNobody(t *testing.T) {
	w := newWorld(t)
	bad := tracking.Watch{Transaction: "0", Sent: w.clock.Now(), Due: w.clock.Now().Add(time.Hour)}
	if err := w.store.Update(t.Context(), func(tx store.Tx) error { return tracking.PutWatch(tx, bad) }); err != nil {
		t.Fatal(err)
	}
	w.accepts(mario, anna)
	w.at(12*time.Hour + time.Minute)
	same(t, "notices", w.notices(mario), []string{first(anna)})
	if list, _ := w.watches(); len(list) != 2 || list[0].Transaction != "0" || list[0].Due.Before(w.clock.Now()) {
		t.Errorf("watched: %+v, want the bad one later, and the other", list)
	}
	if !strings.Contains(w.log.String(), "no submission of transaction 0") {
		t.Error("the log does not say what is wrong")
	}
}

// What names a sender who did not send the message is no certificate about it, before and after its acceptance: no clock
// stops, nothing is an outcome, and what is true of the message still counts.
func TestCertificatesThatNameAnotherSender(t *testing.T) {
	conformance.Covers(t, "C088", "C131")
	w := newWorld(t)
	text, r, envelope := w.submission(&message{from: mario, to: []string{anna}})
	about := w.certData(envelope)
	forged := *about
	forged.Sender = addr(t, luigi)
	w.certifies(pec.KindTakeCharge, &forged, anna)
	w.certifies(pec.KindDelivery, &forged, anna)
	w.certifies(pec.KindTakeCharge, about, anna) // after the other one, and true
	same(t, "submission", w.present(text, mario, "accettazione"+internal), []string{"250 2.0.0"})
	same(t, "fact", []string{w.fact(r.Identifier, anna)}, []string{"taken"})
	w.alarmed("contradictory")
	w.certifies(pec.KindNonDelivery, &forged, anna)
	same(t, "fact", []string{w.fact(r.Identifier, anna)}, []string{"taken"})
	n := 0
	for _, e := range w.events(r.Identifier) {
		if e == "contradiction" {
			n++
		}
	}
	if n != 3 {
		t.Errorf("%d contradictions in the log, want 3: %v", n, w.events(r.Identifier))
	}
	w.at(23*time.Hour + 20*time.Minute)
	same(t, "notices", w.notices(mario), []string{last(anna)})
	w.audited(r.Identifier)
}
