package e2e

import (
	"testing"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/internal/ledger"
	"github.com/ceralacca/ceralacca/pec"
)

// TestNotifications has delta answer a message of alfa as a provider should, twice, with a receipt each time.
func TestNotifications(t *testing.T) {
	conformance.Covers(t, "C020", "C101", "C117", "C131", "C160")
	from, service := env.Users("ALFA")[0], env.Login("ALFA_SERVICE_USER").Address
	o := someone(t, "DELTA")
	about := sendToDelta(t)
	ref := about.MessageID
	want := map[string][]pec.Kind{from.Address: {pec.KindAcceptance}, dora(): {pec.KindTransport}}

	taken := o.notice(t, pec.KindTakeCharge, about, service, func(c *pec.CertData) { c.Taken = []pec.Address{address(t, dora())} })
	receipt := o.notice(t, pec.KindDelivery, about, from.Address, deliveredTo(t, dora()))
	for range 2 { // a second copy is dropped
		deliver(t, "ALFA", env["DELTA_PEC_ADDRESS"], []string{service}, taken)
		deliver(t, "ALFA", env["DELTA_PEC_ADDRESS"], []string{from.Address}, receipt)
		want[service] = []pec.Kind{pec.KindTakeCharge}
		want[from.Address] = []pec.Kind{pec.KindAcceptance, pec.KindDelivery}
		found := settle(t, ref, want)
		if _, data := sealed(t, pick(t, found[from.Address], pec.KindDelivery)); data.Provider != env["DELTA_PROVIDER"] {
			t.Errorf("the receipt is by %s", data.Provider)
		}
	}
	logged(t, "ALFA", string(about.Identifier), ledger.EventAcceptance, ledger.EventEnvelope, ledger.EventNotification,
		ledger.EventNotificationDelivered, ledger.EventNotification, ledger.EventNotificationDelivered,
		ledger.EventDuplicate, ledger.EventDuplicate)
}

// sendToDelta sends a message from alfa to dora and returns what its envelope certifies.
func sendToDelta(t *testing.T) *pec.CertData {
	t.Helper()
	from := env.Users("ALFA")[0]
	l := write(t, from.Address, []string{dora()}, nil)
	submit(t, "ALFA", from, l)
	found := settle(t, l.ref, map[string][]pec.Kind{from.Address: {pec.KindAcceptance}, dora(): {pec.KindTransport}})
	_, data := sealed(t, found[dora()][0])
	return data
}

func deliveredTo(t *testing.T, to string) func(*pec.CertData) {
	a := address(t, to)
	return func(c *pec.CertData) { c.Delivery, c.Receipt = &a, pec.ReceiptComplete }
}

// TestNotificationsOfOthers has delta certify what is not its business. A user gets an anomaly envelope, no fact is recorded.
func TestNotificationsOfOthers(t *testing.T) {
	conformance.Covers(t, "C118", "C131", "C158", "C160")
	from, luigi, bruno := env.Users("ALFA")[0].Address, env.Users("ALFA")[1].Address, env.Users("BETA")[0].Address
	service := env.Login("ALFA_SERVICE_USER").Address
	o := someone(t, "DELTA")
	l := write(t, from, []string{bruno}, nil)
	submit(t, "ALFA", env.Users("ALFA")[0], l)
	want := map[string][]pec.Kind{
		from: {pec.KindAcceptance, pec.KindDelivery}, bruno: {pec.KindTransport}, service: {pec.KindTakeCharge},
	}
	_, about := sealed(t, settle(t, l.ref, want)[bruno][0])
	before := len(records(t, "ALFA", string(about.Identifier)))

	failed := func(c *pec.CertData) {
		deliveredTo(t, bruno)(c)
		c.Receipt, c.Error, c.Detail = "", pec.ErrorRecipient, "5.1.1 - Delta PEC - indirizzo non valido"
	}
	for _, one := range []struct {
		name   string
		kind   pec.Kind
		to     string
		change func(*pec.CertData)
	}{
		{"delivery to a recipient of beta", pec.KindDelivery, from, deliveredTo(t, bruno)},
		{"non-delivery to a recipient of beta", pec.KindNonDelivery, from, failed},
		{"acceptance", pec.KindAcceptance, from, nil},
		{"non-acceptance", pec.KindNonAcceptance, from, func(c *pec.CertData) { c.Error, c.Detail = pec.ErrorOther, "no" }},
		{"timeout", pec.KindTimeout, from, func(c *pec.CertData) { failed(c); c.Error = pec.ErrorOther }},
		{"to somebody else", pec.KindDelivery, luigi, deliveredTo(t, bruno)},
	} {
		t.Run(one.name, func(t *testing.T) {
			raw := o.notice(t, one.kind, about, one.to, one.change)
			deliver(t, "ALFA", env["DELTA_PEC_ADDRESS"], []string{one.to}, raw)
			want[one.to] = append(want[one.to], pec.KindAnomaly)
			found := settle(t, l.ref, want)
			list := found[one.to]
			wantAnomaly(t, "ALFA", list[len(list)-1], raw, pec.ProblemRouting)
		})
	}
	// The anomalies are recorded under the identifier, and nothing else is: no fact, no contradiction.
	for _, r := range records(t, "ALFA", string(about.Identifier))[before:] {
		if r.Event != ledger.EventAnomaly || r.Detail != string(pec.ProblemRouting) {
			t.Errorf("the log says %s", jsonOf(r))
		}
	}
}

