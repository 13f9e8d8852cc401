package e2e

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/ceralacca/ceralacca/deploy/lab/client"
	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/internal/ledger"
	"github.com/ceralacca/ceralacca/pec"
)

// own are alfa's two addresses as a provider, and a subaddress of the mailbox.
func own() []string {
	service := env.Login("ALFA_SERVICE_USER").Address
	return []string{service, env["ALFA_PEC_ADDRESS"], strings.Replace(service, "@", "+atti@", 1)}
}

// TestServiceAddressUnsigned: nobody writes to the provider's own addresses, bounces of strangers included.
func TestServiceAddressUnsigned(t *testing.T) {
	conformance.Covers(t, "C184")
	mario := env.Users("ALFA")[0].Address
	for _, to := range own() {
		token, raw := ordinary(t, env.Users("GAMMA")[0].Address, to)
		for _, rcpts := range [][]string{{to}, {mario, to}} {
			err := env.Deliver("ALFA", client.Mail{From: env.Users("GAMMA")[0].Address, To: rcpts, Data: bytes.NewReader(raw)})
			refuses(t, "ordinary mail to "+to, err, 550, "5.7.1")
		}
		bounce := fmt.Appendf(nil, "From: MAILER-DAEMON@gamma.example\r\nTo: %s\r\nSubject: bounce %s\r\nDate: Sun, 22 Nov 2026 10:00:00 +0100\r\n"+
			"MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\n"+
			"Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; gamma.example\r\n\r\n"+
			"Final-Recipient: rfc822; x@gamma.example\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n--b--\r\n", to, token)
		err := env.Deliver("ALFA", client.Mail{From: "", To: []string{to}, Data: bytes.NewReader(bounce)})
		refuses(t, "a bounce to "+to, err, 550, "5.7.1")
		settle(t, token, nil)
	}
}

// TestServiceAddressSigned: what providers sign and send there wrongly is kept for the operator and reaches no mailbox.
func TestServiceAddressSigned(t *testing.T) {
	conformance.Covers(t, "C020", "C184")
	mario := env.Users("ALFA")[0].Address
	o := someone(t, "DELTA")
	for _, to := range own() {
		e := o.envelope(t, to).replace(t, "AAECAwQFBgcICQ==", "AAECAwQFBgcICg==")
		deliver(t, "ALFA", e.from, []string{to}, e.raw)
		settle(t, e.token, nil)
		kept(t, "ALFA", e.token, 1)
		logged(t, "ALFA", e.token, ledger.EventKept)

		// A delivery receipt is for the user.
		e = o.draft(t, dora())
		e.data.Sender = address(t, mario)
		raw := o.notice(t, pec.KindDelivery, e.data, to, deliveredTo(t, dora()))
		deliver(t, "ALFA", env["DELTA_PEC_ADDRESS"], []string{to}, raw)
		settle(t, e.token, nil)
		kept(t, "ALFA", e.token, 1)
		logged(t, "ALFA", e.token, ledger.EventKept)

		// In company of the user it is an anomaly for him, and kept as well.
		e = o.draft(t, dora())
		e.data.Sender = address(t, mario)
		raw = o.notice(t, pec.KindDelivery, e.data, mario, deliveredTo(t, dora()))
		deliver(t, "ALFA", env["DELTA_PEC_ADDRESS"], []string{mario, to}, raw)
		found := settle(t, e.token, map[string][]pec.Kind{mario: {pec.KindAnomaly}})
		wantAnomaly(t, "ALFA", found[mario][0], raw, pec.ProblemRouting)
		kept(t, "ALFA", e.token, 1)
		logged(t, "ALFA", e.token, ledger.EventKept, ledger.EventAnomaly)
	}
}

// TestServiceAddressEnvelope: a good envelope for one of these addresses is taken charge of and not delivered.
func TestServiceAddressEnvelope(t *testing.T) {
	conformance.Covers(t, "C124", "C179", "C181", "C184")
	for _, to := range own() {
		e := someone(t, "DELTA").envelope(t, to)
		deliver(t, "ALFA", e.from, []string{to}, e.raw)
		found := settle(t, e.token, map[string][]pec.Kind{
			dora(): {pec.KindNonDelivery}, env["DELTA_MAIL_RECEIPT"]: {pec.KindTakeCharge},
		})
		_, data := sealed(t, found[dora()][0])
		if want := "5.2.1 - " + env["ALFA_PROVIDER"] + " - casella disabilitata"; data.Detail != want || data.Error != pec.ErrorOther {
			t.Errorf("the notice says %s %q, want %q", data.Error, data.Detail, want)
		}
	}
}

// TestServiceNoticeToUser: what providers tell each other never reaches a user, signed as it may be.
func TestServiceNoticeToUser(t *testing.T) {
	conformance.Covers(t, "C020", "C184")
	mario, service := env.Users("ALFA")[0].Address, env.Login("ALFA_SERVICE_USER").Address
	o := someone(t, "DELTA")
	taken := func(c *pec.CertData) { c.Taken = []pec.Address{address(t, dora())} }
	virus := func(c *pec.CertData) {
		deliveredTo(t, dora())(c)
		c.Receipt, c.Error, c.Detail = "", pec.ErrorVirus, "Eicar"
	}
	for _, to := range [][]string{{mario}, {mario, service}} {
		about := o.draft(t, dora())
		about.data.Sender = address(t, mario)
		deliver(t, "ALFA", env["DELTA_PEC_ADDRESS"], to, o.notice(t, pec.KindTakeCharge, about.data, to[0], taken))
		deliver(t, "ALFA", env["DELTA_PEC_ADDRESS"], to, o.notice(t, pec.KindVirusDetection, about.data, to[0], virus))
		settle(t, about.token, nil)
		kept(t, "ALFA", about.token, 2)
		logged(t, "ALFA", about.token, ledger.EventKept, ledger.EventKept)
	}
}

// TestBounceOfReceipt: a receipt that its addressee's server refuses is logged, and told nobody.
func TestBounceOfReceipt(t *testing.T) {
	conformance.Covers(t, "C101", "C160", "C184")
	mario := env.Users("ALFA")[0].Address
	o := someone(t, "DELTA")
	e := o.draft(t, mario)
	e.from = "refused-dora@" + env["DELTA_DOMAIN"]
	e.data.Sender = address(t, e.from)
	e.raw = o.seal(t, o.compose(t, e))
	log := daemonLog(t, "alfa-lda")
	deliver(t, "ALFA", e.from, []string{mario}, e.raw)
	eventually(t, log, "a notification of ours was not delivered")
	settle(t, e.token, map[string][]pec.Kind{
		mario: {pec.KindTransport}, env["DELTA_MAIL_RECEIPT"]: {pec.KindTakeCharge},
	})
	var told []ledger.Record
	for _, r := range records(t, "ALFA", e.token) { // found by the reference
		if r.Event == ledger.EventDSNIgnored {
			told = append(told, r)
		}
	}
	if len(told) != 1 || told[0].Kind != pec.KindDelivery || !strings.Contains(told[0].Detail, "failed 5.1.1 "+e.from) {
		t.Errorf("the log says %s, want once that the delivery receipt did not reach %s", jsonOf(told), e.from)
	}
}
