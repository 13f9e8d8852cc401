package milter

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ceralacca/ceralacca/internal/config"
	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/internal/metrics"
	"github.com/ceralacca/ceralacca/internal/transaction"
	"github.com/ceralacca/ceralacca/milter/internal/mtatest"
	"github.com/ceralacca/ceralacca/pec"
)

// words is an antivirus that goes by words, and remembers what it saw.
type words struct {
	mu   sync.Mutex
	seen [][]byte
}

func (w *words) Scan(_ context.Context, src pec.Source, _ *transaction.Record) (transaction.Scan, error) {
	content, err := io.ReadAll(io.NewSectionReader(src, 0, src.Size()))
	if err != nil {
		return transaction.Scan{}, err
	}
	w.mu.Lock()
	w.seen = append(w.seen, content)
	w.mu.Unlock()
	scan := transaction.Scan{Verdict: transaction.ScanClean, Engine: "words 1", Signatures: "7"}
	switch {
	case bytes.Contains(content, []byte("ANTIVIRUS-DOWN")):
		return transaction.Scan{}, errors.New("plugins.words: scan: the plug-in died: on purpose")
	case bytes.Contains(content, []byte("ANTIVIRUS-MUTE")):
		return transaction.Scan{}, nil
	case bytes.Contains(content, []byte("A-VIRUS")):
		scan.Verdict, scan.Virus = transaction.ScanInfected, "Word.Test"
	case bytes.Contains(content, []byte("A-LOCK")):
		scan.Verdict = transaction.ScanEncrypted
	}
	return scan, nil
}

// last is what it saw last, nil when it saw nothing since.
func (w *words) last() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.seen) == 0 {
		return nil
	}
	last := w.seen[len(w.seen)-1]
	w.seen = nil
	return last
}

// newWatched is a world with an antivirus and numbers.
func newWatched(t *testing.T) (*world, *words) {
	t.Helper()
	w, av := newWorld(t), &words{}
	w.options.Config.Antivirus.Mode = config.AntivirusPlugins
	w.options.Scanner, w.options.Metrics = av, metrics.New()
	return w, av
}

// counts asks that the numbers have these lines.
func (w *world) counts(want ...string) {
	w.t.Helper()
	page := httptest.NewRecorder()
	w.options.Metrics.Handler().ServeHTTP(page, httptest.NewRequest("GET", "/metrics", nil))
	for _, line := range want {
		if !strings.Contains(page.Body.String(), "\n"+line+"\n") {
			w.t.Errorf("the numbers do not have %s", line)
		}
	}
}

const refusalBox = "rifiuto@ceralacca.internal"

// An infected submission reaches nobody but the agent, as it came, whatever else is wrong with it.
func TestInfectedSubmission(t *testing.T) {
	conformance.Covers(t, "C027", "C060")
	w, av := newWatched(t)
	w.main = []string{"virtual_alias_maps = inline:{ {luigi@beta.example = one@beta.example, two@beta.example} }"}
	w.serve()
	for _, test := range []struct {
		name    string
		to      []string
		message []byte
	}{
		{"in order", []string{"luigi@beta.example", "gino@ordinary.example"}, submit("Cc: gino@ordinary.example", "", "A-VIRUS")},
		{"formal faults", []string{"luigi@beta.example"}, submit("Bcc: x@beta.example", "", "A-VIRUS")},
		{"in the header", []string{"luigi@beta.example"}, submit("X-Header: A-VIRUS")},
		{"large", []string{"luigi@beta.example"}, submit("", strings.Repeat(strings.Repeat("a", 98)+"\r\n", 3000)+"A-VIRUS")},
	} {
		c := mtatest.Dial(t, w.mta.Submission, "mario@alfa.example")
		if got := c.Send("mario@alfa.example", test.to, test.message); !strings.HasPrefix(got, "250") {
			t.Errorf("%s: %q, want 250", test.name, got)
			continue
		}
		a := w.arrive()
		wantRecipients(t, a, refusalBox)
		if diff := cmp.Diff(string(test.message), string(a.whole)); diff != "" {
			t.Errorf("%s: the message changed (-want +got):\n%.2000s", test.name, diff)
		}
		if !bytes.Equal(av.last(), test.message) {
			t.Errorf("%s: the antivirus did not see the message as it is", test.name)
		}
		r := a.record
		want := transaction.Scan{Verdict: transaction.ScanInfected, Virus: "Word.Test", Engine: "words 1", Signatures: "7"}
		if r.Verdict != transaction.VerdictVirus || r.Scan != want || len(r.Recipients) != len(test.to) || len(r.Types) != len(test.to) ||
			r.Identifier == "" || r.Login != "mario@alfa.example" {
			t.Errorf("%s: record %+v, want a virus for %v", test.name, r, test.to)
		}
		if want := "<mario@alfa.example> ENVID=" + w.options.HMAC.EnvelopeID(r.ID); !strings.HasPrefix(a.Mail, want) {
			t.Errorf("%s: MAIL FROM:%s, want %s", test.name, a.Mail, want)
		}
	}
	w.mta.Empty(t)
	w.counts(`ceralacca_milter_scans_total{verdict="infected"} 4`, `ceralacca_milter_transactions_total{verdict="virus"} 4`)
}

