package milter

import (
	"bytes"
	"crypto/sha256"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ceralacca/ceralacca/internal/config"
	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/internal/mailbox"
	"github.com/ceralacca/ceralacca/internal/transaction"
	"github.com/ceralacca/ceralacca/milter/internal/mtatest"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/pec/compose"
)

// ordinaryMail is what anybody may send.
func ordinaryMail() []byte {
	return lines("From: x@network.example", "To: mario@alfa.example", "Subject: buy", "Message-ID: <1@network>", "", "Now!")
}

func TestSignedMailStaysAsItCame(t *testing.T) {
	conformance.Covers(t, "C103", "C116", "C117")
	w := newWorld(t).serve()
	for _, test := range []struct {
		name, from string
		to         []string
		message    []byte
		verdict    transaction.Verdict
		kind       pec.Kind
	}{
		{"envelope", "luigi@beta.example", []string{"mario@alfa.example", "maria@pec.alfa.example"},
			w.beta.envelope(t, "luigi@beta.example", "mario@alfa.example", "maria@pec.alfa.example"),
			transaction.VerdictValidEnvelope, pec.KindTransport},
		{"delivery receipt", w.beta.Address.String(), []string{"mario@alfa.example"},
			w.beta.notification(t, pec.KindDelivery, "mario@alfa.example"), transaction.VerdictNotification, pec.KindDelivery},
		{"take charge", w.beta.Address.String(), []string{"servizio@alfa.example"},
			w.beta.notification(t, pec.KindTakeCharge, "servizio@alfa.example"), transaction.VerdictNotification, pec.KindTakeCharge},
		{"take charge to a user", w.beta.Address.String(), []string{"mario@alfa.example"},
			w.beta.notification(t, pec.KindTakeCharge, "mario@alfa.example"), transaction.VerdictKept, pec.KindTakeCharge},
		{"envelope to the service address that was not certified for it", "luigi@beta.example", []string{"servizio@alfa.example"},
			w.beta.envelope(t, "luigi@beta.example", "mario@alfa.example"), transaction.VerdictKept, pec.KindTransport},
	} {
		c := mtatest.Dial(t, w.mta.Incoming, "")
		if got := c.Send(test.from, test.to, test.message); !strings.HasPrefix(got, "250") {
			t.Errorf("%s: Postfix answered %q", test.name, got)
			continue
		}
		a := w.arrive()
		wantRecipients(t, a, test.to...)
		if diff := cmp.Diff(string(test.message), string(a.whole)); diff != "" {
			t.Errorf("%s: the message changed (-want +got):\n%s", test.name, diff)
		}
		r := a.record
		if r.Verdict != test.verdict || r.Kind != test.kind || r.Signer != w.beta.Name ||
			r.SignerCert != sha256.Sum256(w.beta.pair.Cert.Raw) || r.Identifier == "" || r.Sender.String() != test.from {
			t.Errorf("%s: record %+v, want verdict %s, kind %s", test.name, r, test.verdict, test.kind)
		}
	}
}

