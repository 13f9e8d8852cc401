package lda

import (
	"bytes"
	"crypto/x509"
	"slices"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab/pki"
	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/internal/effect"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/signer"
)

// rotate gives the agent another certificate and key; the directory knows the new one alone. With restart the agent is another
// process, which has never seen the old ones.
func (w *world) rotate(restart bool) (old, fresh *x509.Certificate) {
	w.t.Helper()
	authority := must(pki.NewAuthority("Another CA", time.Now()))(w.t)
	next := newParty(w.t, authority, w.alfa.provider.Name, w.alfa.provider.Address.Domain())
	old, fresh = w.alfa.key.Certificates()[0], next.key.Certificates()[0]
	w.alfa = next
	if restart {
		w.restart()
		return old, fresh
	}
	w.atStep(nil)
	if err := w.agent.Reload(w.config, next.key, w.agent.o.Mailboxes); err != nil {
		w.t.Fatal(err)
	}
	return old, fresh
}

// signerOf is who signed a message, whose signature must verify.
func (w *world) signerOf(text []byte) *x509.Certificate {
	w.t.Helper()
	return must(signer.Open(pec.Bytes(text)))(w.t).Signer
}

// What was prepared with the old certificate is finished with it, byte for byte, after another one is in use: its signature is
// stored, so that no key is needed. What is prepared afterwards has the new one.
func TestRotationWhileEffectsAreOpen(t *testing.T) {
	conformance.Covers(t, "C210")
	w := newWorld(t)
	for _, restart := range []bool{false, true} {
		for _, name := range []string{effectTakeCharge, effectOutcome} {
			text, _, _ := w.incoming(&message{from: anna, to: []string{mario}})
			dead := w.killAt("after "+effect.StepHandOver, name)
			same(t, "the first", w.present(text, anna, mario), []string{"451 4.3.0"})
			first := w.out.take()
			if !dead.Load() || len(first) == 0 {
				t.Fatalf("%s: dead %t, %d messages went out", name, dead.Load(), len(first))
			}
			old, fresh := w.rotate(restart)
			same(t, "the second", w.present(text, anna, mario), []string{"250 2.0.0"})
			second := w.out.take()
			if len(second) == 0 || !bytes.Equal(second[0].text, first[len(first)-1].text) {
				t.Fatalf("%s, restart %t: what was prepared went out as\n%s\nfirst, and then as\n%v", name, restart, first[len(first)-1].text, second)
			}
			if !w.signerOf(second[0].text).Equal(old) {
				t.Errorf("%s: what was prepared is not of the old certificate", name)
			}
			for _, later := range second[1:] {
				if !w.signerOf(later.text).Equal(fresh) {
					t.Errorf("%s: what was prepared after the rotation is of the old certificate", name)
				}
			}
		}
	}
}

// Envelopes that the milter sealed with the old certificate wait in the queue while the directory forgets it: they are
// delivered as they are, and their receipts have the new one.
func TestRotationWhileEnvelopesWait(t *testing.T) {
	conformance.Covers(t, "C210")
	w := newWorld(t)
	text, r, _ := w.submission(&message{from: mario, to: []string{luigi}})
	old, fresh := w.rotate(false)
	recipients := []string{luigi, "accettazione" + internal}
	same(t, "answers", w.present(text, mario, recipients...), []string{"250 2.0.0", "250 2.0.0"})
	same(t, "answers again", w.present(text, mario, recipients...), []string{"250 2.0.0", "250 2.0.0"})
	same(t, "luigi", w.in(luigi), []string{"posta-certificata"})
	for _, box := range []string{mario, luigi} {
		for _, m := range w.dovecot.Messages(box) {
			want := fresh
			if w.describe(crlf(m)) == string(pec.KindTransport) {
				want = old
			}
			if !w.signerOf(crlf(m)).Equal(want) {
				t.Errorf("%s: %s is signed by %v", box, w.describe(crlf(m)), w.signerOf(crlf(m)).SerialNumber)
			}
		}
	}
	same(t, "fact", []string{w.fact(r.Identifier, luigi)}, []string{"taken delivered"})
}

// An anomaly envelope that the agent seals anew at each presentation is known by what is in it, whoever signed it: a delivery
// whose answer was lost is not made again with the new certificate.
func TestRotationWhileAnomalyIsUncertain(t *testing.T) {
	conformance.Covers(t, "C210", "C160")
	w := newWorld(t)
	text, r, _ := w.incoming(&message{from: anna, to: []string{mario}, at: w.clock.Now().Add(-80 * time.Hour).Truncate(time.Second)})
	dead := w.killAt("after "+effect.StepHandOver, effectAnomaly)
	same(t, "the first", w.present(text, anna, mario), []string{"451 4.3.0"})
	if !dead.Load() {
		t.Fatal("nobody died")
	}
	old, _ := w.rotate(true)
	same(t, "the second", w.present(text, anna, mario), []string{"250 2.0.0"})
	same(t, "mario", w.in(mario), []string{"errore"})
	if !w.signerOf(crlf(w.dovecot.Messages(mario)[0])).Equal(old) {
		t.Error("the anomaly envelope was replaced")
	}
	if slices.Contains(w.events(r.Identifier), "possible-duplicate") {
		t.Error("the log speaks of a duplicate")
	}
}
