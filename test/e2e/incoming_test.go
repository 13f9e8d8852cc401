package e2e

import (
	"slices"
	"strings"
	"testing"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/internal/ledger"
	"github.com/ceralacca/ceralacca/pec"
)

// TestIncomingEnvelope brings a valid transport envelope of delta to alfa: delivered as it came, one take-charge for all
// recipients to delta's service mailbox, one delivery receipt for each to the sender.
func TestIncomingEnvelope(t *testing.T) {
	conformance.Covers(t, "C115", "C116", "C124", "C125", "C126", "C127", "C128", "C129", "C161", "C163", "C165", "C241",
		"C243")
	alfa := env.Users("ALFA")
	e := someone(t, "DELTA").envelope(t, alfa[0].Address, alfa[1].Address)
	deliver(t, "ALFA", e.from, []string{alfa[0].Address, alfa[1].Address}, e.raw)
	found := settle(t, e.token, map[string][]pec.Kind{
		alfa[0].Address:           {pec.KindTransport},
		alfa[1].Address:           {pec.KindTransport},
		dora():                    {pec.KindDelivery, pec.KindDelivery},
		env["DELTA_MAIL_RECEIPT"]: {pec.KindTakeCharge},
	})
	for _, u := range alfa[:2] {
		m := found[u.Address][0]
		sealed(t, m)
		if !slices.Equal(m.Raw[len(m.Raw)-len(e.raw):], e.raw) {
			t.Errorf("the envelope in the mailbox of %s does not end in the bytes that were sent", u.Address)
		}
	}
	taken := found[env["DELTA_MAIL_RECEIPT"]][0]
	_, data := sealed(t, taken)
	if got := jsonOf(texts(data.Taken)); got != jsonOf([]string{alfa[0].Address, alfa[1].Address}) {
		t.Errorf("the take-charge covers %s", got)
	}
	if got := pec.DecodeText(taken.Header.Get("Subject")); got != "PRESA IN CARICO: Richiesta di prova" {
		t.Errorf("Subject of the take-charge is %q", got)
	}
	var receipts []string
	for _, m := range found[dora()] {
		parts, data := sealed(t, m)
		receipts = append(receipts, data.Delivery.String())
		if text := plain(t, parts.Text); !strings.Contains(text, `"`+data.Delivery.String()+`"`) || data.Receipt != pec.ReceiptComplete {
			t.Errorf("the receipt of kind %q for %s says\n%s", data.Receipt, data.Delivery, text)
		}
		if data.Identifier != e.data.Identifier || data.Provider != env["ALFA_PROVIDER"] {
			t.Errorf("a delivery receipt states identifier %s and provider %s", data.Identifier, data.Provider)
		}
	}
	slices.Sort(receipts)
	if got := jsonOf(receipts); got != jsonOf(sorted(alfa[0].Address, alfa[1].Address)) {
		t.Errorf("the delivery receipts are for %s", got)
	}
	logged(t, "ALFA", e.token, ledger.EventReception, ledger.EventTakeCharge, ledger.EventDelivery, ledger.EventDelivery,
		ledger.EventDeliveryReceipt, ledger.EventDeliveryReceipt)
	for _, r := range records(t, "ALFA", e.token) {
		if related := slices.Contains(r.Related, taken.Header.Get("Message-ID")); r.Event == ledger.EventTakeCharge &&
			(!r.Time.Equal(data.Time) || !related) {
			t.Errorf("the take-charge states %v, its record is %s", data.Time, jsonOf(r))
		}
		if r.Identifier != e.data.Identifier || r.Sender.String() != dora() || r.Subject != "Richiesta di prova" ||
			len(r.Recipients) != 2 || r.Provider != env["DELTA_PROVIDER"] {
			t.Errorf("a record lacks what the standard names: %s", jsonOf(r))
		}
	}
}

// TestIncomingVariants brings envelopes that are valid, in the spellings of other providers.
func TestIncomingVariants(t *testing.T) {
	conformance.Covers(t, "C104", "C109", "C164", "C178", "C260")
	mario := env.Users("ALFA")[0].Address
	for _, one := range []struct {
		name     string
		old, new string // everywhere in the message
		concise  bool
	}{
		{"the other type", "application/pkcs7-signature", "application/x-pkcs7-signature", false},
		{"micalg without hyphen", "micalg=sha-256", "micalg=SHA256", false},
		{"fields of others", "X-Trasporto:", "DKIM-Signature: v=1; a=rsa-sha256; d=x.example\r\nX-REM-Subject: y\r\nX-CrmlId: 7\r\nX-Trasporto:", false},
		{"name of the kind", "X-TipoRicevuta: completa", "X-Tiporicevuta: sintetica", true},
	} {
		t.Run(one.name, func(t *testing.T) {
			e := someone(t, "DELTA").envelope(t, mario)
			raw := []byte(strings.ReplaceAll(string(e.raw), one.old, one.new))
			if string(raw) == string(e.raw) {
				t.Fatalf("there is no %q in the envelope", one.old)
			}
			deliver(t, "ALFA", e.from, []string{mario}, raw)
			found := settle(t, e.token, map[string][]pec.Kind{
				mario: {pec.KindTransport}, dora(): {pec.KindDelivery}, env["DELTA_MAIL_RECEIPT"]: {pec.KindTakeCharge},
			})
			if parts, _ := sealed(t, found[dora()][0]); (parts.Original == nil) != one.concise {
				t.Errorf("the original is attached to the receipt: %v", parts.Original != nil)
			}
		})
	}
}

