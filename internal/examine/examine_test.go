package examine

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ceralacca/ceralacca/deploy/lab/pki"
	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/pec/compose"
)

func certificates(p *pki.Pair) []*x509.Certificate { return []*x509.Certificate{p.Cert} }

func report(t testing.TB, o Options, message []byte) *Report {
	t.Helper()
	e, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "message.eml")
	if err := os.WriteFile(path, message, 0o600); err != nil {
		t.Fatal(err)
	}
	r := e.File(path)
	if r.Error != "" {
		t.Fatalf("it cannot be read: %s\n%.2000s", r.Error, message)
	}
	return r
}

// results has a letter per check: t, f, or a dash for null.
func results(r *Report) string {
	var b strings.Builder
	for _, c := range r.Checks {
		switch {
		case c.OK == nil:
			b.WriteByte('-')
		case *c.OK:
			b.WriteByte('t')
		default:
			b.WriteByte('f')
		}
	}
	return b.String()
}

func detail(r *Report, name string) string {
	for _, c := range r.Checks {
		if c.Name == name {
			return c.Detail
		}
	}
	return ""
}

func TestEveryKindHolds(t *testing.T) {
	conformance.Covers(t, "C004", "C009", "C103", "C204", "C206")
	w := newWorld(t)
	for kind, by := range map[pec.Kind]*provider{
		pec.KindTransport: w.alfa, pec.KindAcceptance: w.alfa, pec.KindNonAcceptance: w.alfa, pec.KindTimeout: w.alfa,
		pec.KindTakeCharge: w.beta, pec.KindDelivery: w.beta, pec.KindNonDelivery: w.beta, pec.KindVirusDetection: w.beta,
	} {
		r := report(t, w.everything(), by.message(t, kind))
		if got := results(r); got != "ttttttt" || !r.OK || r.Kind != string(kind) || *r.Provider != by.Name || *r.Identifier != identifier {
			t.Errorf("%s: %s, ok %v, kind %s\n%s", kind, got, r.OK, r.Kind, r.Text())
		}
		if r.Note != "" || !strings.Contains(r.Text(), "everything that was checked holds") {
			t.Errorf("%s: %s", kind, r.Text())
		}
		if got := results(report(t, Options{}, by.message(t, kind))); got != "t---ttt" {
			t.Errorf("%s when nothing is asked: %s, want t---ttt", kind, got)
		}
	}
	// Of the sender's provider, when nobody could be reached.
	if r := report(t, w.everything(), w.alfa.message(t, pec.KindNonDelivery)); !r.OK {
		t.Errorf("a notice of the sender's provider: %s", r.Text())
	}
	r := report(t, w.everything(), w.beta.message(t, pec.KindAnomaly))
	if got := results(r); got != "ttttt--" || !r.OK || r.Kind != "errore" || *r.Provider != "Beta PEC" || r.Identifier != nil || r.Recipients != nil {
		t.Errorf("an anomaly envelope: %s, %s", got, r.Text())
	}
}

// An envelope whose text warns that part of the message is encrypted holds as any other.
func TestEnvelopesThatWarnHold(t *testing.T) {
	w := newWorld(t)
	o, data := original(), w.alfa.data(t, pec.KindTransport)
	o.Encrypted = true
	transport, err := compose.TransportEnvelope(w.alfa.Provider, o, &data)
	envelopes := map[string][]byte{"ttttttt": w.alfa.seal(t, transport, err, now)}
	anomaly, err := compose.AnomalyEnvelope(w.beta.Provider, o, compose.Anomaly{Sender: address(t, sender),
		Recipients: []pec.Address{address(t, recipient)}, Reason: "firma assente", Time: now, ID: identifier[:32]})
	envelopes["ttttt--"] = w.beta.seal(t, anomaly, err, now)
	for want, message := range envelopes {
		if !bytes.Contains(message, []byte("una parte del messaggio")) {
			t.Errorf("the envelope does not warn:\n%s", message)
		}
		if r := report(t, w.everything(), message); results(r) != want || !r.OK {
			t.Errorf("%s, want %s: %s", results(r), want, r.Text())
		}
	}
}

// A refused message may have a Message-ID that no header can hold: the notice of it holds, and one that names another does
// not.
func TestMessageIDThatNoHeaderHolds(t *testing.T) {
	w := newWorld(t)
	for _, id := range []string{"<perch\u00e9@client.example>", "<" + strings.Repeat("x", 900) + ">"} {
		c := w.alfa.data(t, pec.KindNonAcceptance)
		c.MessageID = id
		message := w.alfa.compose(t, c)
		if r := report(t, w.everything(), message); !r.OK {
			t.Errorf("%.30s: %s", id, r.Text())
		}
		if r := report(t, w.everything(), append([]byte(pec.FieldReference+": <other@client.example>\r\n"), message...)); r.OK {
			t.Errorf("%.30s: it holds though its header names another message", id)
		}
	}
}