func TestAnomaliesAreWrapped(t *testing.T) {
	conformance.Covers(t, "C104", "C105", "C109", "C114", "C118", "C119", "C132",
		"C133", "C134", "C135", "C140", "C141", "C142")
	w := newWorld(t)
	w.options.Mailboxes = boxes{"mario@alfa.example": {State: mailbox.Known}, "off@alfa.example": {State: mailbox.Disabled}, "silent@alfa.example": nil}
	w.serve()
	good := w.beta.envelope(t, "luigi@beta.example", "mario@alfa.example")
	for _, test := range []struct {
		name, from, to string
		message        []byte
		want           pec.Problem
	}{
		{"ordinary", "x@network.example", "mario@alfa.example", ordinaryMail(), pec.ProblemNoSignature},
		{"bounce", "", "mario@alfa.example", ordinaryMail(), pec.ProblemNoSignature},
		{"ordinary, disabled mailbox", "x@network.example", "off@alfa.example", ordinaryMail(), pec.ProblemNoSignature},
		{"ordinary, Dovecot silent", "x@network.example", "silent@alfa.example", ordinaryMail(), pec.ProblemNoSignature},
		{"signed by one not in the directory", "x@gamma.example", "mario@alfa.example",
			w.gamma.envelope(t, "x@gamma.example", "mario@alfa.example"), pec.ProblemUnknownSigner},
		{"tampered", "luigi@beta.example", "mario@alfa.example", bytes.Replace(good, []byte("Hello"), []byte("Hullo"), 1), pec.ProblemSignature},
		{"redirected", "luigi@beta.example", "maria@alfa.example", good, pec.ProblemRouting},
		{"other sender", "gino@beta.example", "mario@alfa.example", good, pec.ProblemRouting},
		{"header says otherwise", "luigi@beta.example", "mario@alfa.example",
			bytes.Replace(good, []byte("X-Trasporto: posta-certificata"), []byte("X-Trasporto: errore"), 1), pec.ProblemMalformed},
		{"certifies for another", "luigi@beta.example", "mario@alfa.example",
			w.delta.envelope(t, "luigi@beta.example", "mario@alfa.example"), pec.ProblemRouting},
		{"receipt by who does not manage the recipient", w.delta.Address.String(), "mario@alfa.example",
			w.delta.forged(t), pec.ProblemRouting},
	} {
		c := mtatest.Dial(t, w.mta.Incoming, "")
		if got := c.Send(test.from, []string{test.to}, test.message); !strings.HasPrefix(got, "250") {
			t.Errorf("%s: Postfix answered %q", test.name, got)
			continue
		}
		a := w.arrive()
		wantRecipients(t, a, test.to)
		if !strings.HasPrefix(a.Mail, "<"+test.from+">") {
			t.Errorf("%s: sender %s, want %s", test.name, a.Mail, test.from)
		}
		if r := a.record; r.Verdict != transaction.VerdictAnomaly || r.Reason != string(test.want) {
			t.Errorf("%s: record %+v, want an anomaly because of %s", test.name, r, test.want)
		}
		w.verify(a.whole)
		parts := w.parts(a.whole)
		if parts.CertData != nil {
			t.Errorf("%s: an anomaly envelope with certification data", test.name)
		}
		if got, want := a.header.Get("Message-ID"), fieldOf(t, test.message, "Message-ID"); got != want {
			t.Errorf("%s: Message-ID %q, want the %q of the message", test.name, got, want)
		}
		if got := bytesOf(t, parts.Original); !bytes.Equal(got, test.message) {
			t.Errorf("%s: the message within the envelope (-want +got):\n%s", test.name, cmp.Diff(string(test.message), string(got)))
		}
		if got := a.header.Get("X-Trasporto"); got != "errore" {
			t.Errorf("%s: X-Trasporto %q", test.name, got)
		}
	}
}

