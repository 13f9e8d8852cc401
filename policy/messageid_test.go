package policy

import (
	"strings"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/pec/compose"
)

// Every Message-ID that is accepted fits into the reference of the envelope: one that did not would make header and
// certification data disagree, and the next provider would find an anomaly.
func TestAcceptedMessageIDFitsIntoTheReference(t *testing.T) {
	sender, err := pec.ParseAddress("mario@alfa.example")
	if err != nil {
		t.Fatal(err)
	}
	for _, length := range []int{890, 897, 898, 899, 900, 901} {
		id := "<" + strings.Repeat("x", length-2) + ">"
		original := compose.Original{Header: pec.Header{{Name: "From", Value: " mario@alfa.example"}, {Name: "Message-ID", Value: " " + id}},
			Body: pec.Bytes(nil)}
		c := &pec.CertData{Kind: pec.KindTransport, Error: pec.ErrorNone, Sender: sender, ReplyTo: sender.String(), Provider: "Alfa",
			Recipients: []pec.Recipient{{Address: sender, Type: pec.Certified}}, Time: time.Unix(1.7e9, 0), Receipt: pec.ReceiptComplete,
			Identifier: "0123456789abcdef0123456789abcdef@alfa.example", MessageID: id}
		envelope, err := compose.TransportEnvelope(pec.Provider{Name: "Alfa", Address: sender}, original, c)
		if err != nil {
			t.Fatal(err)
		}
		if fits := envelope.Header.Get(pec.FieldReference) == id; validMessageID(id) && !fits {
			t.Errorf("a Message-ID of %d bytes is accepted, and is not in the envelope", length)
		}
	}
	if id := "<" + strings.Repeat("x", 880) + ">"; !validMessageID(id) {
		t.Error("a Message-ID of 882 bytes is refused")
	}
}