// The object that a program reads: names, types and nulls.
func TestJSON(t *testing.T) {
	conformance.Covers(t, "C188", "C204")
	w := newWorld(t)
	r := report(t, Options{CA: w.ca}, w.beta.message(t, pec.KindDelivery))
	r.File = "a.eml"
	got := decode(t, r)
	checks := got["checks"].([]any)
	delete(got, "checks")
	want := map[string]any{"file": "a.eml", "kind": "avvenuta-consegna", "identifier": identifier, "reference": "<1@client.example>",
		"time": pec.ItalianTime(now).Format(time.RFC3339), "provider": "Beta PEC", "sender": sender, "ok": true,
		"recipients": []any{map[string]any{"address": recipient, "type": "certificato"},
			map[string]any{"address": "anna@gamma.example", "type": "esterno"}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("a delivery receipt (-want +got):\n%s", diff)
	}
	var names []string
	for _, c := range checks {
		check := c.(map[string]any)
		names = append(names, check["name"].(string))
		_, isString := check["detail"].(string)
		if _, has := check["ok"]; !has || !isString || len(check) != 3 {
			t.Errorf("check %v; want name, ok and detail", check)
		}
	}
	if diff := cmp.Diff([]string{"signature", "chain", "revocation", "directory", "headers", "certdata", "text"}, names); diff != "" {
		t.Errorf("checks (-want +got):\n%s", diff)
	}
	ordinary := decode(t, report(t, Options{}, []byte("From: a@b.example\r\nSubject: x\r\n\r\nHello\r\n")))
	for _, name := range []string{"identifier", "reference", "time", "provider", "sender", "recipients"} {
		if value, has := ordinary[name]; !has || value != nil {
			t.Errorf("%s of an ordinary message is %v, %v; want null", name, value, has)
		}
	}
	if ordinary["kind"] != "ordinary" || ordinary["ok"] != false {
		t.Errorf("an ordinary message: %v", ordinary)
	}
}

func decode(t testing.TB, r *Report) map[string]any {
	t.Helper()
	line, err := json.Marshal(r.JSON())
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(line, &got); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestUnreadable(t *testing.T) {
	e, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	pipe := filepath.Join(t.TempDir(), "pipe") // nobody writes: opening it would wait for ever
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(t.TempDir(), "none"), t.TempDir(), empty, pipe, "/dev/null"} {
		got := decode(t, e.File(path))
		text, _ := got["error"].(string)
		if text == "" || got["file"] != path || len(got) != 2 {
			t.Errorf("%s: %v; want file and error", path, got)
		}
	}
}

// What is wrong with the options is said before any message is looked at.
func TestNewFails(t *testing.T) {
	w := newWorld(t)
	for _, test := range []struct {
		o    Options
		want string
	}{
		{Options{CA: "none.pem"}, "none.pem"},
		{Options{CA: w.directory}, "no certificate"},
		{Options{CRL: w.crl}, "--ca"},
		{Options{CA: w.otherCA, CRL: w.crl}, "Test CA"},
		{Options{CA: w.ca, CRL: w.ca}, "not a revocation list"},
		{Options{Directory: "none.p7m"}, "none.p7m"},
		{Options{Directory: w.ca}, w.ca},
	} {
		if _, err := New(test.o); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: %v; want %q", test.o, err, test.want)
		}
	}
}

