package examine

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/pec"
)

// An anomaly envelope has no certification data; its header is compared with the message inside.
func TestAlteredAnomaly(t *testing.T) {
	conformance.Covers(t, "C114", "C134", "C137", "C138")
	w := newWorld(t)
	anomaly := w.beta.message(t, pec.KindAnomaly)
	for _, test := range []struct{ old, new, says string }{
		{"Subject: ANOMALIA MESSAGGIO: Disdetta", "Subject: ANOMALIA MESSAGGIO: Rinnovo", "Subject is"},
		{"Subject: ANOMALIA MESSAGGIO: ", "Subject: POSTA CERTIFICATA: ", "Subject is"},
		{"Subject: ANOMALIA MESSAGGIO: Disdetta", "Subject: ANOMALIA", "Subject is"},
		{"Per conto di: " + sender, "Per conto di: sindaco@roma.example", "From names sindaco@roma.example"},
		{"<posta-certificata@beta.example>", "<posta-certificata@alfa.example>", "no address of who signed"},
		{"To: Luigi <" + recipient, "To: Luigi <paolo@beta.example", "To is"},
		{"\r\nCc: anna@gamma.example", "", "Cc is"},
		{"Reply-To: " + sender, "Reply-To: ladro@example.com", "Reply-To names ladro@example.com"},
		{"Message-ID: <1@", "Message-ID: <2@", "Message-ID is"},
		{"\r\nDate: ", "\r\nDate: Mon, 02 Jan 2006 15:04:05 +0100\r\nX-Was: ", "Date is"},
		{"X-Trasporto: errore", "X-Trasporto: errore\r\nX-Ricevuta: errore", "X-Ricevuta is there"},
		{"X-Trasporto: errore", "X-Trasporto: errore\r\nX-Trasporto: errore", "X-Trasporto is there 2 times"},
	} {
		altered := bytes.Replace(anomaly, []byte(test.old), []byte(test.new), 1)
		r := report(t, w.everything(), altered)
		if got := results(r); bytes.Equal(altered, anomaly) || got != "ttttf--" || r.OK || r.Kind != "errore" {
			t.Errorf("%s: %s, kind %s, ok %v\n%s", test.new, got, r.Kind, r.OK, r.Text())
		}
		if said := detail(r, CheckHeaders); !strings.Contains(said, test.says) {
			t.Errorf("%s: headers says %q, want %q", test.new, said, test.says)
		}
	}
	for name, message := range map[string][]byte{
		"Message-ID of who carried it": w.beta.anomaly(t, pec.Header{{Name: "From", Value: " x@y.example"}}),
		"Subject that was cut":         w.beta.anomaly(t, pec.Header{{Name: "From", Value: " x@y.example"}, {Name: "Subject", Value: " " + strings.Repeat("parola ", 300)}}),
		"nothing":                      w.beta.anomaly(t, pec.Header{{Name: "X-Nothing", Value: " 1"}}),
	} {
		switch name {
		case "Message-ID of who carried it":
			message = bytes.Replace(message, []byte("MIME-Version"), []byte("Message-ID: <q@mx.example>\r\nMIME-Version"), 1)
		case "Subject that was cut":
			before, after, _ := bytes.Cut(message, []byte("MIME-Version"))
			head, rest, _ := bytes.Cut(before, []byte("Subject: "))
			_, others, _ := bytes.Cut(rest, []byte("\r\nFrom: "))
			message = slices.Concat(head, []byte("Subject: "), rest[:1500], []byte("\r\nFrom: "), others, []byte("MIME-Version"), after)
		}
		if r := report(t, w.everything(), message); results(r) != "ttttt--" || !r.OK {
			t.Errorf("an anomaly envelope with %s: %s", name, r.Text())
		}
	}
}

// A certificate that had ended when it signed is named as such, and the rest is still looked at.
func TestSignedOutOfDate(t *testing.T) {
	conformance.Covers(t, "C109", "C110")
	w := newWorld(t)
	message := w.alfa.sealAt(t, w.alfa.data(t, pec.KindTransport), now.AddDate(5, 0, 0))
	for name, o := range map[string]Options{"nothing asked": {}, "everything asked": w.everything()} {
		r := report(t, o, message)
		if got := results(r); !strings.HasPrefix(got, "tf") || !strings.HasSuffix(got, "ttt") || r.OK || *r.Identifier != identifier {
			t.Errorf("%s: %s\n%s", name, got, r.Text())
		}
		if said := detail(r, CheckChain); !strings.Contains(said, "dates") {
			t.Errorf("%s: chain says %q", name, said)
		}
	}
}

// What changed is said in words of people.
func TestWordsOfABrokenSignature(t *testing.T) {
	w := newWorld(t)
	good := w.alfa.message(t, pec.KindTransport)
	at := bytes.LastIndex(good, []byte("\r\n\r\n")) // before the signature in base64
	last := bytes.LastIndex(good, []byte("\r\n--"))
	flipped := bytes.Clone(good)
	n := at + (last-at)*9/10
	n += bytes.IndexAny(flipped[n:], "BCDEFGHIJKLMNOPQRSTUVWXYZ")
	flipped[n] = 'A' // still base64
	for says, message := range map[string][]byte{
		"changed after it was signed": bytes.Replace(good, []byte("Buongiorno"), []byte("Buonasera!"), 1),
		"the signature itself":        flipped,
	} {
		if said := detail(report(t, Options{}, message), CheckSignature); !strings.Contains(said, says) || strings.Contains(said, "pkcs7") {
			t.Errorf("signature says %q, want %q", said, says)
		}
	}
}

// A provider that certifies one thing in data and another in words does not hold.
func TestTextNamesWhomTheDataName(t *testing.T) {
	conformance.Covers(t, "C031", "C083")
	w := newWorld(t)
	for _, kind := range []pec.Kind{pec.KindTransport, pec.KindAcceptance, pec.KindNonAcceptance} {
		message := w.resign(t, w.alfa, w.alfa.message(t, kind), func(s string) string {
			return strings.ReplaceAll(s, "\nanna@gamma", "\npaola@gamma")
		})
		r := report(t, w.everything(), message)
		if got := results(r); got != "ttttttf" || !strings.Contains(detail(r, CheckText), "anna@gamma.example") {
			t.Errorf("%s: %s\n%s", kind, got, r.Text())
		}
	}
}
