package lda

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/internal/ledger"
	"github.com/ceralacca/ceralacca/internal/quarantine"
	"github.com/ceralacca/ceralacca/internal/transaction"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/signer"
)

const eicar = "Win.Test.EICAR_HDB-1"

func infected() transaction.Scan {
	return transaction.Scan{Verdict: transaction.ScanInfected, Virus: eicar, Engine: "ClamAV 1.4.3", Signatures: "27812"}
}

// infectedSubmission is a submission with a virus in the queue, and the message as it came.
func (w *world) infectedSubmission(from string, to ...string) (queued []byte, r *transaction.Record, original []byte) {
	w.t.Helper()
	original = []byte("From: " + from + "\r\nTo: " + strings.Join(to, ", ") + "\r\nReply-To: " + luigi + "\r\nSubject: Prova\r\n" +
		"Message-ID: <9@client.example>\r\n\r\nX5O!P%\r\n")
	r = &transaction.Record{
		Point: transaction.PointSubmission, Verdict: transaction.VerdictVirus, ID: newID(), Scan: infected(),
		Identifier: pec.Identifier(newID() + "@alfa.example"), Instant: w.clock.Now().Truncate(time.Second), Sender: addr(w.t, from),
		Recipients: addrs(w.t, to...), Subject: "Prova", HasSubject: true, MessageID: "<9@client.example>",
	}
	for range to {
		r.Types = append(r.Types, pec.Certified)
	}
	return w.queued(r, original), r, original
}

// infectedEnvelope is a valid envelope of beta with a virus in the queue.
func (w *world) infectedEnvelope(m *message, recipients ...string) (queued []byte, r *transaction.Record, envelope []byte) {
	w.t.Helper()
	_, r, envelope = w.incoming(m, recipients...)
	r.Verdict, r.Scan = transaction.VerdictVirus, infected()
	return w.queued(r, envelope), r, envelope
}

// quarantined are the entries of the quarantine, the oldest first, each of which must be whole.
func (w *world) quarantined() []*quarantine.Entry {
	w.t.Helper()
	from := quarantine.In(w.dir)
	entries := must(from.List())(w.t)
	for _, e := range entries {
		if err := from.Copy(e, &bytes.Buffer{}); err != nil {
			w.t.Errorf("quarantine: %v", err)
		}
	}
	return entries
}

// inQuarantine fails the test unless the message of a transaction lies there as it came.
func (w *world) inQuarantine(r *transaction.Record, message []byte) *quarantine.Entry {
	w.t.Helper()
	from := quarantine.In(w.dir)
	e := must(from.Get(r.ID))(w.t)
	var got bytes.Buffer
	if err := from.Copy(e, &got); err != nil || !bytes.HasSuffix(got.Bytes(), message) || bytes.Contains(got.Bytes(), []byte(transaction.FieldName)) {
		w.t.Errorf("the quarantine has (%v)\n%.300q\nwant what came:\n%.300q", err, got.Bytes(), message)
	}
	if e.Virus != eicar || e.Engine != "ClamAV 1.4.3" || e.Signatures != "27812" || e.Sender != r.Sender.String() || e.Identifier != r.Identifier {
		w.t.Errorf("the quarantine says %+v", e)
	}
	for path, mode := range map[string]os.FileMode{"": 0o700, r.ID + ".eml": 0o600, r.ID + ".json": 0o600} {
		info := must(os.Stat(filepath.Join(from.Folder(), path)))(w.t)
		if info.Mode().Perm() != mode {
			w.t.Errorf("quarantine/%s has the mode %v, want %v", path, info.Mode().Perm(), mode)
		}
	}
	return e
}

// text is the readable text of a sealed message, its quoted-printable undone as far as names need it.
func (w *world) text(sealed []byte) string {
	w.t.Helper()
	parts := must(pec.ReadParts(must(signer.Open(pec.Bytes(sealed)))(w.t).Content))(w.t)
	return strings.ReplaceAll(string(bytesOf(w.t, parts.Text)), "=\r\n", "")
}

// last is the last record of an event about a message.
func (w *world) last(id pec.Identifier, e ledger.Event) ledger.Record {
	w.t.Helper()
	var found ledger.Record
	for _, r := range w.records(id) {
		if r.Event == e {
			found = r
		}
	}
	if found.Event == "" {
		w.t.Errorf("the log of %s has no %s", id, e)
	}
	return found
}