func TestChecksFailAlone(t *testing.T) {
	conformance.Covers(t, "C105", "C107", "C109", "C110", "C111", "C112")
	w := newWorld(t)
	envelope := w.alfa.message(t, pec.KindTransport)
	all, other := w.everything(), w.everything()
	other.CA, other.CRL = w.otherCA, w.otherCRL
	late, early := w.everything(), w.everything()
	afterEnd, beforeBegin := now.AddDate(2, 0, 0), now.AddDate(0, 0, -60)
	late.At, early.At = &afterEnd, &beforeBegin
	noList := w.everything()
	inAYear := now.AddDate(0, 3, 0)
	noList.At = &inAYear
	foreign := w.alfa.data(t, pec.KindTransport)
	foreign.Sender = address(t, "mario@beta.example")
	foreignDelivery := w.alfa.data(t, pec.KindDelivery)
	stranger := address(t, "nobody@beta.example")
	toStranger := w.beta.data(t, pec.KindDelivery)
	toStranger.Delivery = &stranger
	for name, test := range map[string]struct {
		options       Options
		message       []byte
		want, failing string
		says          string
	}{
		"another authority":      {other, envelope, "tf-tttt", CheckChain, "trusted authority"},
		"expired":                {late, envelope, "tf-tttt", CheckChain, "dates"},
		"not yet valid":          {early, envelope, "tf-tttt", CheckChain, "dates"},
		"revoked":                {all, w.revoked.message(t, pec.KindTransport), "ttftttt", CheckRevocation, "revoked"},
		"no fresh list":          {noList, envelope, "ttftttt", CheckRevocation, "revocation list"},
		"not in the directory":   {all, w.unlisted.message(t, pec.KindTransport), "tttfttt", CheckDirectory, "not in the directory"},
		"sender of another":      {all, w.alfa.compose(t, foreign), "tttfttt", CheckDirectory, "does not manage"},
		"delivery of another":    {all, w.alfa.compose(t, foreignDelivery), "tttfttt", CheckDirectory, recipient},
		"recipient of no letter": {all, w.beta.compose(t, toStranger), "tttttft", CheckCertData, "nobody@beta.example"},
		"error that is none":     {all, w.resign(t, w.alfa, envelope, swap(`errore="nessuno"`, `errore="virus"`)), "tttttft", CheckCertData, "virus"},
		"altered body":           {all, bytes.Replace(envelope, []byte("Buongiorno"), []byte("Buonasera!"), 1), "f------", CheckSignature, "does not verify"},
	} {
		r := report(t, test.options, test.message)
		if got := results(r); got != test.want || r.OK {
			t.Errorf("%s: %s, ok %v; want %s\n%s", name, got, r.OK, test.want, r.Text())
		}
		if said := detail(r, test.failing); !strings.Contains(said, test.says) {
			t.Errorf("%s: %s says %q, want %q", name, test.failing, said, test.says)
		}
		if !strings.Contains(r.Text(), "does NOT hold") || !strings.Contains(r.Text(), "WRONG "+test.failing) {
			t.Errorf("%s: %s", name, r.Text())
		}
	}
	if r := report(t, all, w.revoked.message(t, pec.KindTransport)); r.Kind != "posta-certificata" || *r.Identifier != identifier {
		t.Errorf("a message that does not hold is not said to be what it is: %s", r.Text())
	}
}

