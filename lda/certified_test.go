package lda

import (
	"bytes"
	"net/mail"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/internal/ledger"
	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/internal/transaction"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/signer"
)

func TestSubmissionToAnotherProvider(t *testing.T) {
	conformance.Covers(t, "C009", "C186", "C241", "C243")
	w := newWorld(t)
	text, r, _ := w.submission(&message{from: mario, to: []string{anna}})
	same(t, "answers", w.present(text, mario, "accettazione"+internal), []string{"250 2.0.0"})
	same(t, "sender's mailbox", w.in(mario), []string{"accettazione"})
	same(t, "out", w.outgoing(), []string{})
	same(t, "log", w.events(r.Identifier), []string{"acceptance", "transport-envelope"})
	if err := w.store.View(t.Context(), func(tx store.Tx) error {
		return ledger.Read(tx, r.Identifier, func(l ledger.Record) error {
			if !l.Time.Equal(r.Instant) {
				t.Errorf("time of %s in the log = %v, want that of the receipt, %v", l.Event, l.Time, r.Instant)
			}
			if l.Sender != r.Sender || len(l.Recipients) != 1 || l.Subject != "Prova" || l.Provider != w.alfa.provider.Name {
				t.Errorf("the record of %s lacks something: %+v", l.Event, l)
			}
			if l.Event == ledger.EventAcceptance && len(l.Related) != 1 {
				t.Errorf("the record of %s does not name the receipt", l.Event)
			}
			return nil
		})
	}); err != nil {
		t.Error(err)
	}
	// Presented again, nothing happens again.
	same(t, "answers again", w.present(text, mario, "accettazione"+internal), []string{"250 2.0.0"})
	same(t, "sender's mailbox again", w.in(mario), []string{"accettazione"})
}

// A notice bears one instant in Date and signature, that of its transaction, also when it is made much later.
func TestNoticesBearTheInstantOfTheirTransaction(t *testing.T) {
	conformance.Covers(t, "C069", "C186")
	w := newWorld(t)
	at := w.clock.Now().Add(-time.Hour).Truncate(time.Second)
	text, _, _ := w.submission(&message{from: mario, to: []string{anna}, at: at})
	same(t, "answers", w.present(text, mario, "accettazione"+internal), []string{"250 2.0.0"})
	received := w.dovecot.Messages(mario)
	if len(received) != 1 {
		t.Fatalf("the sender has %d messages, want 1", len(received))
	}
	acceptance := must(signer.Open(pec.Bytes(crlf(received[0]))))(t)
	date, err := mail.ParseDate(acceptance.Header.Get("Date"))
	if err != nil || !date.Equal(at) || !acceptance.SigningTime.Equal(at) {
		t.Errorf("Date is %v (%v), signed at %v, want %v", date, err, acceptance.SigningTime, at)
	}
}

// A notice repeats what the envelope certifies, whatever it says of it.
func TestNoticesRepeatTheDataOfTheEnvelope(t *testing.T) {
	conformance.Covers(t, "C201")
	w := newWorld(t)
	text, r, sealed := w.submission(&message{from: mario, to: []string{luigi, carlo}})
	same(t, "answers", w.present(text, mario, "accettazione"+internal, luigi), []string{"250 2.0.0", "250 2.0.0"})
	envelope := w.certData(sealed)
	received := w.dovecot.Messages(mario)
	if len(received) != 2 {
		t.Fatalf("the sender has %d messages, want 2", len(received))
	}
	for _, notice := range received {
		got := w.certData(crlf(notice))
		want := *envelope
		want.Kind, want.Time, want.Receipt, want.Delivery, want.Provider = got.Kind, got.Time, got.Receipt, got.Delivery, w.alfa.provider.Name
		if diff := cmp.Diff(&want, got, cmp.AllowUnexported(pec.Address{})); diff != "" || got.Identifier != r.Identifier {
			t.Errorf("%s (-envelope +notice):\n%s", got.Kind, diff)
		}
	}
}

// certData are the certification data of a sealed message.
func (w *world) certData(sealed []byte) *pec.CertData {
	w.t.Helper()
	parts := must(pec.ReadParts(must(signer.Open(pec.Bytes(sealed)))(w.t).Content))(w.t)
	return must(pec.ParseCertData(parts.CertData))(w.t)
}

