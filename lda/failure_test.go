package lda

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/internal/tracking"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/pec/compose"
	"github.com/ceralacca/ceralacca/test/dovecot"
)

func TestNonDelivery(t *testing.T) {
	conformance.Covers(t, "C179", "C180", "C181", "C184")
	w := newWorld(t)
	to := []string{nessuno, spento, pieno, service, mario}
	text, r, _ := w.incoming(&message{from: anna, to: to})
	same(t, "answers", w.present(text, anna, to...), slices.Repeat([]string{"250 2.0.0"}, 5))
	same(t, "out", w.outgoing(), []string{
		anna + ": avvenuta-consegna " + mario + " with original",
		anna + ": errore-consegna " + nessuno + " 5.1.1",
		anna + ": errore-consegna " + pieno + " 5.2.2",
		anna + ": errore-consegna " + service + " 5.2.1",
		anna + ": errore-consegna " + spento + " 5.2.1",
		betaService + ": presa-in-carico " + strings.Join(to, " "),
	})
	same(t, "mario", w.in(mario), []string{"posta-certificata"})
	for _, box := range []string{spento, pieno, service} {
		same(t, box, w.in(box), []string{})
	}
	// A mailbox that comes to life does not undo what was certified.
	w.dovecot.SetUsers(dovecot.User{Address: mario}, dovecot.User{Address: nessuno})
	same(t, "answer again", w.present(text, anna, nessuno), []string{"250 2.0.0"})
	same(t, "mailbox made later", w.in(nessuno), []string{})
	same(t, "out again", w.outgoing(), []string{})
	same(t, "fact", []string{w.fact(r.Identifier, nessuno)}, []string{"taken not-delivered"})
}

// TestPeersThatRestart: a kept connection that died is no failure.
func TestPeersThatRestart(t *testing.T) {
	w := newWorld(t)
	for range 2 {
		text, _, _ := w.incoming(&message{from: anna, to: []string{mario}})
		same(t, "answer", w.present(text, anna, mario), []string{"250 2.0.0"})
		w.dovecot.Down()
		w.dovecot.Up()
		w.out.hangUp()
	}
	same(t, "mario", w.in(mario), []string{"posta-certificata", "posta-certificata"})
	if got := len(w.out.take()); got != 4 {
		t.Errorf("%d messages went out, want 4", got)
	}
}

func TestDovecotDownThenExpired(t *testing.T) {
	conformance.Covers(t, "C179")
	w := newWorld(t)
	text, r, _ := w.incoming(&message{from: anna, to: []string{mario}})
	w.dovecot.Down()
	same(t, "answer while Dovecot is down", w.present(text, anna, mario), []string{"451 4.3.0"})
	same(t, "out: the take-charge is due all the same", w.outgoing(), []string{betaService + ": presa-in-carico " + mario})
	w.clock.shift.Store(int64(21 * time.Hour))
	same(t, "answer after 21 h", w.present(text, anna, mario), []string{"451 4.3.0"})
	same(t, "out after 21 h", w.outgoing(), []string{})
	w.stop()
	w.start() // the first presentation is remembered
	w.clock.shift.Store(int64(22*time.Hour + time.Minute))
	same(t, "answer after 22 h", w.present(text, anna, mario), []string{"250 2.0.0"})
	same(t, "out after 22 h", w.outgoing(), []string{anna + ": errore-consegna " + mario + " 5.4.7"})
	w.dovecot.Up()
	same(t, "answer later", w.present(text, anna, mario), []string{"250 2.0.0"})
	same(t, "mailbox", w.in(mario), []string{})
	same(t, "fact", []string{w.fact(r.Identifier, mario)}, []string{"taken not-delivered"})
}

