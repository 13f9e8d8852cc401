package e2e

import (
	"slices"
	"strings"
	"testing"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/pec"
)

// TestRecipientTwice: named twice in the envelope, in another case, and in both To and Cc, is one recipient, and a primary
// one.
func TestRecipientTwice(t *testing.T) {
	conformance.Covers(t, "C030", "C043", "C073", "C127", "C165", "C169")
	mario, bruno := env.Users("ALFA")[0], env.Users("BETA")[0].Address
	l := write(t, mario.Address, []string{bruno}, []string{strings.ToUpper(bruno)})
	l.to = []string{bruno, bruno, strings.ToUpper(bruno), "Bruno@" + strings.ToUpper(env["BETA_DOMAIN"])}
	login(t, "ALFA", mario).mustSend(l)
	found := settle(t, l.ref, map[string][]pec.Kind{
		mario.Address: {pec.KindAcceptance, pec.KindDelivery}, bruno: {pec.KindTransport},
		env.Login("ALFA_SERVICE_USER").Address: {pec.KindTakeCharge},
	})
	for _, m := range found[mario.Address] {
		parts, data := sealed(t, m)
		if len(data.Recipients) != 1 || data.Recipients[0].Type != pec.Certified {
			t.Errorf("%s lists %v", m.Kind(), data.Recipients)
		}
		if m.Kind() == pec.KindDelivery && parts.Original == nil {
			t.Error("a recipient in both To and Cc gets a receipt without the original")
		}
	}
}

// TestReceiptKinds: the kind that the sender asks for stands in the envelope and decides what comes back.
func TestReceiptKinds(t *testing.T) {
	conformance.Covers(t, "C081", "C082", "C085", "C164", "C166", "C167", "C168", "C178", "C205")
	mario, to, cc := env.Users("ALFA")[0], env.Users("BETA")[0].Address, env.Users("BETA")[1].Address
	for _, test := range []struct {
		field    string
		want     pec.ReceiptKind
		original bool
	}{
		{"X-TipoRicevuta: completa", pec.ReceiptComplete, true},
		{"x-tiporicevuta:  SINTETICA ", pec.ReceiptConcise, false},
		{"X-Tiporicevuta: breve", pec.ReceiptBrief, true},
		{"X-TipoRicevuta: qualunque", pec.ReceiptComplete, true},
		{"X-Other: x", pec.ReceiptComplete, true},
	} {
		t.Run(test.field, func(t *testing.T) {
			l := write(t, mario.Address, []string{to}, []string{cc}, test.field)
			login(t, "ALFA", mario).mustSend(l)
			found := settle(t, l.ref, map[string][]pec.Kind{
				mario.Address: {pec.KindAcceptance, pec.KindDelivery, pec.KindDelivery}, to: {pec.KindTransport}, cc: {pec.KindTransport},
				env.Login("ALFA_SERVICE_USER").Address: {pec.KindTakeCharge},
			})
			envelope := found[to][0]
			if _, data := sealed(t, envelope); data.Receipt != test.want || envelope.Header.Get(pec.FieldReceiptKind) != string(test.want) {
				t.Errorf("the envelope states %q, its header %q, want %q", data.Receipt, envelope.Header.Get(pec.FieldReceiptKind), test.want)
			}
			for _, m := range found[mario.Address] {
				parts, data := sealed(t, m)
				if m.Kind() == pec.KindAcceptance {
					if data.Receipt != "" {
						t.Errorf("the acceptance receipt states the kind %q", data.Receipt)
					}
					continue
				}
				if want := test.original && data.Delivery.String() == to; (parts.Original != nil) != want || data.Receipt == "" {
					t.Errorf("the receipt for %s, of kind %q, has the original: %v, want %v", data.Delivery, data.Receipt, parts.Original != nil, want)
				}
			}
		})
	}
}

// TestEnvelopeHeader: what the envelope inherits stays as it was written; who answers it answers the author or whom he named;
// receipts never go there.
func TestEnvelopeHeader(t *testing.T) {
	conformance.Covers(t, "C005", "C007", "C008", "C009", "C010", "C011", "C021", "C070", "C074", "C075", "C077", "C078", "C079", "C080", "C086", "C087")
	mario, bruno, gino := env.Users("ALFA")[0], env.Users("BETA")[0].Address, env.Users("GAMMA")[0].Address
	for name, reply := range map[string]string{
		"with Reply-To":    "Reply-To: =?utf-8?Q?Anna_=C3=A8?=\r\n <" + env.Users("ALFA")[2].Address + ">,\r\n\t" + gino,
		"without Reply-To": "X-Other: x",
		"empty Reply-To":   "Reply-To: ",
	} {
		t.Run(name, func(t *testing.T) {
			l := write(t, mario.Address, []string{bruno}, []string{"\"Gino (G)\"\r\n\t <" + gino + ">"}, reply, "Received: from a by b; now", "Sender: "+mario.Address)
			l.to = []string{bruno, gino}
			login(t, "ALFA", mario).mustSend(l)
			found := settle(t, l.ref, map[string][]pec.Kind{
				mario.Address: {pec.KindAcceptance, pec.KindDelivery}, bruno: {pec.KindTransport}, gino: {pec.KindTransport},
				env.Login("ALFA_SERVICE_USER").Address: {pec.KindTakeCharge},
			})
			wantReply := " " + mario.Address
			if value, found := strings.CutPrefix(reply, "Reply-To:"); found && value != " " {
				wantReply = value
			}
			for _, address := range []string{bruno, gino} {
				h := found[address][0].Header
				wantNoPrivateHeader(t, found[address][0])
				_, data := sealed(t, found[address][0])
				if want := pec.DecodeText(wantReply); data.ReplyTo != want {
					t.Errorf("the data for %s state the reply address %q, want %q", address, data.ReplyTo, want)
				}
				for field, want := range map[string]string{
					"Reply-To": wantReply, "To": " " + bruno, "Cc": " \"Gino (G)\"\r\n\t <" + gino + ">", "X-Trasporto": " posta-certificata",
					"From":       " \"Per conto di: " + mario.Address + "\" <" + env["ALFA_PEC_ADDRESS"] + ">",
					"Subject":    " POSTA CERTIFICATA: Richiesta di prova",
					"Message-ID": " <" + string(data.Identifier) + ">", pec.FieldReference: " " + l.ref, "Return-Path": " <" + mario.Address + ">",
				} {
					if list := h.Values(field); len(list) != 1 || list[0].Value != want {
						t.Errorf("%s in the envelope for %s: %q, want %q", field, address, list, want)
					}
				}
				received := h.Values("Received")
				if !slices.ContainsFunc(received, func(f pec.Field) bool { return f.Value == " from a by b; now" }) {
					t.Errorf("the Received field of the original is not in the envelope: %q", received)
				}
				if h.Get("Sender") != "" || h.Get(pec.FieldReceipt) != "" {
					t.Errorf("the envelope has a Sender %q or is a receipt", h.Get("Sender"))
				}
			}
		})
	}
}