// TestNotificationOfNothing has delta certify the delivery of messages that nobody sent: what claims to be from us reaches
// the user whom it names, as any good notice does, and has no other effect; what claims to be from others is an anomaly.
func TestNotificationOfNothing(t *testing.T) {
	conformance.Covers(t, "C117", "C118", "C131", "C160")
	mario, bruno := env.Users("ALFA")[0].Address, env.Users("BETA")[0].Address
	o := someone(t, "DELTA")
	e := o.draft(t, dora())
	e.data.Sender = address(t, mario)
	raw := o.notice(t, pec.KindDelivery, e.data, mario, deliveredTo(t, dora()))
	deliver(t, "ALFA", env["DELTA_PEC_ADDRESS"], []string{mario}, raw)
	settle(t, e.token, map[string][]pec.Kind{mario: {pec.KindDelivery}})
	logged(t, "ALFA", e.token, ledger.EventNotification, ledger.EventNotificationDelivered)

	e = o.draft(t, dora())
	e.data.Sender = address(t, bruno)
	raw = o.notice(t, pec.KindDelivery, e.data, mario, deliveredTo(t, dora()))
	deliver(t, "ALFA", env["DELTA_PEC_ADDRESS"], []string{mario}, raw)
	found := settle(t, e.token, map[string][]pec.Kind{mario: {pec.KindAnomaly}})
	wantAnomaly(t, "ALFA", found[mario][0], raw, pec.ProblemRouting)
}

// TestContradiction has delta certify both that a message was delivered and that it was not: both reach the sender, the
// first stands, and the contradiction is an alarm and a record.
func TestContradiction(t *testing.T) {
	conformance.Covers(t, "C117", "C131")
	from := env.Users("ALFA")[0].Address
	o := someone(t, "DELTA")
	about := sendToDelta(t)
	want := map[string][]pec.Kind{from: {pec.KindAcceptance, pec.KindDelivery}, dora(): {pec.KindTransport}}
	deliver(t, "ALFA", env["DELTA_PEC_ADDRESS"], []string{from}, o.notice(t, pec.KindDelivery, about, from, deliveredTo(t, dora())))
	settle(t, about.MessageID, want)

	log := daemonLog(t, "alfa-lda")
	failed := o.notice(t, pec.KindNonDelivery, about, from, func(c *pec.CertData) {
		deliveredTo(t, dora())(c)
		c.Receipt, c.Error, c.Detail = "", pec.ErrorRecipient, "5.1.1 - Delta PEC - indirizzo non valido"
	})
	deliver(t, "ALFA", env["DELTA_PEC_ADDRESS"], []string{from}, failed)
	want[from] = append(want[from], pec.KindNonDelivery)
	settle(t, about.MessageID, want)
	eventually(t, log, "contradictory certificates")
	logged(t, "ALFA", string(about.Identifier), ledger.EventAcceptance, ledger.EventEnvelope, ledger.EventNotification,
		ledger.EventNotificationDelivered, ledger.EventContradiction, ledger.EventNotification, ledger.EventNotificationDelivered)
}
