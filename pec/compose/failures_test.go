package compose

import (
	"bytes"
	"net/mail"
	"testing"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/pec"
)

// TestFailureNoticesNameTheMessage: each of the four kinds of notice of a failure says in its header what it is and which
// message of the client it is about; when the client gave none a Message-ID, it names nothing.
func TestFailureNoticesNameTheMessage(t *testing.T) {
	conformance.Covers(t, "C017")
	for _, kind := range []pec.Kind{pec.KindNonAcceptance, pec.KindNonDelivery, pec.KindTimeout, pec.KindVirusDetection} {
		for _, reference := range []string{"<prova@client.example>", ""} {
			n := notification(t, kind)
			n.Data.MessageID = reference
			header, _ := written(t, notify(t, n))
			m, err := mail.ReadMessage(bytes.NewReader(append(header, "\r\n"...)))
			if err != nil {
				t.Fatal(err)
			}
			if got := m.Header["X-Ricevuta"]; len(got) != 1 || got[0] != string(kind) {
				t.Errorf("%s: X-Ricevuta is %q", kind, got)
			}
			got := m.Header["X-Riferimento-Message-Id"]
			if has := len(got) > 0; has != (reference != "") || has && (len(got) != 1 || got[0] != reference) {
				t.Errorf("%s: X-Riferimento-Message-ID is %q, want %q", kind, got, reference)
			}
			if own := m.Header.Get("Message-Id"); own == "" || own == reference {
				t.Errorf("%s: its own Message-ID is %q", kind, own)
			}
		}
	}
}
