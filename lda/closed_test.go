package lda

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/internal/ledger"
	"github.com/ceralacca/ceralacca/internal/reply"
	"github.com/ceralacca/ceralacca/internal/transaction"
)

// nothing fails the test when anything has left the agent.
func (w *world) nothing() {
	w.t.Helper()
	for _, box := range []string{mario, luigi, service, spento} {
		same(w.t, "mailbox of "+box, w.in(box), []string{})
	}
	same(w.t, "out", w.outgoing(), []string{})
}

func (w *world) alarmed(word string) {
	w.t.Helper()
	if !strings.Contains(w.log.String(), "alarm=true") || !strings.Contains(w.log.String(), word) {
		w.t.Errorf("no alarm about %q", word)
	}
}

func TestClosedByDefault(t *testing.T) {
	conformance.Covers(t, "C241")
	w := newWorld(t)
	good, r, envelope := w.incoming(&message{from: anna, to: []string{mario, luigi}}, mario)
	other, err := transaction.NewKey(bytes.Repeat([]byte{8}, 32))
	if err != nil {
		t.Fatal(err)
	}
	mine := w.hmac
	w.hmac = other
	forged := w.queued(r, envelope)
	w.hmac = mine
	cases := map[string]struct {
		text       []byte
		from       string
		recipients []string
		want       []string
	}{
		"without record":           {envelope, anna, []string{mario}, []string{"550 5.7.1"}},
		"ordinary, without record": {[]byte("Subject: x\r\n\r\ny\r\n"), carlo, []string{mario}, []string{"550 5.7.1"}},
		"record of another key":    {forged, anna, []string{mario}, []string{"550 5.7.1"}},
		"altered after the record": {bytes.Replace(good, []byte("ciao"), []byte("miao"), 1), anna, []string{mario},
			[]string{"451 4.3.0"}},
		"a field above the record": {append([]byte("X-Added: by a filter\r\n"), good...), anna, []string{mario},
			[]string{"451 4.3.0"}},
		"sent on to another":               {good, anna, []string{luigi}, []string{"550 5.7.1"}},
		"one covered and one not":          {good, anna, []string{mario, luigi}, []string{"550 5.7.1", "550 5.7.1"}},
		"the internal one, not its own":    {good, anna, []string{"accettazione" + internal}, []string{"550 5.7.1"}},
		"the null sender without a report": {[]byte("Subject: x\r\n\r\ny\r\n"), "", []string{mario}, []string{"550 5.7.1"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			same(t, "answers", w.present(c.text, c.from, c.recipients...), c.want)
		})
	}
	w.nothing()
	w.alarmed("turned away")
	var turnedAway [][]byte
	for _, c := range cases {
		if c.want[0] == "550 5.7.1" {
			turnedAway = append(turnedAway, c.text)
		}
	}
	w.turnedAway(turnedAway)
	same(t, "answers of the good one", w.present(good, anna, mario), []string{"250 2.0.0"})
	// An alias of the certified recipient is told by its ORCPT.
	text, _, _ := w.incoming(&message{from: anna, to: []string{info}})
	same(t, "answers", w.present(text, anna, rcpt(mario, info)), []string{"250 2.0.0"})
	same(t, "answers to the wrong ORCPT", w.present(text, anna, rcpt(luigi, "altro@alfa.example")), []string{"550 5.7.1"})
}

// turnedAway fails the test unless the log has a record of each text that was turned away for good, known by its digest,
// and nothing else.
func (w *world) turnedAway(texts [][]byte) {
	w.t.Helper()
	var got, want []string
	for _, r := range w.records("") {
		got = append(got, string(r.Identifier))
		if r.Event != ledger.EventUntrusted || len(r.Recipients) == 0 || r.Detail == "" || r.Time.IsZero() {
			w.t.Errorf("a record says %+v, want one of what was turned away, to whom and why", r)
		}
	}
	for _, text := range texts {
		digest := sha256.Sum256(text)
		want = append(want, hex.EncodeToString(digest[:16]))
	}
	slices.Sort(got)
	slices.Sort(want)
	same(w.t, "identifiers of what was turned away", got, want)
}

