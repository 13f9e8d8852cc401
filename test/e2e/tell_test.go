package e2e

import (
	"strings"
	"testing"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/internal/ledger"
	"github.com/ceralacca/ceralacca/pec"
)

// virusFor completes the data of a virus notice of delta about dora.
func virusFor(t *testing.T, detail string) func(*pec.CertData) {
	a := address(t, dora())
	return func(c *pec.CertData) { c.Delivery, c.Error, c.Detail = &a, pec.ErrorVirus, detail }
}

// TestVirusNotice has delta find a virus in a message of alfa, and say so twice, and then that it delivered it: the sender
// hears once, of the first. The service mailbox gets each virus notice.
func TestVirusNotice(t *testing.T) {
	conformance.Covers(t, "C152", "C153", "C154", "C155", "C156", "C157", "C184")
	from, service := env.Users("ALFA")[0].Address, env.Login("ALFA_SERVICE_USER").Address
	o := someone(t, "DELTA")
	about := sendToDelta(t)
	log := daemonLog(t, "alfa-lda")
	notice := o.notice(t, pec.KindVirusDetection, about, service, virusFor(t, "5.5.1, Delta, W32/Prova"))
	for range 2 {
		deliver(t, "ALFA", env["DELTA_PEC_ADDRESS"], []string{service}, notice)
	}
	want := map[string][]pec.Kind{
		from: {pec.KindAcceptance, pec.KindNonDelivery}, dora(): {pec.KindTransport}, service: {pec.KindVirusDetection},
	}
	found := settle(t, about.MessageID, want)
	told := pick(t, found[from], pec.KindNonDelivery)
	parts, data := sealed(t, told)
	if data.Error != pec.ErrorVirus || data.Provider != env["ALFA_PROVIDER"] || !strings.HasSuffix(data.Detail, ": W32/Prova") ||
		data.Delivery == nil || data.Delivery.String() != dora() || data.Identifier != about.Identifier {
		t.Errorf("the notice says %+v", data)
	}
	if text := plain(t, parts.Text); !strings.Contains(text, "W32/Prova") || !strings.Contains(text, dora()) {
		t.Errorf("the text does not say what was found, and for whom:\n%s", text)
	}
	if got := pec.DecodeText(told.Header.Get("Subject")); got != "AVVISO DI MANCATA CONSEGNA PER VIRUS: "+*about.Subject {
		t.Errorf("the subject is %q", got)
	}
	eventually(t, log, "our own scanner missed it")

	// What contradicts it goes to the user, who has both certificates, and is an alarm; and no second notice.
	deliver(t, "ALFA", env["DELTA_PEC_ADDRESS"], []string{from}, o.notice(t, pec.KindDelivery, about, from, deliveredTo(t, dora())))
	want[from] = append(want[from], pec.KindDelivery)
	settle(t, about.MessageID, want)
	eventually(t, log, "contradictory")
	logged(t, "ALFA", string(about.Identifier), ledger.EventAcceptance, ledger.EventEnvelope, ledger.EventNotification,
		ledger.EventNonDeliveryVirus, ledger.EventNotificationDelivered, ledger.EventDuplicate, ledger.EventContradiction,
		ledger.EventNotification, ledger.EventNotificationDelivered)
}

// TestVirusNoticeOfNothing: of a message that alfa never accepted nobody is told, whoever the notice names.
func TestVirusNoticeOfNothing(t *testing.T) {
	conformance.Covers(t, "C153", "C157", "C184")
	service := env.Login("ALFA_SERVICE_USER").Address
	o := someone(t, "DELTA")
	about := o.draft(t, dora())
	about.data.Sender = address(t, env.Users("ALFA")[1].Address)
	log := daemonLog(t, "alfa-lda")
	deliver(t, "ALFA", env["DELTA_PEC_ADDRESS"], []string{service}, o.notice(t, pec.KindVirusDetection, about.data, service, virusFor(t, "Eicar")))
	settle(t, about.token, map[string][]pec.Kind{service: {pec.KindVirusDetection}})
	eventually(t, log, "not accepted here")
	logged(t, "ALFA", about.token, ledger.EventNotification, ledger.EventNotificationDelivered)
}