func TestInfectedSubmission(t *testing.T) {
	conformance.Covers(t, "C018", "C027", "C060", "C061", "C062", "C063", "C064", "C065", "C066", "C067")
	w := newWorld(t)
	text, r, original := w.infectedSubmission(mario, luigi, anna)
	for range 2 { // presented again, nothing happens again
		same(t, "answers", w.present(text, mario, "rifiuto"+internal), []string{"250 2.0.0"})
	}
	same(t, "sender", w.in(mario), []string{"non-accettazione 5.5.1"})
	same(t, "recipient and Reply-To", w.in(luigi), []string{})
	same(t, "out", w.outgoing(), []string{})
	w.inQuarantine(r, original)
	same(t, "log", w.events(r.Identifier), []string{"quarantined", "non-acceptance-virus"})
	notice := crlf(w.dovecot.Messages(mario)[0])
	header := must(signer.Open(pec.Bytes(notice)))(t).Header
	for field, want := range map[string]string{
		pec.FieldReceipt: string(pec.KindNonAcceptance), pec.FieldSecurity: pec.SecurityAlarm, "To": mario,
		"Subject": "AVVISO DI NON ACCETTAZIONE PER VIRUS: Prova",
	} {
		if got := header.Get(field); got != want {
			t.Errorf("%s of the notice is %q, want %q", field, got, want)
		}
	}
	data := w.certData(notice)
	if data.Error != pec.ErrorVirus || !strings.Contains(data.Detail, eicar) || data.Identifier != r.Identifier || len(data.Recipients) != 2 {
		t.Errorf("the certification data say %+v", data)
	}
	if !strings.Contains(w.text(notice), eicar) || bytes.Contains(notice, []byte("X5O!P%")) {
		t.Error("the notice does not name the virus, or has it")
	}
	l := w.last(r.Identifier, ledger.EventNonAcceptanceVirus)
	if diff := cmp.Diff(infected(), l.Scan); diff != "" || l.Detail != eicar {
		t.Errorf("the log says %q (-want +got):\n%s", l.Detail, diff)
	}
}

func TestInfectedEnvelope(t *testing.T) {
	conformance.Covers(t, "C067", "C120", "C121", "C143", "C144", "C145", "C146", "C147", "C148", "C149", "C150", "C151")
	w := newWorld(t)
	text, r, envelope := w.infectedEnvelope(&message{from: anna, to: []string{mario, luigi, bruno}}, mario, luigi)
	same(t, "answers", w.present(text, anna, "rifiuto"+internal), []string{"250 2.0.0"})
	got := w.out.take()
	same(t, "out", describeAll(w, got), []string{
		betaService + ": presa-in-carico " + mario + " " + luigi,
		betaService + ": rilevazione-virus " + mario + " 5.5.1", betaService + ": rilevazione-virus " + luigi + " 5.5.1",
	})
	same(t, "mailboxes", append(w.in(mario), w.in(luigi)...), []string{})
	w.inQuarantine(r, envelope)
	same(t, "facts", []string{w.fact(r.Identifier, mario), w.fact(r.Identifier, luigi)}, []string{"taken not-delivered", "taken not-delivered"})
	same(t, "log", w.events(r.Identifier), []string{"quarantined", "reception", "take-charge", "virus-detection", "virus-detection"})
	for _, s := range got[1:] {
		data, header := w.certData(s.text), must(signer.Open(pec.Bytes(s.text)))(t).Header
		if data.Error != pec.ErrorVirus || !strings.Contains(data.Detail, eicar) || !strings.Contains(w.text(s.text), eicar) {
			t.Errorf("the notice says %s %q", data.Error, data.Detail)
		}
		if header.Get(pec.FieldOriginator) != anna || header.Get("Subject") != "PROBLEMA DI SICUREZZA: Prova" || header.Get("To") != betaService {
			t.Errorf("the notice has the fields\n%s", head(header))
		}
		if bytes.Contains(s.text, []byte("ciao")) {
			t.Error("the notice carries the original")
		}
	}
	if l := w.last(r.Identifier, ledger.EventVirusDetection); l.Scan != infected() || l.Detail != eicar {
		t.Errorf("the log says %+v, %q", l.Scan, l.Detail)
	}
	same(t, "answers again", w.present(text, anna, "rifiuto"+internal), []string{"250 2.0.0"})
	same(t, "out again", w.outgoing(), []string{})

	// The same envelope in a clean copy, from before the virus was known: who has an outcome gets nothing.
	clean := w.incomingRecord(transaction.VerdictValidEnvelope, mario)
	clean.Identifier, clean.Sender, clean.Kind = r.Identifier, r.Sender, pec.KindTransport
	same(t, "clean copy", w.present(w.queued(clean, envelope), anna, mario), []string{"250 2.0.0"})
	same(t, "mailbox", w.in(mario), []string{})
	same(t, "out", w.outgoing(), []string{})
}

// TestVirusKnownTooLate: what was delivered when its virus was not known is delivered, and stays it.
func TestVirusKnownTooLate(t *testing.T) {
	conformance.Covers(t, "C143", "C144")
	w := newWorld(t)
	text, r, envelope := w.incoming(&message{from: anna, to: []string{mario, luigi}}, mario)
	same(t, "clean", w.present(text, anna, mario), []string{"250 2.0.0"})
	w.out.take()
	late := w.incomingRecord(transaction.VerdictVirus, mario, luigi)
	late.Identifier, late.Sender, late.Kind, late.Scan = r.Identifier, r.Sender, pec.KindTransport, infected()
	queued := w.queued(late, envelope)
	for range 2 {
		same(t, "infected", w.present(queued, anna, "rifiuto"+internal), []string{"250 2.0.0"})
	}
	same(t, "out", w.outgoing(), []string{betaService + ": presa-in-carico " + luigi, betaService + ": rilevazione-virus " + luigi + " 5.5.1"})
	same(t, "facts", []string{w.fact(r.Identifier, mario), w.fact(r.Identifier, luigi)}, []string{"taken delivered", "taken not-delivered"})
	same(t, "log", w.events(r.Identifier), []string{
		"reception", "take-charge", "delivery", "delivery-receipt",
		"quarantined", "reception", "take-charge", "contradiction", "virus-detection",
	})
	w.alarmed("a virus in what was delivered before")
}

