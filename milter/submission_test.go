package milter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ceralacca/ceralacca/internal/config"
	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/internal/transaction"
	"github.com/ceralacca/ceralacca/milter/internal/mtatest"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/signer"
)

func TestSubmissionBecomesATransportEnvelope(t *testing.T) {
	conformance.Covers(t, "C001", "C002", "C012", "C021", "C025", "C030", "C031", "C034", "C035",
		"C036", "C037", "C075", "C080", "C084", "C086", "C087")
	w := newWorld(t).serve()
	original := submit("Message-ID: <client@pc>", "Cc: gino@ordinary.example,", "\tmaria@pec.alfa.example",
		"Subject: =?utf-8?q?perch=C3=A9?=", "Received: from a by b", "X-Empty:", "Received: from c by d")
	c := mtatest.Dial(t, w.mta.Submission, "mario@alfa.example")
	to := []string{"luigi@beta.example", "gino@ordinary.example", "maria@pec.alfa.example"}
	if got := c.Send("mario@alfa.example", to, original); !strings.HasPrefix(got, "250") {
		t.Fatalf("Postfix answered %q", got)
	}
	a := w.arrive()

	wantRecipients(t, a, append(to, "accettazione@ceralacca.internal")...)
	wantIDsByTime(t, a.record)
	if want := "<mario@alfa.example> ENVID=" + w.options.HMAC.EnvelopeID(a.record.ID); !strings.HasPrefix(a.Mail, want) {
		t.Errorf("MAIL FROM:%s, want %s", a.Mail, want)
	}
	r := a.record
	if r.Verdict != transaction.VerdictEnvelope || r.Login != "mario@alfa.example" || r.Client != "127.0.0.1" ||
		r.Subject != "perché" || r.MessageID != "<client@pc>" || r.Sender.String() != "mario@alfa.example" {
		t.Errorf("record %+v", r)
	}
	if want := []pec.RecipientType{pec.Certified, pec.Ordinary, pec.Certified}; !cmp.Equal(want, r.Types) {
		t.Errorf("types %v, want %v", r.Types, want)
	}
	if got := a.header.Get("Message-ID"); got != "<"+string(r.Identifier)+">" {
		t.Errorf("Message-ID %q of the envelope, the record says %q", got, r.Identifier)
	}
	if got := a.header.Values("Received"); len(got) != 2 || got[0].Value != " from a by b" {
		t.Errorf("Received %v, want the two of the original", got)
	}
	w.verify(a.whole)
	want := bytes.Replace(original, []byte("<client@pc>"), []byte("<"+string(r.Identifier)+">"), 1)
	want = bytes.Replace(want, []byte("\r\n\r\n"), []byte("\r\nX-Riferimento-Message-ID: <client@pc>\r\n\r\n"), 1)
	parts := w.parts(a.whole)
	if diff := cmp.Diff(string(want), string(bytesOf(t, parts.Original))); diff != "" {
		t.Errorf("the original within the envelope (-want +got):\n%s", diff)
	}
	data, err := pec.ParseCertData(parts.CertData)
	if err != nil || !data.Time.Equal(r.Instant) || data.Identifier != r.Identifier || len(data.Recipients) != 3 {
		t.Errorf("certification data %+v, %v; want those of the record", data, err)
	}
}

// wantRecipients checks who the sink was told to deliver to, in any order.
func wantRecipients(t *testing.T, a arrived, want ...string) {
	t.Helper()
	var got []string
	for _, r := range a.Rcpt {
		path, _, _ := strings.Cut(strings.TrimPrefix(r, "<"), ">")
		got = append(got, path)
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("recipients (-want +got):\n%s", diff)
	}
}

