package e2e

import (
	"bytes"
	"strings"
	"testing"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/pec"
)

// TestExchange is the main job: a user of one certified provider writes to a user of another, and all five messages
// happen, each in its mailbox and nowhere else.
func TestExchange(t *testing.T) {
	conformance.Covers(t, "C002", "C009", "C012", "C016", "C019", "C020", "C025", "C028", "C034", "C035", "C036", "C037",
		"C068", "C069", "C071", "C073", "C074", "C076", "C077", "C078", "C080", "C084", "C085", "C086", "C101", "C115",
		"C116", "C117", "C124", "C126", "C128", "C129", "C158", "C159", "C161", "C162", "C163", "C165", "C166", "C167",
		"C185", "C186", "C204")
	from, to := env.Users("ALFA")[0], env.Users("BETA")[0]
	l := write(t, from.Address, []string{to.Address}, nil)
	submit(t, "ALFA", from, l)
	service := env.Login("ALFA_SERVICE_USER")
	found := await(t, l.ref, map[string][]pec.Kind{
		from.Address:    {pec.KindAcceptance, pec.KindDelivery},
		to.Address:      {pec.KindTransport},
		service.Address: {pec.KindTakeCharge},
	})

	envelope := pick(t, found[to.Address], pec.KindTransport)
	parts, data := sealed(t, envelope)
	id := data.Identifier
	wantOriginal := strings.Replace(string(l.raw), "Message-ID: "+l.ref, "Message-ID: <"+string(id)+">", 1)
	wantOriginal = strings.Replace(wantOriginal, "\r\n\r\n", "\r\n"+pec.FieldReference+": "+l.ref+"\r\n\r\n", 1)
	if got := read(t, parts.Original); got != wantOriginal {
		t.Errorf("the original in the envelope is\n%q\nwant\n%q", got, wantOriginal)
	}
	if got := envelope.Header.Get("Message-ID"); got != "<"+string(id)+">" {
		t.Errorf("Message-ID of the envelope is %q, want <%s>", got, id)
	}
	if got := envelope.Header.Get("Return-Path"); got != "<"+from.Address+">" {
		t.Errorf("Return-Path of the envelope is %q, want the sender's", got)
	}

	acceptance := pick(t, found[from.Address], pec.KindAcceptance)
	_, accepted := sealed(t, acceptance)
	if !accepted.Time.Equal(data.Time) || envelope.Header.Get("Date") != acceptance.Header.Get("Date") {
		t.Errorf("acceptance and envelope state different instants: %v and %v", accepted.Time, data.Time)
	}
	delivery := pick(t, found[from.Address], pec.KindDelivery)
	dparts, delivered := sealed(t, delivery)
	if got := read(t, dparts.Original); got != wantOriginal {
		t.Errorf("the original in the delivery receipt is not the one of the envelope:\n%q", got)
	}
	if delivered.Delivery == nil || delivered.Delivery.String() != to.Address {
		t.Errorf("the delivery receipt is for %v, want %s", delivered.Delivery, to.Address)
	}
	_, taken := sealed(t, pick(t, found[service.Address], pec.KindTakeCharge))
	if len(taken.Taken) != 1 || taken.Taken[0].String() != to.Address {
		t.Errorf("the take-charge covers %v, want %s", taken.Taken, to.Address)
	}
	for _, d := range []*pec.CertData{accepted, delivered, taken} {
		if d.Identifier != id || d.MessageID != l.ref || d.Sender.String() != from.Address {
			t.Errorf("%s states identifier %s, msgid %s, sender %s", d.Kind, d.Identifier, d.MessageID, d.Sender)
		}
	}
}

// TestManyRecipients sends to To and Cc, to another provider, to our own and to an ordinary one.
func TestManyRecipients(t *testing.T) {
	conformance.Covers(t, "C013", "C030", "C031", "C072", "C087", "C125", "C127", "C165", "C168", "C183", "C205", "C206")
	alfa, beta, gamma := env.Users("ALFA"), env.Users("BETA"), env.Users("GAMMA")
	l := write(t, alfa[0].Address, []string{beta[0].Address, alfa[1].Address}, []string{beta[1].Address, gamma[0].Address})
	submit(t, "ALFA", alfa[0], l)
	service := env.Login("ALFA_SERVICE_USER").Address
	found := await(t, l.ref, map[string][]pec.Kind{
		alfa[0].Address:  {pec.KindAcceptance, pec.KindDelivery, pec.KindDelivery, pec.KindDelivery},
		alfa[1].Address:  {pec.KindTransport},
		beta[0].Address:  {pec.KindTransport},
		beta[1].Address:  {pec.KindTransport},
		gamma[0].Address: {pec.KindTransport},
		service:          {pec.KindTakeCharge, pec.KindTakeCharge},
	})
	covered := map[string]int{}
	for _, m := range found[service] {
		_, data := sealed(t, m)
		for _, a := range data.Taken {
			covered[a.String()]++
		}
	}
	for _, a := range []string{alfa[1].Address, beta[0].Address, beta[1].Address} {
		if covered[a] != 1 {
			t.Errorf("%s is in %d take-charge receipts, want 1 (all: %v)", a, covered[a], covered)
		}
	}
	for _, m := range found[alfa[0].Address] {
		if m.Kind() != pec.KindDelivery {
			continue
		}
		parts, data := sealed(t, m)
		copied := data.Delivery.String() == beta[1].Address
		if copied != (parts.Original == nil) {
			t.Errorf("receipt for %s: original attached is %v", data.Delivery, parts.Original != nil)
		}
	}
	_, data := sealed(t, pick(t, found[alfa[0].Address], pec.KindAcceptance))
	for _, r := range data.Recipients {
		want := pec.Certified
		if r.Address.String() == gamma[0].Address {
			want = pec.Ordinary
		}
		if r.Type != want {
			t.Errorf("acceptance calls %s %q, want %q", r.Address, r.Type, want)
		}
	}
}

// TestLocal sends within one provider: the whole chain happens all the same.
func TestLocal(t *testing.T) {
	conformance.Covers(t, "C183", "C178")
	alfa := env.Users("ALFA")
	l := write(t, alfa[0].Address, []string{alfa[1].Address}, nil, pec.FieldReceiptKind+": "+string(pec.ReceiptConcise))
	submit(t, "ALFA", alfa[0], l)
	found := await(t, l.ref, map[string][]pec.Kind{
		alfa[0].Address:                        {pec.KindAcceptance, pec.KindDelivery},
		alfa[1].Address:                        {pec.KindTransport},
		env.Login("ALFA_SERVICE_USER").Address: {pec.KindTakeCharge},
	})
	parts, data := sealed(t, pick(t, found[alfa[0].Address], pec.KindDelivery))
	if parts.Original != nil || data.Receipt != pec.ReceiptConcise {
		t.Errorf("a concise receipt was asked for; got kind %q, original attached: %v", data.Receipt, parts.Original != nil)
	}
}

func read(t *testing.T, s pec.Source) string {
	t.Helper()
	if s == nil {
		t.Fatal("there is no original in the message")
	}
	var b bytes.Buffer
	if _, err := b.ReadFrom(section(s)); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