// fieldOf is the value of a field of a message.
func fieldOf(t *testing.T, message []byte, name string) string {
	t.Helper()
	h, _, err := pec.ReadHeader(pec.Bytes(message), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return h.Get(name)
}

// forged is a delivery receipt of p's for a recipient of beta's.
func (p provider) forged(t *testing.T) []byte {
	luigi := address(t, "luigi@beta.example")
	c := p.certData(t, pec.KindDelivery, "mario@alfa.example", luigi.String())
	c.Delivery, c.Receipt, c.Time = &luigi, pec.ReceiptConcise, time.Now().Truncate(time.Second)
	a, err := compose.NotificationMessage(p.Provider, compose.Notification{Data: *c, To: address(t, "mario@alfa.example"), Concise: true})
	return p.seal(t, a, err)
}

func TestIncomingRefused(t *testing.T) {
	conformance.Covers(t, "C118", "C119")
	w := newWorld(t).serve()
	c := mtatest.Dial(t, w.mta.Incoming, "")
	for _, test := range []struct{ mail, want string }{
		{"<x@network.example> SIZE=150000001", "552 5.3.4 "},
		{"<@relay.example:x@network.example>", "501 5.1.3 "},
		{"<x@network.example>", "250 "},
	} {
		if got := c.Say("MAIL FROM:" + test.mail); !strings.HasPrefix(got, test.want) {
			t.Errorf("MAIL FROM:%s: %q, want %s", test.mail, got, test.want)
		}
	}
	for _, test := range []struct{ rcpt, want string }{
		{"<x@ordinary.example>", "550 5.7.1 "},
		{"<x@ceralacca.internal>", "550 5.7.1 "},
		{"<@relay.example:mario@alfa.example>", "501 5.1.3 "},
		{"<mario%beta.example@alfa.example>", "501 5.1.3 "},
		{"<unknown@alfa.example>", "250 "},
		{"<nobody@PEC.alfa.example>", "250 "},
		{"<x@ordinary.example>", "452 4.5.3 "},
		{"<x@ceralacca.internal>", "550 5.7.1 "},
	} {
		if got := c.Say("RCPT TO:" + test.rcpt); !strings.HasPrefix(got, test.want) {
			t.Errorf("RCPT TO:%s: %q, want %s", test.rcpt, got, test.want)
		}
	}
	if got := c.Data(ordinaryMail()); !strings.HasPrefix(got, "550 5.1.1 ") {
		t.Errorf("ordinary mail for unknown mailboxes: %q, want 550 5.1.1", got)
	}
	envelope := w.beta.envelope(t, "luigi@beta.example", "unknown@alfa.example")
	if got := c.Send("luigi@beta.example", []string{"unknown@alfa.example"}, envelope); !strings.HasPrefix(got, "250 ") {
		t.Errorf("an envelope for an unknown mailbox: %q, want 250", got)
	}
	w.arrive()
	for _, to := range [][]string{{"servizio@alfa.example"}, {"posta-certificata@alfa.example", "mario@alfa.example"}} {
		if got := c.Send("x@network.example", to, ordinaryMail()); !strings.HasPrefix(got, "550 5.7.1 ") {
			t.Errorf("ordinary mail for %v: %q, want 550 5.7.1", to, got)
		}
	}
	many := append(bytes.Repeat([]byte("X-A: b\r\n"), maxFields), ordinaryMail()...)
	if got := c.Send("x@network.example", []string{"mario@alfa.example"}, many); !strings.HasPrefix(got, "552 5.3.4 ") {
		t.Errorf("more fields than can be replaced: %q, want 552 5.3.4", got)
	}
	o := w.options
	changed := *o.Config
	changed.Incoming.Ordinary = config.OrdinaryRefuse
	o.Config = &changed
	if err := w.milter.Reload(o); err != nil {
		t.Fatal(err)
	}
	if got := c.Send("x@network.example", []string{"mario@alfa.example"}, ordinaryMail()); !strings.HasPrefix(got, "550 5.7.1 ") {
		t.Errorf("ordinary mail where it is refused: %q, want 550 5.7.1", got)
	}
	bad := bytes.Replace(envelope, []byte("Hello"), []byte("Hullo"), 1)
	if got := c.Send("luigi@beta.example", []string{"mario@alfa.example"}, bad); !strings.HasPrefix(got, "250 ") {
		t.Errorf("a signed anomaly where ordinary mail is refused: %q, want 250", got)
	}
	w.arrive()
	w.mta.Empty(t)
}

func TestAnomalyForUsersAndServiceIsOneEnvelope(t *testing.T) {
	w := newWorld(t).serve()
	message := w.beta.envelope(t, "luigi@beta.example", "other@alfa.example")
	c := mtatest.Dial(t, w.mta.Incoming, "")
	if got := c.Send("luigi@beta.example", []string{"mario@alfa.example", "servizio@alfa.example"}, message); !strings.HasPrefix(got, "250 ") {
		t.Fatalf("Postfix answered %q", got)
	}
	a := w.arrive()
	wantRecipients(t, a, "mario@alfa.example", "servizio@alfa.example")
	if r := a.record; r.Verdict != transaction.VerdictAnomaly || r.Signer != w.beta.Name {
		t.Errorf("record %+v, want an anomaly signed by beta", r)
	}
}

func TestVerifierInTrouble(t *testing.T) {
	w := newWorld(t)
	w.options.Verifier = noList{}
	w.serve()
	c := mtatest.Dial(t, w.mta.Incoming, "")
	if got := c.Send("x@network.example", []string{"mario@alfa.example"}, ordinaryMail()); !strings.HasPrefix(got, "451 4.") {
		t.Errorf("without a revocation list: %q, want 451", got)
	}
}

// noList is a verifier whose revocation list ran out.
type noList struct{}

func (noList) Verify(pec.Source, time.Time) (*pec.Verification, error) {
	return nil, &pec.Error{Op: "test", Kind: pec.ErrorTemporary}
}
