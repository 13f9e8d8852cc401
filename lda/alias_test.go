package lda

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/internal/effect"
	"github.com/ceralacca/ceralacca/internal/ledger"
	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/internal/transaction"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/pec/compose"
	"github.com/ceralacca/ceralacca/test/dovecot"
)

// auditedAliases runs the rules of `ceralacca audit` and fails the test at every fault.
func (w *world) auditedAliases() {
	w.t.Helper()
	err := w.store.View(w.t.Context(), func(tx store.Tx) error {
		ours := func(d string) bool { return d == "alfa.example" }
		found, err := ledger.Audit{Ours: ours, Settled: w.clock.Now().Add(time.Hour)}.Run(tx)
		for _, f := range found {
			if f.Fault {
				w.t.Errorf("audit: %s: %s", f.Identifier, f.Text)
			}
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// held counts the copies of a message in a mailbox.
func (w *world) held(id pec.Identifier, box string) (n int) {
	w.t.Helper()
	for _, text := range w.dovecot.Messages(box) {
		if bytes.Contains(text, []byte("Message-ID: <"+string(id)+">")) {
			n++
		}
	}
	return n
}

const outside = "qualcuno@gamma.example"

// TestAliasOutcomes: an alias has one outcome. It is delivered when all of its mailboxes have the message; when one of them
// takes nothing, or lies outside, it is not, and no mailbox of it gets a copy as far as that can be known before.
func TestAliasOutcomes(t *testing.T) {
	conformance.Covers(t, "C012", "C116", "C160", "C165", "C179", "C181", "C206")
	w := newWorld(t)
	w.setAliases(
		info+" "+mario+", "+luigi, "catena@alfa.example "+info+" "+mario, "rotta@alfa.example "+mario+" "+pieno+" "+luigi,
		"spenta@alfa.example "+mario+" "+spento, "ignota@alfa.example "+mario+" "+nessuno, "fuori@alfa.example "+mario+" "+outside,
		"anello@alfa.example anello@alfa.example", "giro@alfa.example gira@alfa.example", "gira@alfa.example giro@alfa.example "+mario,
		luigi+" "+luigi+" "+mario, "interno@alfa.example x@ceralacca.internal", "servizio@alfa.example "+mario+" "+service,
		"domini@alfa.example @gamma.example",
	)
	delivered := func(to string) string { return "avvenuta-consegna " + to + " with original" }
	failed := func(to, code string) string { return "errore-consegna " + to + " " + code }
	for _, test := range []struct {
		to                  []string
		want                []string
		mario, luigi, pieno int
	}{
		{[]string{info}, []string{delivered(info)}, 1, 1, 0},
		{[]string{"INFO@alfa.example"}, []string{delivered("INFO@alfa.example")}, 1, 1, 0},
		{[]string{"info+atti@alfa.example"}, []string{delivered("info+atti@alfa.example")}, 1, 1, 0},
		{[]string{info, mario, "catena@alfa.example"}, []string{delivered(info), delivered(mario), delivered("catena@alfa.example")}, 1, 1, 0},
		{[]string{"mario+x@alfa.example", mario}, []string{delivered("mario+x@alfa.example"), delivered(mario)}, 1, 0, 0},
		{[]string{luigi}, []string{delivered(luigi)}, 1, 1, 0}, // a mailbox that is an alias too
		{[]string{"rotta@alfa.example"}, []string{failed("rotta@alfa.example", "5.2.2")}, 1, 0, 0},
		{[]string{pieno, "rotta@alfa.example"}, []string{failed(pieno, "5.2.2"), failed("rotta@alfa.example", "5.2.2")}, 0, 0, 0},
		{[]string{"rotta@alfa.example", mario, luigi}, []string{failed("rotta@alfa.example", "5.2.2"), delivered(mario), delivered(luigi)}, 1, 1, 0},
		{[]string{"spenta@alfa.example"}, []string{failed("spenta@alfa.example", "5.2.1")}, 0, 0, 0},
		{[]string{"ignota@alfa.example"}, []string{failed("ignota@alfa.example", "5.1.1")}, 0, 0, 0},
		{[]string{"anello@alfa.example"}, []string{failed("anello@alfa.example", "5.1.1")}, 0, 0, 0},
		{[]string{"giro@alfa.example"}, []string{failed("giro@alfa.example", "5.1.1")}, 0, 0, 0},
		{[]string{"fuori@alfa.example"}, []string{failed("fuori@alfa.example", "5.7.1")}, 0, 0, 0},
		{[]string{"domini@alfa.example"}, []string{failed("domini@alfa.example", "5.7.1")}, 0, 0, 0},
		{[]string{"interno@alfa.example"}, []string{failed("interno@alfa.example", "5.7.1")}, 0, 0, 0},
		{[]string{"servizio@alfa.example"}, []string{failed("servizio@alfa.example", "5.2.1")}, 0, 0, 0},
		{[]string{"fuori@alfa.example", mario}, []string{failed("fuori@alfa.example", "5.7.1"), delivered(mario)}, 1, 0, 0},
	} {
		t.Run(strings.Join(test.to, " "), func(t *testing.T) {
			text, r, _ := w.incoming(&message{from: anna, to: test.to})
			for range 2 {
				want := slices.Repeat([]string{"250 2.0.0"}, len(test.to))
				same(t, "answers", w.present(text, anna, test.to...), want)
			}
			same(t, "copies", []string{fmt.Sprint(w.held(r.Identifier, mario), w.held(r.Identifier, luigi), w.held(r.Identifier, pieno))},
				[]string{fmt.Sprint(test.mario, test.luigi, test.pieno)})
			var want []string
			for _, one := range test.want {
				want = append(want, anna+": "+one)
			}
			want = append(want, betaService+": presa-in-carico "+strings.Join(test.to, " "))
			slices.Sort(want)
			same(t, "out", w.outgoing(), want)
		})
	}
	w.auditedAliases()
}

// TestAliasPresentedLater: the mailboxes that have the message under their own address are not given it again for an alias
// that comes later; its receipt says when the last mailbox got it.
func TestAliasPresentedLater(t *testing.T) {
	w := newWorld(t)
	text, r, _ := w.incoming(&message{from: anna, to: []string{mario, luigi, info}})
	same(t, "first", w.present(text, anna, mario), []string{"250 2.0.0"})
	w.clock.shift.Store(int64(time.Hour))
	same(t, "second", w.present(text, anna, luigi), []string{"250 2.0.0"})
	w.out.take()
	w.clock.shift.Store(int64(2 * time.Hour))
	same(t, "later", w.present(text, anna, info), []string{"250 2.0.0"})
	same(t, "mario", w.in(mario), []string{"posta-certificata"})
	same(t, "luigi", w.in(luigi), []string{"posta-certificata"})
	got := w.out.take()
	same(t, "out", describeAll(w, got), []string{anna + ": avvenuta-consegna " + info + " with original"})
	if !bytes.Contains(got[0].text, []byte("Date: "+pec.ItalianTime(time.Now().Add(time.Hour)).Format("Mon, 2 Jan 2006 15:"))) {
		t.Error("the receipt does not say when the last mailbox got the message")
	}
	same(t, "log", w.events(r.Identifier), []string{
		"reception", "take-charge", "delivery", "delivery-receipt", "delivery", "delivery-receipt", "expansion", "delivery", "delivery-receipt",
	})
	same(t, "fact", []string{w.fact(r.Identifier, info)}, []string{"taken delivered"})
	w.auditedAliases()
}

// TestAliasThatChanges: what an alias comes to is fixed when a message is first presented, and a mailbox that has the
// message stays the one mailbox of its name.
func TestAliasThatChanges(t *testing.T) {
	w := newWorld(t)
	w.killAt("before handover", effectDelivery)
	text, r, _ := w.incoming(&message{from: anna, to: []string{info, mario}})
	same(t, "first", w.present(text, anna, info), []string{"451 4.3.0"})
	w.restart()
	w.setAliases(info+" "+outside, mario+" "+luigi+" "+pieno)
	same(t, "second", w.present(text, anna, info, mario), []string{"250 2.0.0", "250 2.0.0"})
	same(t, "copies", []string{fmt.Sprint(w.held(r.Identifier, mario), w.held(r.Identifier, luigi))}, []string{"1 1"})
	same(t, "out", w.outgoing(), []string{
		anna + ": avvenuta-consegna " + info + " with original", anna + ": avvenuta-consegna " + mario + " with original",
		betaService + ": presa-in-carico " + info + " " + mario,
	})
	w.auditedAliases()
}

// TestAliasExpires: a mailbox of an alias that can take nothing for 22 hours makes one non-delivery of it; before that it
// waits, and nothing is certified.
func TestAliasExpires(t *testing.T) {
	conformance.Covers(t, "C179")
	w := newWorld(t)
	text, r, _ := w.incoming(&message{from: anna, to: []string{info}})
	w.dovecot.Down()
	same(t, "while Dovecot is down", w.present(text, anna, info), []string{"451 4.3.0"})
	w.clock.shift.Store(int64(21 * time.Hour))
	same(t, "after 21 h", w.present(text, anna, info), []string{"451 4.3.0"})
	same(t, "out", w.outgoing(), []string{betaService + ": presa-in-carico " + info})
	w.restart()
	w.clock.shift.Store(int64(22*time.Hour + time.Minute))
	same(t, "after 22 h", w.present(text, anna, info), []string{"250 2.0.0"})
	same(t, "out", w.outgoing(), []string{anna + ": errore-consegna " + info + " 5.4.7"})
	w.dovecot.Up()
	same(t, "later", w.present(text, anna, info), []string{"250 2.0.0"})
	same(t, "copies", []string{fmt.Sprint(w.held(r.Identifier, mario), w.held(r.Identifier, luigi))}, []string{"0 0"})
	w.auditedAliases()
}

// TestAliasExpiresInPart: one mailbox has it and the other cannot be reached any more: not delivered, and said once.
func TestAliasExpiresInPart(t *testing.T) {
	w := newWorld(t)
	text, r, _ := w.incoming(&message{from: anna, to: []string{info}})
	w.atStep(func(step, name string) {
		if step == "after handover" && name == effectDelivery { // of the first mailbox
			w.atStep(nil)
			w.dovecot.Down()
		}
	})
	same(t, "first", w.present(text, anna, info), []string{"451 4.3.0"})
	w.clock.shift.Store(int64(23 * time.Hour))
	same(t, "after 23 h", w.present(text, anna, info), []string{"250 2.0.0"})
	w.dovecot.Up()
	same(t, "later", w.present(text, anna, info), []string{"250 2.0.0"})
	same(t, "copies", []string{fmt.Sprint(w.held(r.Identifier, mario), w.held(r.Identifier, luigi))}, []string{"1 0"})
	same(t, "out", w.outgoing(), []string{anna + ": errore-consegna " + info + " 5.4.7", betaService + ": presa-in-carico " + info})
	same(t, "fact", []string{w.fact(r.Identifier, info)}, []string{"taken not-delivered"})
	w.auditedAliases()
}

// TestAliasesThatCannotBeAsked: without the maps nobody knows who is an alias: everybody waits.
func TestAliasesThatCannotBeAsked(t *testing.T) {
	w := newWorld(t)
	w.setAliases(info + " \"a b\"@alfa.example")
	text, _, _ := w.incoming(&message{from: anna, to: []string{info, mario}})
	same(t, "a line that is wrong", w.present(text, anna, info, mario), []string{"451 4.3.0", "250 2.0.0"})
	w.setAliases(info + " " + mario)
	same(t, "put right", w.present(text, anna, info), []string{"250 2.0.0"})
	same(t, "mario", w.in(mario), []string{"posta-certificata"})
}

// TestExpandedByPostfix: a Postfix that expands an alias as the agent does is served; one that knows another is not.
func TestExpandedByPostfix(t *testing.T) {
	w := newWorld(t)
	text, r, _ := w.incoming(&message{from: anna, to: []string{info, mario}})
	same(t, "the same mailboxes", w.present(text, anna, rcpt(mario, info), rcpt(luigi, info), rcpt(mario, mario), rcpt(mario, info)),
		slices.Repeat([]string{"250 2.0.0"}, 4))
	same(t, "copies", []string{fmt.Sprint(w.held(r.Identifier, mario), w.held(r.Identifier, luigi))}, []string{"1 1"})
	w.out.take()
	text, _, _ = w.incoming(&message{from: anna, to: []string{info}})
	same(t, "one that it does not have", w.present(text, anna, rcpt(pieno, info), rcpt(mario, info)), []string{"451 4.3.0", "451 4.3.0"})
	same(t, "out", w.outgoing(), []string{betaService + ": presa-in-carico " + info})
	same(t, "as it was written", w.present(text, anna, info), []string{"250 2.0.0"})
	w.out.take()
	if !strings.Contains(w.log.String(), "Postfix expands an alias of a certified domain") {
		t.Error("no alarm")
	}
	// An alias in an ordinary domain that leads to a certified mailbox is no certified recipient.
	text, _, _ = w.submission(&message{from: mario, to: []string{carlo}})
	same(t, "ordinary", w.present(text, mario, rcpt(luigi, carlo), "accettazione"+internal), []string{"550 5.7.1", "250 2.0.0"})
	same(t, "out", w.outgoing(), []string{})
	w.auditedAliases()
}

// TestAnomalyForAnAlias: ordinary mail for an alias reaches its mailboxes, and its sender hears of what failed. Nothing goes
// outside.
func TestAnomalyForAnAlias(t *testing.T) {
	w := newWorld(t)
	w.setAliases(info+" "+mario+", "+luigi, "rotta@alfa.example "+mario+" "+pieno, "fuori@alfa.example "+mario+" "+outside)
	for to, want := range map[string]string{info: "250 2.0.0", "rotta@alfa.example": "552 5.2.2", "fuori@alfa.example": "550 5.7.1"} {
		before := len(w.in(mario))
		text, _ := w.anomaly(carlo, to)
		for range 2 {
			same(t, to, w.present(text, carlo, to), []string{want})
		}
		if n := len(w.in(mario)) - before; n != 1 {
			t.Errorf("%s: %d copies in the first mailbox, want 1", to, n)
		}
	}
	same(t, "out", w.outgoing(), []string{})
}

// TestAliasOfAMailboxName: an alias that keeps a copy in the mailbox of its own name leads to each of its mailboxes once,
// and what one of them refuses is no delivery to it.
func TestAliasOfAMailboxName(t *testing.T) {
	conformance.Covers(t, "C165", "C206")
	w := newWorld(t)
	w.setAliases(luigi+" "+luigi+", "+mario, pieno+" "+pieno+", "+mario)
	text, _ := w.anomaly(carlo, luigi)
	same(t, "anomaly", w.present(text, carlo, luigi), []string{"250 2.0.0"})
	same(t, "copies of the anomaly", []string{fmt.Sprint(len(w.in(luigi)), len(w.in(mario)))}, []string{"1 1"})
	text, r := w.anomaly(carlo, pieno)
	same(t, "anomaly for a full one", w.present(text, carlo, pieno), []string{"552 5.2.2"})
	same(t, "copies", []string{fmt.Sprint(len(w.in(pieno)), len(w.in(mario)))}, []string{"0 2"})
	for _, one := range w.records(pec.Identifier(r.ID)) {
		if one.Event == ledger.EventAnomaly && slices.Contains(texts(one.Covered), pieno) {
			t.Errorf("the log says that the full mailbox has it: %+v", one)
		}
	}
	_, about := w.envelope(w.alfa, &message{from: luigi, to: []string{anna}})
	receipt := w.notification(pec.KindDelivery, about, luigi, nil)
	same(t, "receipt", w.present(receipt, w.beta.provider.Address.String(), luigi), []string{"250 2.0.0"})
	same(t, "copies of the receipt", []string{fmt.Sprint(len(w.in(luigi)), len(w.in(mario)))}, []string{"2 3"})
	_, about = w.envelope(w.alfa, &message{from: pieno, to: []string{anna}})
	receipt = w.notification(pec.KindDelivery, about, pieno, nil)
	same(t, "receipt for a full one", w.present(receipt, w.beta.provider.Address.String(), pieno), []string{"250 2.0.0"})
	if got := w.due(); len(got) != 1 || got[0].To != addr(t, pieno) {
		t.Fatalf("%+v waits, want that of the full mailbox", got)
	}
	w.dovecot.SetUsers(dovecot.User{Address: pieno, Quota: "*:storage=1G"}, dovecot.User{Address: mario})
	w.clock.shift.Store(int64(time.Hour))
	if err := w.agent.retryDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	same(t, "copies in the end", []string{fmt.Sprint(len(w.in(pieno)), len(w.in(mario)), len(w.due()))}, []string{"1 4 0"})
}

// TestAliasWithoutItsHistory: while nobody can read what a mailbox answered before, the others get nothing on account of an
// alias.
func TestAliasWithoutItsHistory(t *testing.T) {
	w := newWorld(t)
	w.setAliases("rotta@alfa.example "+pieno, "due@alfa.example "+luigi+" "+pieno)
	text, _, _ := w.incoming(&message{from: anna, to: []string{"rotta@alfa.example", "due@alfa.example"}})
	same(t, "the first alias", w.present(text, anna, "rotta@alfa.example"), []string{"250 2.0.0"})
	change := func(value func([]byte) []byte) {
		if err := w.store.Update(t.Context(), func(tx store.Tx) error {
			rows := map[string][]byte{}
			err := tx.Scan(tableResults, nil, func(k, v []byte) error { rows[string(k)] = value(v); return nil })
			for k, v := range rows {
				err = errors.Join(err, tx.Put(tableResults, []byte(k), v))
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	change(func(v []byte) []byte { return append([]byte("?"), v...) })
	same(t, "the second, unread", w.present(text, anna, "due@alfa.example"), []string{"451 4.3.0"})
	same(t, "luigi", w.in(luigi), []string{})
	change(func(v []byte) []byte { return bytes.TrimPrefix(v, []byte("?")) })
	same(t, "the second", w.present(text, anna, "due@alfa.example"), []string{"250 2.0.0"})
	same(t, "luigi", w.in(luigi), []string{})
}

// TestListOfMany: a list of 200 is one recipient.
func TestListOfMany(t *testing.T) {
	conformance.Covers(t, "C165")
	w := newWorld(t)
	var lines, half []string
	for i := range 200 { // through aliases of aliases, to three mailboxes
		lines = append(lines, fmt.Sprintf("m%d@alfa.example %s", i, []string{mario, luigi}[i%2]))
		half = append(half, fmt.Sprintf("m%d@alfa.example", i))
	}
	w.setAliases(append(lines, "lista@alfa.example "+strings.Join(half, ", "))...)
	text, r, _ := w.incoming(&message{from: anna, to: []string{"lista@alfa.example"}})
	same(t, "answer", w.present(text, anna, "lista@alfa.example"), []string{"250 2.0.0"})
	same(t, "copies", []string{fmt.Sprint(w.held(r.Identifier, mario), w.held(r.Identifier, luigi))}, []string{"1 1"})
	if got := len(w.out.take()); got != 2 {
		t.Errorf("%d messages went out, want a take-charge and a receipt", got)
	}
}

// TestDeathOnTheWayOfAnAlias lets the agent die at each step there is, in turn: one copy in each mailbox, one receipt that
// is true of both, and it goes out before both have it at no time.
func TestDeathOnTheWayOfAnAlias(t *testing.T) {
	conformance.Covers(t, "C159", "C160", "C165")
	w := newWorld(t)
	for n := int64(1); ; n++ {
		var steps atomic.Int64
		var where string
		text, r, _ := w.incoming(&message{from: anna, to: []string{info}})
		w.atStep(func(step, name string) {
			if steps.Add(1) == n {
				where = step + " " + name
				panic(died{where})
			}
		})
		answer := w.present(text, anna, info)
		w.atStep(nil)
		if where == "" || strings.HasSuffix(where, "reply ") { // every step was had; a panic in the reply is the library's
			w.out.take()
			if n < 20 {
				t.Errorf("only %d steps", n)
			}
			break
		}
		same(t, "answer after a death "+where, answer, []string{"451 4.3.0"})
		w.restart()
		w.setAliases(info + " " + luigi + ", " + mario) // the order is another: what was fixed stays
		for range 2 {
			same(t, "answer again after "+where, w.present(text, anna, info), []string{"250 2.0.0"})
		}
		same(t, "copies after "+where, []string{fmt.Sprint(w.held(r.Identifier, mario), w.held(r.Identifier, luigi))}, []string{"1 1"})
		got := slices.Compact(w.outgoing()) // what went out twice is the same bytes: TestDeathAtEveryStep
		same(t, "out after "+where, got, []string{
			anna + ": avvenuta-consegna " + info + " with original", betaService + ": presa-in-carico " + info,
		})
		same(t, "fact after "+where, []string{w.fact(r.Identifier, info)}, []string{"taken delivered"})
	}
	w.auditedAliases()
}

// anomaly is ordinary mail in the queue, in the anomaly envelope of the milter.
func (w *world) anomaly(from, to string) ([]byte, *transaction.Record) {
	w.t.Helper()
	r := w.incomingRecord(transaction.VerdictAnomaly, to)
	r.Sender, r.Signer, r.Reason = addr(w.t, from), "", "no signature"
	raw := "From: " + from + "\r\nTo: " + to + "\r\nSubject: Prova\r\n\r\nciao\r\n"
	header, body, err := pec.ReadHeader(pec.Bytes([]byte(raw)), 1<<20)
	if err != nil {
		w.t.Fatal(err)
	}
	original := compose.Original{Header: header, Body: pec.Section(pec.Bytes([]byte(raw)), body, int64(len(raw))-body)}
	artefact := must(compose.AnomalyEnvelope(w.alfa.provider, original, compose.Anomaly{
		Sender: r.Sender, Recipients: r.Recipients, Reason: "x", Time: r.Instant, ID: r.ID,
	}))(w.t)
	return w.queued(r, seal(w.t, w.alfa, artefact, r.Instant)), r
}

// TestAliasesInEveryOrder presents the recipients of a message one by one in every order, with a death on the way of each
// message: what is in the mailboxes, and what is certified, depends on the order only in that a full mailbox that is known
// to be full spares the others of its alias a copy.
func TestAliasesInEveryOrder(t *testing.T) {
	conformance.Covers(t, "C159", "C160", "C165", "C179", "C206")
	const list, broken = "lista@alfa.example", "rotta@alfa.example"
	w := newWorld(t)
	w.setAliases(info+" "+mario+", "+luigi, list+" "+info+", luigi+x@alfa.example", broken+" "+pieno+", "+mario)
	random := rand.New(rand.NewPCG(8, 11)) // the same deaths at each run
	for n, order := range permutations([]string{info, mario, list, broken}) {
		text, r, _ := w.incoming(&message{from: anna, to: []string{info, mario, list, broken}})
		var steps, at atomic.Int64
		at.Store(1 + random.Int64N(60))
		w.atStep(func(step, _ string) {
			if steps.Add(1) == at.Load() && !strings.HasSuffix(step, effect.StepReply) {
				panic(died{step})
			}
		})
		for _, to := range order {
			if w.present(text, anna, to)[0] != "250 2.0.0" {
				w.restart()
				same(t, "again", w.present(text, anna, to), []string{"250 2.0.0"})
			}
		}
		w.atStep(nil)
		copies := fmt.Sprint(w.held(r.Identifier, mario), w.held(r.Identifier, luigi), w.held(r.Identifier, pieno))
		same(t, fmt.Sprint("copies of ", n, order), []string{copies}, []string{"1 1 0"})
		same(t, fmt.Sprint("out of ", n, order), slices.Compact(w.outgoing()), []string{
			anna + ": avvenuta-consegna " + info + " with original", anna + ": avvenuta-consegna " + list + " with original",
			anna + ": avvenuta-consegna " + mario + " with original", anna + ": errore-consegna " + broken + " 5.2.2",
			betaService + ": presa-in-carico " + strings.Join([]string{info, mario, list, broken}, " "),
		})
	}
	w.auditedAliases()
}

// permutations are all orders of a list.
func permutations(list []string) [][]string {
	if len(list) == 0 {
		return [][]string{nil}
	}
	var out [][]string
	for i := range list {
		rest := slices.Concat(list[:i], list[i+1:])
		for _, p := range permutations(rest) {
			out = append(out, append([]string{list[i]}, p...))
		}
	}
	return out
}
