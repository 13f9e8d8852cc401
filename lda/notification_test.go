package lda

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/internal/tracking"
	"github.com/ceralacca/ceralacca/internal/transaction"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/pec/compose"
	"github.com/ceralacca/ceralacca/test/dovecot"
)

func (w *world) file(names ...string) []byte {
	w.t.Helper()
	text, err := os.ReadFile(filepath.Join(append([]string{w.dir}, names...)...))
	if err != nil {
		w.t.Fatal(err)
	}
	return text
}

// notification is one of beta's about a message of alfa, in the queue.
func (w *world) notification(kind pec.Kind, about *pec.CertData, to string, change func(*pec.CertData)) []byte {
	t := w.t
	t.Helper()
	data := *about
	data.Kind, data.Provider, data.Receipt = kind, w.beta.provider.Name, ""
	data.Time = w.clock.Now().Truncate(time.Second)
	recipient := addr(t, anna)
	switch kind {
	case pec.KindTakeCharge:
		data.Taken = []pec.Address{recipient}
	case pec.KindDelivery:
		data.Delivery, data.Receipt = &recipient, pec.ReceiptComplete
	default:
		data.Delivery, data.Error, data.Detail = &recipient, pec.ErrorRecipient, "5.1.1 - Beta - x"
	}
	if change != nil {
		change(&data)
	}
	n := compose.Notification{Data: data, To: addr(t, to), Concise: kind == pec.KindDelivery}
	text := seal(t, w.beta, must(compose.NotificationMessage(w.beta.provider, n))(t), data.Time)
	r := w.incomingRecord(transaction.VerdictNotification, to)
	r.Identifier, r.Sender, r.Kind = data.Identifier, w.beta.provider.Address, kind
	return w.queued(r, text)
}

func TestIncomingNotifications(t *testing.T) {
	conformance.Covers(t, "C020", "C117", "C131", "C184")
	w := newWorld(t)
	from := w.beta.provider.Address.String()
	_, about := w.envelope(w.alfa, &message{from: mario, to: []string{anna}})
	taken := w.notification(pec.KindTakeCharge, about, service, nil)
	delivered := w.notification(pec.KindDelivery, about, mario, nil)
	for range 2 { // second copies are dropped
		same(t, "take-charge", w.present(taken, from, service), []string{"250 2.0.0"})
		same(t, "delivery receipt", w.present(delivered, from, mario), []string{"250 2.0.0"})
	}
	same(t, "fact", []string{w.fact(about.Identifier, anna)}, []string{"taken delivered"})
	same(t, "service mailbox", w.in(service), []string{"presa-in-carico " + anna})
	same(t, "mario", w.in(mario), []string{"avvenuta-consegna " + anna})
	// What contradicts a final fact is delivered, and an alarm; the fact stands.
	failed := w.notification(pec.KindNonDelivery, about, mario, nil)
	same(t, "non-delivery", w.present(failed, from, mario), []string{"250 2.0.0"})
	same(t, "fact", []string{w.fact(about.Identifier, anna)}, []string{"taken delivered"})
	w.alarmed("contradictory")
	same(t, "log", w.events(about.Identifier), []string{
		"notification-received", "notification-delivered", "notification-received", "notification-delivered",
		"duplicate", "duplicate",
		"contradiction", "notification-received", "notification-delivered",
	})
	same(t, "out", w.outgoing(), []string{})
}

func TestTakeChargeNeverReachesAUser(t *testing.T) {
	conformance.Covers(t, "C020")
	w := newWorld(t)
	_, about := w.envelope(w.alfa, &message{from: mario, to: []string{anna}})
	text := w.notification(pec.KindTakeCharge, about, mario, nil) // whatever the milter may think of it
	same(t, "answers", w.present(text, w.beta.provider.Address.String(), mario), []string{"250 2.0.0"})
	same(t, "mario", w.in(mario), []string{})
	same(t, "service mailbox", w.in(service), []string{"presa-in-carico " + anna})
}

func TestReceiptsForAFullMailboxWait(t *testing.T) {
	w := newWorld(t)
	sub, r, _ := w.submission(&message{from: pieno, to: []string{luigi}})
	same(t, "submission", w.present(sub, pieno, luigi, "accettazione"+internal), []string{"250 2.0.0", "250 2.0.0"})
	_, about := w.envelope(w.alfa, &message{from: pieno, to: []string{anna}})
	text := w.notification(pec.KindDelivery, about, pieno, nil)
	same(t, "notification", w.present(text, w.beta.provider.Address.String(), pieno), []string{"250 2.0.0"})
	same(t, "recipient", w.in(luigi), []string{"posta-certificata"})
	same(t, "full mailbox", w.in(pieno), []string{})
	if got := len(w.due()); got != 3 {
		t.Fatalf("%d notifications wait, want acceptance, delivery receipt, and that of beta", got)
	}
	w.clock.shift.Store(int64(time.Hour))
	if err := w.agent.retryDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := w.due(); len(got) != 3 || got[0].Attempts != 2 {
		t.Fatalf("after a retry that failed: %+v", got)
	}
	w.dovecot.SetUsers(dovecot.User{Address: pieno, Quota: "*:storage=1G"}, dovecot.User{Address: luigi})
	w.clock.shift.Store(int64(2 * time.Hour))
	for range 2 {
		if err := w.agent.retryDue(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	same(t, "mailbox with room", w.in(pieno), []string{
		"accettazione", "avvenuta-consegna " + anna, "avvenuta-consegna " + luigi + " with original",
	})
	if got := w.due(); len(got) != 0 {
		t.Errorf("still waiting: %+v", got)
	}
	if files, err := os.ReadDir(filepath.Join(w.dir, asideFolder)); err != nil || len(files) != 0 {
		t.Errorf("files left: %v, %v", files, err)
	}
	same(t, "facts", []string{w.fact(r.Identifier, luigi)}, []string{"taken delivered"})
}

func TestReceiptsAreGivenUpAfterDays(t *testing.T) {
	conformance.Covers(t, "C241")
	w := newWorld(t)
	sub, r, _ := w.submission(&message{from: pieno, to: []string{anna}})
	same(t, "submission", w.present(sub, pieno, "accettazione"+internal), []string{"250 2.0.0"})
	for day := range 7 {
		w.clock.shift.Store(int64(time.Duration(day) * 24 * time.Hour))
		if err := w.agent.retryDue(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	got := w.due()
	if len(got) != 1 || !got[0].GaveUp || got[0].To != addr(t, pieno) {
		t.Errorf("after a week: %+v, want one, given up", got)
	}
	same(t, "log", w.events(r.Identifier), []string{"acceptance", "transport-envelope", "receipt-undeliverable"})
	last := w.records(r.Identifier)[2]
	if last.Sender != addr(t, pieno) || len(last.Recipients) != 1 || last.Subject != "Prova" || last.Provider != w.alfa.provider.Name {
		t.Errorf("the record of what was given up says %+v, want sender, recipient, subject and provider of the message", last)
	}
	w.alarmed("given up")
}

func (w *world) due() []tracking.Due {
	w.t.Helper()
	var out []tracking.Due
	err := w.store.View(w.t.Context(), func(tx store.Tx) error {
		return tracking.Undelivered(tx, func(d tracking.Due) error {
			out = append(out, d)
			return nil
		})
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}