// The outer header is not signed: whatever of it was changed is found and named.
func TestAlteredHeader(t *testing.T) {
	conformance.Covers(t, "C108", "C114")
	w := newWorld(t)
	envelope, receipt := w.alfa.message(t, pec.KindTransport), w.beta.message(t, pec.KindDelivery)
	take := w.beta.message(t, pec.KindTakeCharge)
	for _, test := range []struct {
		name     string
		message  []byte
		old, new string
		says     string
	}{
		{"Subject", envelope, "POSTA CERTIFICATA: ", "POSTA CERTIFICATA: No, ", "Subject is"},
		{"prefix of Subject", receipt, "CONSEGNA: ", "ACCETTAZIONE: ", "Subject is"},
		{"author", envelope, "<posta-certificata@alfa.example>", "<posta-certificata@beta.example>", "no address of who signed"},
		{"author's name", envelope, "Per conto di: mario.rossi@", "Per conto di: sindaco@", "the certified sender is mario.rossi@alfa.example"},
		{"author of a receipt", receipt, "From: posta-certificata@beta.example", "From: \"sindaco@roma.example\" <posta-certificata@beta.example>", "From names sindaco@roma.example"},
		{"two authors", envelope, "MIME-Version", "From: posta-certificata@alfa.example\r\nMIME-Version", "From is there 2 times"},
		{"To of an envelope", envelope, "To: Luigi <" + recipient, "To: Luigi <paolo@beta.example", "To is"},
		{"Cc of an envelope", envelope, "\r\nCc: anna@", "\r\nCc: paolo@", "Cc is"},
		{"Cc left out", envelope, "\r\nCc: anna@gamma.example", "", "Cc is"},
		{"Reply-To", envelope, "Reply-To: mario.rossi@", "Reply-To: ladro@", "Reply-To is"},
		{"To of a receipt", receipt, "\r\nTo: " + sender, "\r\nTo: paolo@alfa.example", "due to " + sender},
		{"To of a take-charge", take, "\r\nTo: ricevute@alfa.example", "\r\nTo: " + sender, "due to ricevute@alfa.example"},
		{"Date", receipt, "\r\nDate: ", "\r\nDate: Mon, 02 Jan 2006 15:04:05 +0100\r\nX-Was: ", "the certified instant is"},
		{"Date unreadable", receipt, "\r\nDate: ", "\r\nDate: yesterday\r\nX-Was: ", "cannot be read"},
		{"kind of a receipt", receipt, "X-Ricevuta: avvenuta-consegna", "X-Ricevuta: accettazione", `X-Ricevuta is "accettazione"`},
		{"receipt into envelope", receipt, "X-Ricevuta: avvenuta-consegna", "X-Trasporto: posta-certificata", "X-Ricevuta is"},
		{"receipt and envelope", receipt, "X-Ricevuta:", "X-Trasporto: posta-certificata\r\nX-Ricevuta:", "X-Trasporto is there"},
		{"envelope into anomaly", envelope, "X-Trasporto: posta-certificata", "X-Trasporto: errore", "X-Trasporto is"},
		{"kind taken away", receipt, "X-Ricevuta: avvenuta-consegna\r\n", "", "neither X-Ricevuta nor X-Trasporto"},
		{"reference", receipt, "X-Riferimento-Message-ID: <1@", "X-Riferimento-Message-ID: <2@", "X-Riferimento-Message-ID is"},
		{"reference taken away", receipt, "X-Riferimento-Message-ID:", "X-Was:", "X-Riferimento-Message-ID is"},
		{"Message-ID", envelope, "Message-ID: <0123", "Message-ID: <9123", "Message-ID is"},
		{"receipt asked", envelope, "X-TipoRicevuta: completa", "X-TipoRicevuta: sintetica", "X-TipoRicevuta is"},
		{"Cc of a receipt", receipt, "\r\nTo: ", "\r\nCc: ladro@example.com\r\nTo: ", "one addressee"},
		{"Reply-To of a receipt", receipt, "\r\nTo: ", "\r\nReply-To: ladro@example.com\r\nTo: ", "Reply-To is"},
		{"Sender", receipt, "\r\nTo: ", "\r\nSender: ladro@example.com\r\nTo: ", "Sender is"},
		{"alarm of a virus", receipt, "\r\nTo: ", "\r\nX-VerificaSicurezza: errore\r\nTo: ", "no virus"},
	} {
		header, body, _ := bytes.Cut(test.message, []byte("\r\n\r\n"))
		altered := bytes.Replace(header, []byte(test.old), []byte(test.new), 1)
		if bytes.Equal(altered, header) {
			t.Fatalf("%s: %q is not in\n%s", test.name, test.old, header)
		}
		r := report(t, w.everything(), bytes.Join([][]byte{altered, body}, []byte("\r\n\r\n")))
		wantText := "t"
		if test.name == "kind taken away" {
			wantText = "-"
		}
		if got := results(r); got != "ttttft"+wantText || r.OK {
			t.Errorf("%s: %s, ok %v\n%s", test.name, got, r.OK, r.Text())
		}
		if said := detail(r, CheckHeaders); !strings.Contains(said, test.says) || strings.Contains(said, "\n") {
			t.Errorf("%s: headers says %q, want %q", test.name, said, test.says)
		}
	}
}

// A field that is there twice lets each reader choose one.
func TestFieldsThatMayStandOnce(t *testing.T) {
	conformance.Covers(t, "C114")
	w := newWorld(t)
	for kind, names := range map[pec.Kind][]string{
		pec.KindTransport: {"From", "To", "Cc", "Reply-To", "Subject", "Date", "Message-ID", "X-Trasporto", "X-Riferimento-Message-ID"},
		pec.KindDelivery:  {"From", "To", "Subject", "Date", "Message-ID", "X-Ricevuta", "X-Riferimento-Message-ID"},
	} {
		message := w.alfa.message(t, kind)
		header, body, _ := bytes.Cut(message, []byte("\r\n\r\n"))
		fields, _, err := pec.ReadHeader(pec.Bytes(message), 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if !fields.Has(name) {
				t.Errorf("%s has no %s to be repeated", kind, name)
			}
			field := []byte(name + ":" + fields.Values(name)[0].Value)
			twice := bytes.Join([][]byte{header, field, nil, body}, []byte("\r\n"))
			if said := detail(report(t, w.everything(), twice), CheckHeaders); !strings.Contains(said, name+" is there 2 times") {
				t.Errorf("%s twice in %s: headers says %q", name, kind, said)
			}
		}
	}
}