// Without an answer nothing is taken, at neither point; a formal fault is refused all the same, for nothing is carried
// then. The next message is asked about anew.
func TestAntivirusInTrouble(t *testing.T) {
	conformance.Covers(t, "C060", "C122", "C232")
	w, _ := newWatched(t)
	w.serve()
	wantReply := func(what, got, want string) {
		t.Helper()
		if !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q, want %s", what, got, want)
		}
	}
	mario, network := mtatest.Dial(t, w.mta.Submission, "mario@alfa.example"), mtatest.Dial(t, w.mta.Incoming, "")
	luigi, us := []string{"luigi@beta.example"}, []string{"mario@alfa.example"}
	for _, word := range []string{"ANTIVIRUS-DOWN", "ANTIVIRUS-MUTE"} {
		wantReply(word+" at the access point", mario.Send("mario@alfa.example", luigi, submit("", word)), "451 4.3.0 ")
		wantReply(word+" about an envelope", network.Send("luigi@beta.example", us,
			marked(w.beta.envelope(t, "luigi@beta.example", us...), word)), "451 4.3.0 ")
		wantReply(word+" about ordinary mail", network.Send("x@network.example", us, append(ordinaryMail(), word+"\r\n"...)), "451 4.3.0 ")
	}
	w.mta.Empty(t)
	w.counts(`ceralacca_alarms_total{alarm="antivirus"} 6`, `ceralacca_milter_scans_total{verdict="failed"} 6`)
	if log := w.log.String(); !strings.Contains(log, "level=ERROR") || !strings.Contains(log, "plugins.words: scan: the plug-in died: on purpose") {
		t.Errorf("the log does not say which plug-in and why:\n%s", log)
	}
	unknown := append(ordinaryMail(), "ANTIVIRUS-DOWN\r\n"...)
	wantReply("what policy refuses anyway", network.Send("x@network.example", []string{"unknown@alfa.example"}, unknown), "550 5.1.1 ")

	wantReply("a formal fault", mario.Send("mario@alfa.example", luigi, submit("Bcc: x@beta.example", "", "ANTIVIRUS-DOWN")), "250 ")
	if a := w.arrive(); a.record.Verdict != transaction.VerdictRefused || a.record.Scan != (transaction.Scan{}) {
		t.Errorf("a formal fault: record %+v, want a refusal that was not scanned", a.record)
	}
	wantReply("the next submission", mario.Send("mario@alfa.example", luigi, submit()), "250 ")
	if a := w.arrive(); a.record.Verdict != transaction.VerdictEnvelope || a.record.Scan.Verdict != transaction.ScanClean {
		t.Errorf("the next submission: record %+v, want an envelope, found clean", a.record)
	}
}

// marked is a message with a word in a field that no signature covers.
func marked(message []byte, word string) []byte {
	return append([]byte("X-Mark: "+word+"\r\n"), message...)
}