func TestFaultySubmissionGoesToTheAgentAlone(t *testing.T) {
	conformance.Covers(t, "C014", "C026", "C043", "C044", "C047")
	w := newWorld(t)
	w.main = []string{"virtual_alias_maps = inline:{ spy@beta.example=one@beta.example, Luigi@beta.example=two@ordinary.example }"}
	w.serve()
	original := submit("Bcc: spy@beta.example", "Subject: a", "X-Ceralacca-Transaction: 1/1; AAAA", "X-CERALACCA-transaction: x")
	c := mtatest.Dial(t, w.mta.Submission, "mario@alfa.example")
	to := []string{"luigi@beta.example", "Luigi@beta.example", "hidden+x@beta.example", "spy@BETA.example"}
	if got := c.Send("mario@alfa.example", to, original); !strings.HasPrefix(got, "250") {
		t.Fatalf("Postfix answered %q", got)
	}
	a := w.arrive()
	wantRecipients(t, a, "rifiuto@ceralacca.internal")
	r := a.record
	if r.Verdict != transaction.VerdictRefused || r.Reason != "bcc,hidden-recipient,hidden-recipient" || r.Detail == "" || r.Identifier == "" {
		t.Errorf("record %+v", r)
	}
	if len(r.Recipients) != 3 {
		t.Errorf("recipients %v in the record, want three: two differ in case only", r.Recipients)
	}
	want := bytes.Replace(original, []byte("X-Ceralacca-Transaction: 1/1; AAAA\r\nX-CERALACCA-transaction: x\r\n"), nil, 1)
	if diff := cmp.Diff(string(want), string(a.whole)); diff != "" {
		t.Errorf("the message (-want +got):\n%s", diff)
	}
	w.mta.Empty(t)
}

func TestSubmissionRefusedInSession(t *testing.T) {
	conformance.Covers(t, "C023")
	w := newWorld(t)
	w.options.Senders = config.SenderMap{
		"mario@alfa.example": {address(t, "info@alfa.example"), address(t, "mario@beta.example")},
	}
	w.serve()
	mario := func() *mtatest.Client { return mtatest.Dial(t, w.mta.Submission, "mario@alfa.example") }
	for _, test := range []struct{ login, mail, want string }{
		{"", "<mario@alfa.example>", "530 5.7.0 "},
		{"mario@alfa.example", "<luigi@alfa.example>", "553 5.7.1 "},
		{"mario@alfa.example", "<>", "553 5.7.1 "},
		{"mario@alfa.example", "<mario@beta.example>", "553 5.7.1 "}, // given by the map, but not ours to certify
		{"mario", "<mario@alfa.example>", "553 5.7.1 "},
		{"mario@alfa.example", "<@relay.example:mario@alfa.example>", "501 5.1.3 "},
		{"mario@alfa.example", "<mario@alfa.example> SIZE=150000001", "552 5.3.4 "},
		{"mario@alfa.example", "<mario@alfa.example> SIZE=150000000", "250 "},
		{"mario@alfa.example", "<info@alfa.example>", "250 "},
		{"mario@alfa.example", "<Mario@ALFA.example>", "250 "},
		{"MARIO@alfa.example", "<mario@alfa.example>", "250 "},
	} {
		c := mtatest.Dial(t, w.mta.Submission, test.login)
		if got := c.Say("MAIL FROM:" + test.mail); !strings.HasPrefix(got, test.want) {
			t.Errorf("login %q, MAIL FROM:%s: %q, want %s", test.login, test.mail, got, test.want)
		}
	}
	c := mario()
	c.Want("250", "MAIL FROM:<mario@alfa.example>")
	for _, test := range []struct{ rcpt, want string }{
		{"<@relay.example:luigi@beta.example>", "501 5.1.3 "},
		{"<luigi%beta.example@alfa.example>", "501 5.1.3 "},
		{"<beta.example!luigi@alfa.example>", "501 5.1.3 "},
		{"<\"luigi rossi\"@beta.example>", "501 5.1.3 "},
		{"<luigi@[192.0.2.1]>", "501 5.1.3 "},
		{"<luigi>", "501 5.1.3 "},
		{"<accettazione@ceralacca.internal>", "550 5.7.1 "},
		{"<x@CERALACCA.Internal>", "550 5.7.1 "},
		{"<luigi@beta.example>", "250 "},
	} {
		if got := c.Say("RCPT TO:" + test.rcpt); !strings.HasPrefix(got, test.want) {
			t.Errorf("RCPT TO:%s: %q, want %s", test.rcpt, got, test.want)
		}
	}
	if got := c.Data(submit()); !strings.HasPrefix(got, "250") {
		t.Errorf("after refused recipients Postfix answered %q", got)
	}
	wantRecipients(t, w.arrive(), "luigi@beta.example", "accettazione@ceralacca.internal")
}