func TestBouncesOnlyAtTheirSocket(t *testing.T) {
	w := newWorld(t)
	good, _, _ := w.incoming(&message{from: anna, to: []string{mario}})
	for _, from := range []string{"<" + anna + ">", "<>"} {
		got := w.presentAt(w.config.Agent.DSNSocket, good, from, []string{mario})
		same(t, "answers at the socket for bounces, from "+from, got, []string{"550 5.7.1"})
	}
	w.nothing()
}

// A verdict that this program does not know, as after a step back to an older one: every verdict that can be sealed now
// has its steps.
func TestUnknownVerdictIsTemporary(t *testing.T) {
	for _, v := range []transaction.Verdict{"", "later"} {
		steps, err := stepsFor(&transaction.Record{Point: transaction.PointIncoming, Verdict: v})
		if got := reply.For(err, reply.DoorLMTP).Code; err == nil || steps != nil || got != 451 {
			t.Errorf("the verdict %q has the steps %v, answered %d (%v); want none and 451", v, steps, got, err)
		}
	}
}

func TestSyncfsErrorStopsEverything(t *testing.T) {
	w := newWorld(t)
	failure := errors.New("EIO")
	w.syncer.err.Store(&failure)
	in, _, _ := w.incoming(&message{from: anna, to: []string{mario}})
	same(t, "incoming", w.present(in, anna, mario), []string{"451 4.3.0"})
	sub, _, _ := w.submission(&message{from: mario, to: []string{luigi}})
	same(t, "submission", w.present(sub, mario, luigi, "accettazione"+internal), []string{"451 4.3.0", "451 4.3.0"})
	w.nothing()
	w.alarmed("syncfs")
	w.syncer.err.Store(nil)
	same(t, "incoming again", w.present(in, anna, mario), []string{"250 2.0.0"})
}

func TestRefusal(t *testing.T) {
	conformance.Covers(t, "C026", "C048", "C049")
	w := newWorld(t)
	text := []byte("From: " + mario + "\r\nTo: " + anna + "\r\nBcc: " + luigi + "\r\nSubject: Prova\r\n\r\nciao\r\n")
	r := &transaction.Record{
		Point: transaction.PointSubmission, Verdict: transaction.VerdictRefused, ID: newID(), Reason: "bcc",
		Detail: "campo Bcc non ammesso", Identifier: "0123456789abcdef0123456789abcdef@alfa.example",
		Instant: w.clock.Now(), Sender: addr(t, mario), Recipients: addrs(t, anna, luigi), Subject: "Prova", HasSubject: true,
	}
	queued := w.queued(r, text)
	for range 2 {
		same(t, "answers", w.present(queued, mario, "rifiuto"+internal), []string{"250 2.0.0"})
	}
	same(t, "sender", w.in(mario), []string{"non-accettazione campo"})
	same(t, "recipient", w.in(luigi), []string{})
	same(t, "out", w.outgoing(), []string{})
	same(t, "log", w.events(r.Identifier), []string{"non-acceptance"})
	same(t, "a recipient that is not the internal one", w.present(queued, mario, anna), []string{"250 2.0.0"})
}

func TestAnswersByPlaceForRepeatedRecipients(t *testing.T) {
	w := newWorld(t)
	text, r, _ := w.incoming(&message{from: anna, to: []string{info, mario, nessuno}})
	answers := w.present(text, anna, rcpt(mario, info), rcpt(nessuno, nessuno), rcpt(luigi, info), mario)
	same(t, "answers", answers, slices.Repeat([]string{"250 2.0.0"}, 4))
	same(t, "mario gets it once", w.in(mario), []string{"posta-certificata"})
	same(t, "luigi", w.in(luigi), []string{"posta-certificata"})
	same(t, "out", w.outgoing(), []string{
		anna + ": avvenuta-consegna " + info + " with original",
		anna + ": avvenuta-consegna " + mario + " with original",
		anna + ": errore-consegna " + nessuno + " 5.1.1",
		betaService + ": presa-in-carico " + info + " " + mario + " " + nessuno,
	})
	same(t, "facts", []string{w.fact(r.Identifier, info), w.fact(r.Identifier, nessuno)},
		[]string{"taken delivered", "taken not-delivered"})
}