// TestInfectedThatIsNotWhatItSays: an infected envelope that is an anomaly reaches nobody, and nobody is told.
func TestInfectedThatIsNotWhatItSays(t *testing.T) {
	conformance.Covers(t, "C118", "C143", "C145")
	w := newWorld(t)
	first, r, _ := w.incoming(&message{from: anna, to: []string{mario}})
	same(t, "first", w.present(first, anna, mario), []string{"250 2.0.0"})
	w.out.take()
	other, again, otherText := w.infectedEnvelope(&message{from: anna, to: []string{mario}, identifier: r.Identifier, body: "altro\r\n"})
	old, oldRecord, oldText := w.infectedEnvelope(&message{from: anna, to: []string{mario}, at: w.clock.Now().Add(-100 * time.Hour)})
	for text, want := range map[*transaction.Record][]byte{again: otherText, oldRecord: oldText} {
		queued := other
		if text == oldRecord {
			queued = old
		}
		for range 2 {
			same(t, "answer", w.present(queued, anna, "rifiuto"+internal), []string{"250 2.0.0"})
		}
		if e := w.inQuarantine(text, want); e.Why == "" {
			t.Error("the quarantine does not say why nobody was told")
		}
	}
	same(t, "out", w.outgoing(), []string{})
	same(t, "mailbox", w.in(mario), []string{"posta-certificata"})
	same(t, "log", w.events(r.Identifier), []string{"reception", "take-charge", "delivery", "delivery-receipt", "quarantined", "kept"})
	same(t, "log of the old one", w.events(oldRecord.Identifier), []string{"quarantined", "kept"})
	w.alarmed("nobody is told")
}

// TestInfectedNotification: what it states is true; no mailbox gets it, and no provider is told.
func TestInfectedNotification(t *testing.T) {
	conformance.Covers(t, "C143", "C184")
	w := newWorld(t)
	_, about := w.envelope(w.alfa, &message{from: mario, to: []string{anna}})
	text, r := w.infectedNotification(pec.KindDelivery, about, mario)
	for range 2 {
		same(t, "answer", w.present(text, w.beta.provider.Address.String(), "rifiuto"+internal), []string{"250 2.0.0"})
	}
	same(t, "mailboxes", append(w.in(mario), w.in(service)...), []string{})
	same(t, "out", w.outgoing(), []string{})
	same(t, "fact", []string{w.fact(about.Identifier, anna)}, []string{"delivered"})
	same(t, "log", w.events(about.Identifier), []string{"quarantined", "kept", "notification-received", "duplicate"})
	if e := must(quarantine.In(w.dir).Get(r.ID))(t); e.Kind != pec.KindDelivery || e.Why == "" {
		t.Errorf("the quarantine says %+v", e)
	}
	w.alarmed("nobody is told")
}

// infectedNotification is a notification of beta with a virus in the queue.
func (w *world) infectedNotification(kind pec.Kind, about *pec.CertData, to string) ([]byte, *transaction.Record) {
	w.t.Helper()
	queued := w.notification(kind, about, to, nil)
	_, following, _ := bytes.Cut(queued, []byte("X-Ricevuta:"))
	text := append([]byte("X-Ricevuta:"), following...)
	r := w.incomingRecord(transaction.VerdictVirus, to)
	r.Identifier, r.Sender, r.Kind, r.Scan = about.Identifier, w.beta.provider.Address, kind, infected()
	return w.queued(r, text), r
}

// TestQuarantineEnds: after 30 months, and not before, and once in the log.
func TestQuarantineEnds(t *testing.T) {
	conformance.Covers(t, "C067")
	w := newWorld(t)
	text, r, _ := w.infectedSubmission(mario, anna)
	same(t, "answers", w.present(text, mario, "rifiuto"+internal), []string{"250 2.0.0"})
	until := r.Instant.AddDate(0, 30, 0)
	for _, step := range []struct {
		at   time.Time
		want int
	}{{until.Add(-time.Hour), 1}, {until.Add(time.Hour), 0}, {until.Add(2 * time.Hour), 0}} {
		w.clock.shift.Store(int64(time.Until(step.at)))
		if err := w.agent.retireOld(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := len(w.quarantined()); got != step.want {
			t.Errorf("at %v the quarantine has %d messages, want %d", step.at, got, step.want)
		}
	}
	if files := must(os.ReadDir(quarantine.In(w.dir).Folder()))(t); len(files) != 0 {
		t.Errorf("files are left: %v", files)
	}
	same(t, "log", w.events(r.Identifier), []string{"quarantined", "non-acceptance-virus", "quarantine-removed"})
}