func TestSubmissionTooLarge(t *testing.T) {
	conformance.Covers(t, "C045", "C049")
	w := newWorld(t)
	w.options.Config.Limits = config.Limits{Size: 200e3, Product: 10e6, HardSize: 2e6}
	w.serve()
	many := make([]string, maxFields)
	for i := range many {
		many[i] = "X-A: b"
	}
	for _, test := range []struct {
		name    string
		message []byte
		want    string
	}{
		{"just under the hard size", submit("", strings.Repeat(strings.Repeat("a", 98)+"\r\n", 19990)), "250 "},
		{"over the hard size", submit("", strings.Repeat(strings.Repeat("a", 98)+"\r\n", 20001)), "552 5.3.4 "},
		{"many fields", submit(many...), "250 "},
		{"large header", submit(strings.Repeat("X-A: "+strings.Repeat("b", 900)+"\r\n", 1200) + "X: y"), "552 5.3.4 "},
	} {
		c := mtatest.Dial(t, w.mta.Submission, "mario@alfa.example")
		if got := c.Send("mario@alfa.example", []string{"luigi@beta.example"}, test.message); !strings.HasPrefix(got, test.want) {
			t.Errorf("%s: %q, want %s", test.name, got, test.want)
		}
	}
	reasons := []string{w.arrive().record.Reason, w.arrive().record.Reason} // the queue manager may take the second first
	slices.Sort(reasons)
	if want := []string{"size", "too-many-fields"}; !slices.Equal(reasons, want) {
		t.Errorf("reasons %q, want %q", reasons, want)
	}
	w.mta.Empty(t)
}

func TestNothingIsCertifiedInTrouble(t *testing.T) {
	w := newWorld(t).serve()
	trouble := map[string]func(*Options){
		"no directory": func(o *Options) { o.Directory = func() Directory { return nil } },
		"key fails":    func(o *Options) { o.Key = brokenKey{o.Key} },
		"key panics":   func(o *Options) { o.Key = panickingKey{o.Key} },
		"no random":    func(o *Options) { o.Random = strings.NewReader("") },
		"no spool":     func(o *Options) { o.Spool = "/nonexistent" },
	}
	for name, change := range trouble {
		o := w.options
		change(&o)
		if err := w.milter.Reload(o); err != nil {
			t.Fatal(err)
		}
		c := mtatest.Dial(t, w.mta.Submission, "mario@alfa.example")
		big := submit("", strings.Repeat(strings.Repeat("a", 98)+"\r\n", 5000))
		if got := c.Send("mario@alfa.example", []string{"luigi@beta.example"}, big); !strings.HasPrefix(got, "451 4.") {
			t.Errorf("%s: %q, want 451", name, got)
		}
	}
	w.mta.Empty(t)
	if err := w.milter.Reload(w.options); err != nil {
		t.Fatal(err)
	}
	c := mtatest.Dial(t, w.mta.Submission, "mario@alfa.example")
	if got := c.Send("mario@alfa.example", []string{"luigi@beta.example"}, submit()); !strings.HasPrefix(got, "250") {
		t.Errorf("when all is well again: %q", got)
	}
	w.arrive()
}

// brokenKey fails after the content has gone to Postfix.
type brokenKey struct{ signer.Key }

func (brokenKey) Sign(context.Context, []byte) ([]byte, error) { return nil, errors.New("HSM gone") }

type panickingKey struct{ signer.Key }

func (panickingKey) Sign(context.Context, []byte) ([]byte, error) {
	panic("a fault of ours, made on purpose")
}

// wantIDsByTime says that both ids of a message begin with its second and go on differently, so that neither tells the other.
func wantIDsByTime(t *testing.T, r *transaction.Record) {
	t.Helper()
	second := fmt.Sprintf("%010x", r.Instant.Unix())
	id, isID := strings.CutPrefix(r.ID, second)
	identifier, isIdentifier := strings.CutPrefix(string(r.Identifier), second)
	if !isID || !isIdentifier || strings.HasPrefix(identifier, id) {
		t.Errorf("id %s and identifier %s, want two that begin with %s", r.ID, r.Identifier, second)
	}
}
