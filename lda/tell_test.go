package lda

import (
	"bytes"
	"strings"
	"testing"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/internal/ledger"
	"github.com/ceralacca/ceralacca/internal/transaction"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/pec/compose"
	"github.com/ceralacca/ceralacca/signer"
)

// virusNotice is a virus-detection notice of beta about anna and a message of alfa, in the queue. nth tells copies with a
// Message-ID of their own apart.
func (w *world) virusNotice(about *pec.CertData, detail string, nth int) []byte {
	t := w.t
	t.Helper()
	data := *about
	recipient := addr(t, anna)
	data.Kind, data.Error, data.Detail, data.Provider, data.Receipt = pec.KindVirusDetection, pec.ErrorVirus, detail, w.beta.provider.Name, ""
	data.Time, data.Delivery = w.clock.Now().Truncate(1e9), &recipient
	a := must(compose.NotificationMessage(w.beta.provider, compose.Notification{Data: data, To: addr(t, service), Virus: "x"}))(t)
	for i, f := range a.Header {
		if f.Name == "Message-ID" && nth > 0 {
			a.Header[i].Value = strings.Replace(f.Value, "<", "<"+strings.Repeat("n", nth), 1)
		}
	}
	r := w.incomingRecord(transaction.VerdictNotification, service)
	r.Identifier, r.Sender, r.Kind = data.Identifier, w.beta.provider.Address, data.Kind
	return w.queued(r, seal(t, w.beta, a, data.Time))
}

// hear presents notifications of beta for the service mailbox.
func (w *world) hear(notices ...[]byte) {
	w.t.Helper()
	for _, text := range notices {
		same(w.t, "notice", w.present(text, w.beta.provider.Address.String(), service), []string{"250 2.0.0"})
	}
}

func TestVirusNoticeReceived(t *testing.T) {
	conformance.Covers(t, "C018", "C152", "C153", "C154", "C155", "C156", "C157", "C184")
	w := newWorld(t)
	text, r, envelope := w.submission(&message{from: mario, to: []string{anna, bruno}})
	same(t, "submission", w.present(text, mario, "accettazione"+internal), []string{"250 2.0.0"})
	about := w.certData(envelope)
	notice := w.virusNotice(about, "5.5.1 - Beta PEC S.r.l. - "+eicar, 0)
	w.hear(notice, notice, w.virusNotice(about, "altro", 1))
	same(t, "sender", w.in(mario), []string{"accettazione", "errore-consegna " + anna + " 5.5.1"})
	same(t, "service mailbox", w.in(service), []string{"rilevazione-virus " + anna + " 5.5.1", "rilevazione-virus " + anna + " altro"})
	same(t, "facts", []string{w.fact(r.Identifier, anna), w.fact(r.Identifier, bruno)}, []string{"not-delivered", ""})
	same(t, "log", w.events(r.Identifier), []string{
		"acceptance", "transport-envelope", "notification-received", "non-delivery-virus", "notification-delivered", "duplicate",
		"notification-received", "notification-delivered",
	})
	w.alarmed("our own scanner missed it")
	same(t, "out", w.outgoing(), []string{})

	var told []byte
	for _, m := range w.dovecot.Messages(mario) {
		if bytes.Contains(m, []byte(pec.KindNonDelivery)) {
			told = crlf(m)
		}
	}
	header, data := must(signer.Open(pec.Bytes(told)))(t).Header, w.certData(told)
	for field, want := range map[string]string{
		pec.FieldReceipt: string(pec.KindNonDelivery), pec.FieldSecurity: pec.SecurityAlarm, "To": mario,
		"Subject": "AVVISO DI MANCATA CONSEGNA PER VIRUS: Prova", pec.FieldReference: about.MessageID,
	} {
		if got := header.Get(field); got != want {
			t.Errorf("%s of the notice is %q, want %q", field, got, want)
		}
	}
	if data.Error != pec.ErrorVirus || !strings.HasSuffix(data.Detail, ": "+eicar) || data.Identifier != r.Identifier ||
		data.MessageID != about.MessageID || len(data.Recipients) != 2 || data.Provider != w.alfa.provider.Name {
		t.Errorf("the certification data say %+v", data)
	}
	if !strings.Contains(w.text(told), eicar) {
		t.Errorf("the text does not name the virus:\n%s", w.text(told))
	}
	if l := w.last(r.Identifier, ledger.EventNonDeliveryVirus); l.Detail != eicar || len(l.Covered) != 1 || l.Covered[0] != addr(t, anna) {
		t.Errorf("the log says %q of %v", l.Detail, l.Covered)
	}
}