// What the provider says about a message goes to its sender, whatever Reply-To asks.
func TestNoNoticeGoesToReplyTo(t *testing.T) {
	conformance.Covers(t, "C009", "C010")
	w := newWorld(t)
	text, r, _ := w.submission(&message{from: mario, to: []string{anna}, header: "Reply-To: " + luigi + "\r\n"})
	same(t, "acceptance", w.present(text, mario, "accettazione"+internal), []string{"250 2.0.0"})
	bounce := w.presentAt(w.config.Agent.DSNSocket, w.sample("01-refused", r.ID), "<>", []string{mario})
	same(t, "bounce", bounce, []string{"250 2.0.0"})

	faulty := []byte("From: " + mario + "\r\nReply-To: " + luigi + "\r\nSubject: Prova\r\n\r\nciao\r\n")
	refused := w.queued(&transaction.Record{
		Point: transaction.PointSubmission, Verdict: transaction.VerdictRefused, ID: newID(), Reason: "to",
		Detail: "campo To assente", Identifier: "0123456789abcdef0123456789abcdef@alfa.example",
		Instant: w.clock.Now(), Sender: addr(t, mario), Recipients: addrs(t, anna), Subject: "Prova", HasSubject: true,
	}, faulty)
	same(t, "refusal", w.present(refused, mario, "rifiuto"+internal), []string{"250 2.0.0"})

	same(t, "sender", w.in(mario), []string{"accettazione", "errore-consegna " + anna + " 5.1.1", "non-accettazione campo"})
	same(t, "Reply-To", w.in(luigi), []string{})
}

func TestSubmissionWithinTheProvider(t *testing.T) {
	conformance.Covers(t, "C183", "C165")
	w := newWorld(t)
	text, r, _ := w.submission(&message{from: mario, to: []string{luigi, anna}})
	// The internal recipient comes in another presentation: this one makes the acceptance too.
	same(t, "answers", w.present(text, mario, luigi), []string{"250 2.0.0"})
	same(t, "sender", w.in(mario), []string{"accettazione", "avvenuta-consegna " + luigi + " with original"})
	same(t, "recipient", w.in(luigi), []string{"posta-certificata"})
	same(t, "service mailbox", w.in(service), []string{"presa-in-carico " + luigi})
	same(t, "out", w.outgoing(), []string{})
	same(t, "answers", w.present(text, mario, "accettazione"+internal), []string{"250 2.0.0"})
	same(t, "sender", w.in(mario), []string{"accettazione", "avvenuta-consegna " + luigi + " with original"})
	same(t, "log", w.events(r.Identifier), []string{
		"acceptance", "transport-envelope", "take-charge", "delivery", "delivery-receipt",
	})
	same(t, "facts", []string{w.fact(r.Identifier, luigi), w.fact(r.Identifier, anna)}, []string{"taken delivered", ""})
}

func TestIncomingEnvelope(t *testing.T) {
	conformance.Covers(t, "C115", "C116", "C124", "C125", "C126", "C129", "C159", "C161", "C165", "C166", "C167", "C168",
		"C177")
	w := newWorld(t)
	text, r, envelope := w.incoming(&message{from: anna, to: []string{mario}, cc: []string{luigi, bruno}}, mario, luigi)
	same(t, "answers", w.present(text, anna, mario, luigi), []string{"250 2.0.0", "250 2.0.0"})
	same(t, "mario", w.in(mario), []string{"posta-certificata"})
	same(t, "luigi", w.in(luigi), []string{"posta-certificata"})
	got := w.out.take()
	same(t, "out", describeAll(w, got), []string{
		betaService + ": presa-in-carico " + mario + " " + luigi,
		anna + ": avvenuta-consegna " + mario + " with original",
		anna + ": avvenuta-consegna " + luigi,
	})
	for _, s := range got {
		if id, ok := w.hmac.CheckEnvelopeID(s.envid); !ok || id != r.ID {
			t.Errorf("ENVID of %s = %q, want one of the transaction", s.to, s.envid)
		}
		if s.from != w.alfa.provider.Address.String() {
			t.Errorf("sender of %s = %q, want the provider's address", s.to, s.from)
		}
	}
	stored := crlf(w.dovecot.Messages(mario)[0])
	if !bytes.HasSuffix(stored, envelope) {
		t.Error("the delivered message is not the one received")
	}
	receipt := must(pec.ReadParts(must(signer.Open(pec.Bytes(got[1].text)))(t).Content))(t)
	original := must(pec.ReadParts(must(signer.Open(pec.Bytes(envelope)))(t).Content))(t)
	if !bytes.Equal(bytesOf(t, receipt.Original), bytesOf(t, original.Original)) {
		t.Error("the original in the receipt is not that of the envelope")
	}
	same(t, "answers again", w.present(text, anna, mario, luigi), []string{"250 2.0.0", "250 2.0.0"})
	same(t, "out again", w.outgoing(), []string{})
	same(t, "mario again", w.in(mario), []string{"posta-certificata"})
	if got := w.syncer.calls.Load(); got != 1 {
		t.Errorf("syncfs ran %d times, want once: before the first effect of the one transaction that had any", got)
	}
}

func describeAll(w *world, list []sent) []string {
	out := []string{}
	for _, s := range list {
		out = append(out, s.to+": "+w.describe(s.text))
	}
	return out
}

func bytesOf(t testing.TB, src pec.Source) []byte {
	t.Helper()
	b := make([]byte, src.Size())
	if _, err := src.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	return b
}