// TestReplay sends the same again, to the same and to others.
func TestReplay(t *testing.T) {
	conformance.Covers(t, "C118", "C127", "C160", "C165")
	alfa := env.Users("ALFA")
	e := someone(t, "DELTA").envelope(t, alfa[0].Address, alfa[1].Address)
	deliver(t, "ALFA", e.from, []string{alfa[0].Address}, e.raw)
	want := map[string][]pec.Kind{
		alfa[0].Address: {pec.KindTransport}, dora(): {pec.KindDelivery}, env["DELTA_MAIL_RECEIPT"]: {pec.KindTakeCharge},
	}
	settle(t, e.token, want)

	deliver(t, "ALFA", e.from, []string{alfa[0].Address}, e.raw)
	settle(t, e.token, want) // nothing twice

	deliver(t, "ALFA", e.from, []string{alfa[0].Address, alfa[1].Address}, e.raw)
	want[alfa[1].Address] = []pec.Kind{pec.KindTransport}
	want[dora()] = []pec.Kind{pec.KindDelivery, pec.KindDelivery}
	want[env["DELTA_MAIL_RECEIPT"]] = []pec.Kind{pec.KindTakeCharge, pec.KindTakeCharge}
	found := settle(t, e.token, want)
	var covered []string
	for _, m := range found[env["DELTA_MAIL_RECEIPT"]] {
		_, data := sealed(t, m)
		covered = append(covered, texts(data.Taken)...)
	}
	slices.Sort(covered)
	if got := jsonOf(covered); got != jsonOf(sorted(alfa[0].Address, alfa[1].Address)) {
		t.Errorf("the take-charges cover %s, each recipient once was due", got)
	}

	// To somebody whom the envelope does not name.
	deliver(t, "ALFA", e.from, []string{alfa[2].Address}, e.raw)
	want[alfa[2].Address] = []pec.Kind{pec.KindAnomaly}
	found = settle(t, e.token, want)
	wantAnomaly(t, "ALFA", found[alfa[2].Address][0], e.raw, pec.ProblemRouting)
}

// TestSameIdentifier sends another message under an identifier that is taken, and one that is too old.
func TestSameIdentifier(t *testing.T) {
	conformance.Covers(t, "C118", "C132", "C133", "C140", "C142", "C160")
	to := env.Users("ALFA")[0].Address
	o := someone(t, "DELTA")
	first := o.envelope(t, to)
	deliver(t, "ALFA", first.from, []string{to}, first.raw)
	want := map[string][]pec.Kind{
		to: {pec.KindTransport}, dora(): {pec.KindDelivery}, env["DELTA_MAIL_RECEIPT"]: {pec.KindTakeCharge},
	}
	settle(t, first.token, want)

	other := o.draft(t, to)
	other.data.Identifier = first.data.Identifier
	other.raw = o.seal(t, o.compose(t, other))
	deliver(t, "ALFA", other.from, []string{to}, other.raw)
	want[to] = append(want[to], pec.KindAnomaly)
	found := settle(t, first.token, want)
	wantAnomaly(t, "ALFA", pick(t, found[to], pec.KindAnomaly), other.raw, pec.ProblemOtherContent)

	old := o.draft(t, to)
	old.data.Time = old.data.Time.AddDate(0, 0, -31)
	old.raw = o.seal(t, o.compose(t, old))
	deliver(t, "ALFA", old.from, []string{to}, old.raw)
	found = settle(t, old.token, map[string][]pec.Kind{to: {pec.KindAnomaly}})
	wantAnomaly(t, "ALFA", found[to][0], old.raw, pec.ProblemTooOld)
	logged(t, "ALFA", old.token, ledger.EventAnomaly)
}

func texts(list []pec.Address) []string {
	out := make([]string, len(list))
	for i, a := range list {
		out[i] = a.String()
	}
	return out
}

func sorted(list ...string) []string {
	slices.Sort(list)
	return list
}