// TestVirusNoticeAfterAnOutcome: the first certificate stands, the sender is told nothing more.
func TestVirusNoticeAfterAnOutcome(t *testing.T) {
	conformance.Covers(t, "C157")
	for kind, fact := range map[pec.Kind]string{pec.KindDelivery: "delivered", pec.KindNonDelivery: "not-delivered"} {
		t.Run(string(kind), func(t *testing.T) {
			w := newWorld(t)
			text, r, envelope := w.submission(&message{from: mario, to: []string{anna}})
			same(t, "submission", w.present(text, mario, "accettazione"+internal), []string{"250 2.0.0"})
			about := w.certData(envelope)
			outcome := w.notification(kind, about, mario, nil)
			same(t, "outcome", w.present(outcome, w.beta.provider.Address.String(), mario), []string{"250 2.0.0"})
			before := w.in(mario)
			notice := w.virusNotice(about, eicar, 0)
			w.hear(notice, notice)
			same(t, "sender", w.in(mario), before)
			same(t, "service mailbox", w.in(service), []string{"rilevazione-virus " + anna + " " + eicar})
			same(t, "fact", []string{w.fact(r.Identifier, anna)}, []string{fact})
			if got := strings.Count(strings.Join(w.events(r.Identifier), " "), "contradiction"); got != 1 {
				t.Errorf("the log has %d contradictions, want one:\n%v", got, w.events(r.Identifier))
			}
			w.alarmed("contradictory")
		})
	}
}

// TestVirusNoticeBeforeTheAcceptance: it is told when the message is accepted, and not before, and to nobody else.
func TestVirusNoticeBeforeTheAcceptance(t *testing.T) {
	conformance.Covers(t, "C153", "C157")
	w := newWorld(t)
	text, r, envelope := w.submission(&message{from: mario, to: []string{anna}})
	about := w.certData(envelope)
	notice := w.virusNotice(about, eicar, 0)
	w.hear(notice, notice)
	same(t, "sender before", w.in(mario), []string{})
	same(t, "service mailbox", w.in(service), []string{"rilevazione-virus " + anna + " " + eicar})
	w.alarmed("not accepted here")
	for range 2 {
		same(t, "submission", w.present(text, mario, "accettazione"+internal), []string{"250 2.0.0"})
	}
	w.hear(notice)
	same(t, "sender", w.in(mario), []string{"accettazione", "errore-consegna " + anna + " 5.5.1"})
	same(t, "log", w.events(r.Identifier), []string{
		"notification-received", "notification-delivered", "duplicate", "acceptance", "transport-envelope", "non-delivery-virus", "duplicate",
	})

	// A notice that names another sender than the message has tells nobody: neither him nor the true one.
	text, r, envelope = w.submission(&message{from: mario, to: []string{anna}})
	wrong := *w.certData(envelope)
	wrong.Sender = addr(t, luigi)
	early := w.virusNotice(&wrong, eicar, 0)
	w.hear(early)
	same(t, "submission", w.present(text, mario, "accettazione"+internal), []string{"250 2.0.0"})
	w.hear(w.virusNotice(&wrong, eicar, 1))
	same(t, "sender", w.in(mario), []string{"accettazione", "accettazione", "errore-consegna " + anna + " 5.5.1"})
	same(t, "the other", w.in(luigi), []string{})
	if got := w.last(r.Identifier, ledger.EventContradiction); !strings.Contains(got.Detail, "no such message") {
		t.Errorf("the log says %q", got.Detail)
	}
}

// TestVirusNoticeThatSaysNothing: the sender is told in general words; and what a notice says cannot break out of its line.
func TestVirusNoticeThatSaysNothing(t *testing.T) {
	conformance.Covers(t, "C155", "C156")
	w := newWorld(t)
	for detail, want := range map[string]string{
		"...":                           pec.UnnamedVirus,
		"Worm\r\nSubject: x\x1b[1m":     "Worm Subject: x [1m",
		strings.Repeat("lungo ", 50000): strings.TrimSpace(strings.Repeat("lungo ", 10)),
	} {
		text, r, envelope := w.submission(&message{from: mario, to: []string{anna}})
		same(t, "submission", w.present(text, mario, "accettazione"+internal), []string{"250 2.0.0"})
		w.hear(w.virusNotice(w.certData(envelope), detail, 0))
		got := w.last(r.Identifier, ledger.EventNonDeliveryVirus).Detail
		if !strings.HasPrefix(got, want) || len(got) > 300 {
			t.Errorf("of %.40q the sender is told %.400q, want %q", detail, got, want)
		}
	}
}
