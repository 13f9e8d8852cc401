package lda

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/internal/tracking"
	"github.com/ceralacca/ceralacca/internal/transaction"
	"github.com/ceralacca/ceralacca/pec"
)

// sample is a bounce as Postfix 3.7 writes it, about the transaction with this id.
func (w *world) sample(name, id string) []byte {
	w.t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "bounce", name+".eml"))
	if err != nil {
		w.t.Fatal(err)
	}
	return bytes.ReplaceAll(text, []byte("@ENVID@"), []byte(w.hmac.EnvelopeID(id)))
}

// submitted is a submission whose acceptance is done, to a certified and to an ordinary recipient.
func (w *world) submitted() *transaction.Record {
	w.t.Helper()
	text, r, _ := w.submission(&message{from: mario, to: []string{anna, carlo}})
	same(w.t, "submission", w.present(text, mario, "accettazione"+internal), []string{"250 2.0.0"})
	return r
}

func TestBounces(t *testing.T) {
	conformance.Covers(t, "C101", "C179", "C181")
	w := newWorld(t)
	cases := map[string]struct {
		answer  string
		mailbox []string // of the sender, beside the acceptance receipt
		fact    string
	}{
		"01-refused":                {"250 2.0.0", []string{"errore-consegna " + anna + " 5.1.1"}, "not-delivered"},
		"02-unknown-domain":         {"250 2.0.0", []string{"errore-consegna " + anna + " 5.1.2"}, "not-delivered"},
		"03-expired":                {"250 2.0.0", []string{"errore-consegna " + anna + " 5.4.7"}, "not-delivered"},
		"04-delayed":                {"250 2.0.0", nil, ""},
		"05-ordinary-and-certified": {"250 2.0.0", []string{"errore", "errore-consegna " + anna + " 5.7.1"}, "not-delivered"},
		"06-of-a-receipt":           {"250 2.0.0", nil, ""},
		"07-relayed":                {"250 2.0.0", nil, ""},
		"08-no-envelope-id":         {"550 5.7.1", nil, ""},
		"09-forged-envelope-id":     {"550 5.7.1", nil, ""},
		"10-of-another-recipient":   {"250 2.0.0", nil, ""},
	}
	seen := map[string]int{}
	for name, c := range cases {
		r := w.submitted()
		for _, socket := range []bool{false, true, true} { // from either instance, and again: one effect
			at := w.config.Agent.LMTPSocket
			if socket {
				at = w.config.Agent.DSNSocket
			}
			same(t, name, w.presentAt(at, w.sample(name, r.ID), "<>", []string{mario}), []string{c.answer})
		}
		seen["accettazione"]++
		for _, kind := range c.mailbox {
			seen[kind]++
		}
		got := map[string]int{}
		for _, kind := range w.in(mario) {
			got[kind]++
		}
		if fmt.Sprint(got) != fmt.Sprint(seen) {
			t.Errorf("%s: the sender has %v, want %v", name, got, seen)
			seen = got
		}
		same(t, "fact after "+name, []string{w.fact(r.Identifier, anna)}, []string{c.fact})
	}
	same(t, "out", w.outgoing(), []string{})
	w.alarmed("turned away")
}

func TestBounceOfAnOrdinaryRecipientSaysWhy(t *testing.T) {
	w := newWorld(t)
	r := w.submitted()
	w.presentAt(w.config.Agent.DSNSocket, w.sample("05-ordinary-and-certified", r.ID), "<>", []string{mario})
	told := 0
	for _, text := range w.dovecot.Messages(mario) {
		if !bytes.Contains(text, []byte("X-Trasporto: errore")) {
			continue
		}
		told++
		for _, want := range []string{"carlo@ordinario.example: indirizzo non valido", "MAILER-DAEMON@mx.alfa.example"} {
			if !strings.Contains(strings.ReplaceAll(string(crlf(text)), "=\r\n", ""), want) {
				t.Errorf("the anomaly envelope does not say %q:\n%s", want, text)
			}
		}
	}
	if told != 1 {
		t.Errorf("the sender has %d anomaly envelopes, want 1", told)
	}
}

// The envelope id alone is no proof: it stands in what others see, too.
func TestBounceIsFromTheNullSender(t *testing.T) {
	conformance.Covers(t, "C101")
	w := newWorld(t)
	r := w.submitted()
	for _, sender := range []string{"<" + luigi + ">", "<MAILER-DAEMON@mx.alfa.example>"} {
		got := w.presentAt(w.config.Agent.DSNSocket, w.sample("01-refused", r.ID), sender, []string{mario})
		same(t, "answer to "+sender, got, []string{"550 5.7.1"})
	}
	same(t, "mario", w.in(mario), []string{"accettazione"})
	w.alarmed("turned away")
}

