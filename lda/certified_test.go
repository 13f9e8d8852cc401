package lda

import (
	"bytes"
	"testing"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/internal/ledger"
	"github.com/ceralacca/ceralacca/internal/store"
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