// A virus in what a provider signed does not make it incorrect, and reaches no mailbox; all else is refused in the session.
func TestInfectedFromTheNetwork(t *testing.T) {
	conformance.Covers(t, "C120", "C122", "C123", "C143", "C145")
	w, av := newWatched(t)
	w.main = []string{"virtual_alias_maps = inline:{ {info@alfa.example = mario@alfa.example, maria@alfa.example} }"}
	w.serve()
	c := mtatest.Dial(t, w.mta.Incoming, "")
	users := []string{"mario@alfa.example", "info@alfa.example"}
	for _, test := range []struct {
		name, from string
		to         []string
		message    []byte
		kind       pec.Kind
	}{
		{"envelope", "luigi@beta.example", users, w.beta.envelope(t, "luigi@beta.example", users...), pec.KindTransport},
		{"receipt", w.beta.Address.String(), users[:1], w.beta.notification(t, pec.KindDelivery, users[0]), pec.KindDelivery},
		{"take charge", w.beta.Address.String(), []string{"servizio@alfa.example"},
			w.beta.notification(t, pec.KindTakeCharge, "servizio@alfa.example"), pec.KindTakeCharge},
	} {
		message := marked(test.message, "A-VIRUS")
		if got := c.Send(test.from, test.to, message); !strings.HasPrefix(got, "250") {
			t.Errorf("%s: %q, want 250", test.name, got)
			continue
		}
		a := w.arrive()
		wantRecipients(t, a, refusalBox)
		if !bytes.Equal(a.whole, message) || !bytes.Equal(av.last(), message) {
			t.Errorf("%s: the message changed, or the antivirus saw another", test.name)
		}
		r := a.record
		if r.Verdict != transaction.VerdictVirus || r.Kind != test.kind || r.Signer != w.beta.Name || r.Identifier == "" ||
			r.Scan.Virus != "Word.Test" || len(r.Recipients) != len(test.to) || !strings.HasPrefix(a.Mail, "<"+test.from+">") {
			t.Errorf("%s: record %+v, want a virus in a %s of beta's", test.name, r, test.kind)
		}
	}
	forged := w.gamma.envelope(t, "x@gamma.example", "mario@alfa.example")
	for name, refused := range map[string]struct {
		from, to string
		message  []byte
	}{
		"ordinary mail":            {"x@network.example", users[0], ordinaryMail()},
		"a bounce":                 {"", users[0], ordinaryMail()},
		"signed by a stranger":     {"x@gamma.example", users[0], forged},
		"signed for somebody else": {"luigi@beta.example", "maria@alfa.example", w.beta.envelope(t, "luigi@beta.example", users[0])},
		"what would be kept": {w.beta.Address.String(), users[0],
			w.beta.notification(t, pec.KindTakeCharge, users[0])},
	} {
		got := c.Send(refused.from, []string{refused.to}, marked(refused.message, "A-VIRUS"))
		if want := "550 5.7.1 A virus"; !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q, want %s", name, got, want)
		}
	}
	w.mta.Empty(t)
	w.counts(`ceralacca_milter_scans_total{verdict="infected"} 8`)
	if log := w.log.String(); !strings.Contains(log, "Word.Test in a message of signer") {
		t.Errorf("the log does not name the virus of what was refused:\n%s", log)
	}
}

// What nobody can look into is no virus: it passes, and what we write around it warns the reader. Other providers'
// envelopes stay as they are.
func TestEncryptedPassesWithAWarning(t *testing.T) {
	conformance.Covers(t, "C060", "C122", "C232")
	w, _ := newWatched(t)
	w.serve()
	mario, network := mtatest.Dial(t, w.mta.Submission, "mario@alfa.example"), mtatest.Dial(t, w.mta.Incoming, "")
	us, luigi := []string{"mario@alfa.example"}, []string{"luigi@beta.example"}
	envelope := marked(w.beta.envelope(t, "luigi@beta.example", us...), "A-LOCK")
	for _, test := range []struct {
		name    string
		client  *mtatest.Client
		from    string
		to      []string
		message []byte
		verdict transaction.Verdict
		warns   bool
	}{
		{"a submission", mario, us[0], luigi, submit("", "A-LOCK"), transaction.VerdictEnvelope, true},
		{"a clean submission", mario, us[0], luigi, submit(), transaction.VerdictEnvelope, false},
		{"ordinary mail", network, "x@network.example", us, append(ordinaryMail(), "A-LOCK\r\n"...), transaction.VerdictAnomaly, true},
		{"clean ordinary mail", network, "x@network.example", us, ordinaryMail(), transaction.VerdictAnomaly, false},
		{"an envelope", network, luigi[0], us, envelope, transaction.VerdictValidEnvelope, false},
	} {
		if got := test.client.Send(test.from, test.to, test.message); !strings.HasPrefix(got, "250") {
			t.Errorf("%s: %q, want 250", test.name, got)
			continue
		}
		a := w.arrive()
		want := transaction.ScanEncrypted
		if strings.Contains(test.name, "clean") {
			want = transaction.ScanClean
		}
		if a.record.Verdict != test.verdict || a.record.Scan.Verdict != want || a.record.Scan.Engine != "words 1" {
			t.Errorf("%s: record %+v, want verdict %s and a scan that says %s", test.name, a.record, test.verdict, want)
		}
		if test.verdict == transaction.VerdictValidEnvelope {
			if !bytes.Equal(a.whole, envelope) {
				t.Errorf("%s: it changed", test.name)
			}
			continue
		}
		w.verify(a.whole)
		text := bytesOf(t, w.parts(a.whole).Text)
		if got := bytes.Contains(text, []byte("Attenzione: una parte del messaggio =E8 cifrata")); got != test.warns {
			t.Errorf("%s: the text warns: %v, want %v:\n%s", test.name, got, test.warns, text)
		}
	}
	if n := strings.Count(w.log.String(), "part of the message is encrypted"); n != 3 {
		t.Errorf("the log warns %d times, want 3:\n%s", n, w.log)
	}
}

// A configuration that asks for an antivirus does not work without one.
func TestNoMilterWithoutItsAntivirus(t *testing.T) {
	conformance.Covers(t, "C232")
	w, _ := newWatched(t)
	w.options.Scanner = nil
	if _, err := New(w.options); err == nil || !strings.Contains(err.Error(), "antivirus") {
		t.Errorf("New without an antivirus that the configuration asks for: %v", err)
	}
}