func TestBounceWithItsEnvelopeIDInMail(t *testing.T) {
	w := newWorld(t)
	r := w.submitted()
	text := w.sample("08-no-envelope-id", r.ID)
	forged := strings.Repeat("0", 32) + "." + strings.Repeat("0", 32)
	for envid, want := range map[string]string{forged: "550 5.7.1", w.hmac.EnvelopeID(r.ID): "250 2.0.0"} {
		got := w.presentAt(w.config.Agent.DSNSocket, text, "<> ENVID="+envid, []string{mario})
		same(t, "answer", got, []string{want})
	}
	same(t, "mario", w.in(mario), []string{"accettazione", "errore-consegna " + anna + " 5.1.1"})
}

func TestBounceOfWhatIsNotKnownYet(t *testing.T) {
	w := newWorld(t)
	text, r, _ := w.submission(&message{from: mario, to: []string{anna, carlo}})
	bounce := w.sample("01-refused", r.ID)
	same(t, "before the acceptance", w.presentAt(w.config.Agent.DSNSocket, bounce, "<>", []string{mario}), []string{"451 4.3.0"})
	w.nothing()
	w.present(text, mario, "accettazione"+internal)
	same(t, "after it", w.presentAt(w.config.Agent.DSNSocket, bounce, "<>", []string{mario}), []string{"250 2.0.0"})
	same(t, "mario", w.in(mario), []string{"accettazione", "errore-consegna " + anna + " 5.1.1"})
}

func TestBounceAfterAnOutcomeChangesNothing(t *testing.T) {
	w := newWorld(t)
	r := w.submitted()
	err := w.store.Update(t.Context(), func(tx store.Tx) error {
		_, err := tracking.Record(tx, tracking.Fact{
			Sender: w.alfa.record.Name, Identifier: r.Identifier, Recipient: addr(t, anna), Kind: tracking.Delivered,
			Time: w.clock.Now(), Provider: "Beta",
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	got := w.presentAt(w.config.Agent.DSNSocket, w.sample("01-refused", r.ID), "<>", []string{mario})
	same(t, "answer", got, []string{"250 2.0.0"})
	same(t, "mario", w.in(mario), []string{"accettazione"})
	same(t, "fact", []string{w.fact(r.Identifier, anna)}, []string{"delivered"})
}

func parse(text []byte) (*report, error) {
	src := pec.Bytes(text)
	h, body, err := pec.ReadHeader(src, 1<<20)
	if err != nil {
		return nil, err
	}
	return parseReport(h, whole(pec.Section(src, body, src.Size()-body)))
}

func TestParseReport(t *testing.T) {
	samples, err := filepath.Glob("testdata/bounce/*.eml")
	if err != nil || len(samples) == 0 {
		t.Fatalf("no samples: %v", err)
	}
	for _, path := range samples {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		r, err := parse(text)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		for _, s := range r.statuses {
			if s.final == "" || s.action == "" || s.attempt.Enhanced == "" || s.attempt.Text == "" {
				t.Errorf("%s: incomplete status %+v", path, s)
			}
		}
		if len(r.returned) == 0 {
			t.Errorf("%s: no header of what was returned", path)
		}
	}
	for name, text := range map[string]string{
		"plain":      "Subject: x\r\n\r\ny\r\n",
		"other type": "Content-Type: multipart/report; report-type=disposition-notification; boundary=b\r\n\r\n--b--\r\n",
		"empty":      "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b--\r\n",
		"no boundary": "Content-Type: multipart/report; report-type=delivery-status\r\n\r\n--b\r\n" +
			"Content-Type: message/delivery-status\r\n\r\nFinal-Recipient: rfc822; a@b\r\n--b--\r\n",
		"two statuses": "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n" +
			strings.Repeat("--b\r\nContent-Type: message/delivery-status\r\n\r\n\r\nFinal-Recipient: rfc822; a@b\r\n", 2) + "--b--\r\n",
	} {
		if r, err := parse([]byte(text)); err == nil {
			t.Errorf("%s: parsed as %+v, want an error", name, r)
		}
	}
}

func FuzzParseReport(f *testing.F) {
	samples, _ := filepath.Glob("testdata/bounce/*.eml")
	for _, path := range samples {
		if text, err := os.ReadFile(path); err == nil {
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := parse(text)
		if err == nil && len(r.statuses) == 0 {
			t.Error("a report without a status")
		}
	})
}