func TestDeliveredButReceiptWaits(t *testing.T) {
	w := newWorld(t)
	text, r, _ := w.incoming(&message{from: anna, to: []string{mario}})
	w.atStep(func(step, name string) {
		if step == "after done" && name == effectDelivery {
			w.out.setRefuse(errors.New("out is down"))
		}
	})
	same(t, "answer", w.present(text, anna, mario), []string{"451 4.3.0"})
	w.out.setRefuse(nil)
	w.clock.shift.Store(int64(30 * time.Hour)) // nothing may issue a non-delivery any more
	w.dovecot.Down()
	same(t, "answer", w.present(text, anna, mario), []string{"250 2.0.0"})
	w.dovecot.Up()
	got := w.out.take()
	same(t, "out", describeAll(w, got), []string{
		betaService + ": presa-in-carico " + mario, anna + ": avvenuta-consegna " + mario + " with original",
	})
	header, _, err := pec.ReadHeader(pec.Bytes(got[1].text), maxHeader)
	if err != nil {
		t.Fatal(err)
	}
	var delivered time.Time
	if err := w.store.View(t.Context(), func(tx store.Tx) error {
		s, err := tracking.Outcome(tx, w.senderOf(r.Identifier), r.Identifier, addr(t, mario))
		delivered = s.Final.Time
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if want := pec.ItalianTime(delivered).Format("02 Jan 2006 15:04:05"); !strings.Contains(header.Get("Date"), want) {
		t.Errorf("Date of the receipt = %q, want that of the delivery, %s", header.Get("Date"), want)
	}
}

func TestSecondTransactionOfTheSameEnvelope(t *testing.T) {
	conformance.Covers(t, "C125", "C127")
	w := newWorld(t)
	m := &message{from: anna, to: []string{mario, luigi}}
	first, _, envelope := w.incoming(m, mario)
	same(t, "first", w.present(first, anna, mario), []string{"250 2.0.0"})
	same(t, "out", w.outgoing(), []string{
		anna + ": avvenuta-consegna " + mario + " with original", betaService + ": presa-in-carico " + mario,
	})
	// The sender's provider sends again, now to both.
	r := w.incomingRecord("valid-envelope", mario, luigi)
	r.Identifier, r.Sender, r.Kind = m.identifier, addr(t, anna), pec.KindTransport
	second := w.queued(r, envelope)
	same(t, "second", w.present(second, anna, mario, luigi), []string{"250 2.0.0", "250 2.0.0"})
	same(t, "out", w.outgoing(), []string{
		anna + ": avvenuta-consegna " + luigi + " with original", betaService + ": presa-in-carico " + luigi,
	})
	same(t, "mario", w.in(mario), []string{"posta-certificata"})
}

func TestAnomaliesThatNeedTheStore(t *testing.T) {
	conformance.Covers(t, "C118")
	w := newWorld(t)
	old := &message{from: anna, to: []string{mario}, at: w.clock.Now().Add(-80 * time.Hour).Truncate(time.Second)}
	text, _, envelope := w.incoming(old)
	for range 2 {
		same(t, "old and unknown", w.present(text, anna, mario), []string{"250 2.0.0"})
	}
	same(t, "mario", w.in(mario), []string{"errore"})
	if got := crlf(w.dovecot.Messages(mario)[0]); !bytes.Contains(got, envelope[:200]) {
		t.Error("the anomaly envelope does not hold the message as it came")
	}
	same(t, "out", w.outgoing(), []string{})

	m := &message{from: anna, to: []string{luigi}}
	text, _, _ = w.incoming(m)
	same(t, "first", w.present(text, anna, luigi), []string{"250 2.0.0"})
	w.out.take()
	m.body = "other content\r\n"
	text, r, _ := w.incoming(m)
	same(t, "same identifier, other content", w.present(text, anna, luigi), []string{"250 2.0.0"})
	same(t, "luigi", w.in(luigi), []string{"errore", "posta-certificata"})
	same(t, "out", w.outgoing(), []string{})
	same(t, "log", w.events(r.Identifier)[4:], []string{"anomaly"})
}

func TestAnomalyEnvelope(t *testing.T) {
	conformance.Covers(t, "C160", "C182")
	w := newWorld(t)
	raw := []byte("From: " + carlo + "\r\nTo: " + mario + "\r\nSubject: Offerta\r\n\r\nciao\r\n")
	header, body, err := pec.ReadHeader(pec.Bytes(raw), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	r := w.incomingRecord("anomaly", mario, nessuno, pieno, spento)
	r.Sender, r.Signer, r.Reason = addr(t, carlo), "", string(pec.ProblemNoSignature)
	artefact := must(compose.AnomalyEnvelope(w.alfa.provider, compose.Original{
		Header: header, Body: pec.Section(pec.Bytes(raw), body, int64(len(raw))-body),
	}, compose.Anomaly{Sender: r.Sender, Recipients: r.Recipients, Reason: "motivo", Time: r.Instant, ID: r.ID}))(t)
	text := w.queued(r, seal(t, w.alfa, artefact, r.Instant))
	want := []string{"250 2.0.0", "550 5.1.1", "552 5.2.2", "550 5.2.1"}
	same(t, "answers", w.present(text, carlo, mario, nessuno, pieno, spento), want)
	same(t, "answers again", w.present(text, carlo, mario, nessuno, pieno, spento), want)
	same(t, "mario", w.in(mario), []string{"errore"})
	same(t, "out", w.outgoing(), []string{})
	same(t, "log", w.events(pec.Identifier(r.ID)), []string{"anomaly", "anomaly-refused", "anomaly-refused", "anomaly-refused"})
	for n, want := range []string{mario, nessuno, pieno, spento} {
		one := w.records(pec.Identifier(r.ID))[n]
		if got := addrs(t, want); !slices.Equal(one.Covered, got) || len(one.Recipients) != 4 || one.Sender != addr(t, carlo) {
			t.Errorf("record %d is of %v, about %v by %v; want one of %v, about 4 by %s", n, one.Covered, one.Recipients, one.Sender, got, carlo)
		}
	}
}

func TestKept(t *testing.T) {
	conformance.Covers(t, "C020", "C184")
	w := newWorld(t)
	_, r, envelope := w.incoming(&message{from: anna, to: []string{service}})
	r.Verdict, r.Reason = "kept", string(pec.ProblemRouting)
	text := w.queued(r, envelope)
	for range 2 {
		same(t, "answers", w.present(text, anna, service), []string{"250 2.0.0"})
	}
	same(t, "service mailbox", w.in(service), []string{})
	same(t, "out", w.outgoing(), []string{})
	same(t, "log", w.events(r.Identifier), []string{"kept"})
	if got := w.file("kept", r.ID+".eml"); !bytes.HasSuffix(got, envelope) {
		t.Error("the file kept is not the message as it came")
	}
}
