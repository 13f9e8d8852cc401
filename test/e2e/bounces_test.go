package e2e

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/internal/ledger"
	"github.com/ceralacca/ceralacca/pec"
)

// TestOrdinaryRecipientRefused: the report of an ordinary recipient reaches the sender in an anomaly envelope that says why
// in Italian.
func TestOrdinaryRecipientRefused(t *testing.T) {
	conformance.Covers(t, "C101", "C132", "C139", "C142")
	from := env.Users("ALFA")[0]
	to := "nessuno@" + env["GAMMA_DOMAIN"]
	l := write(t, from.Address, []string{to}, nil)
	submit(t, "ALFA", from, l)
	found := settle(t, l.ref, map[string][]pec.Kind{from.Address: {pec.KindAcceptance, pec.KindAnomaly}})
	m := pick(t, found[from.Address], pec.KindAnomaly)
	parts, _ := sealed(t, m)
	report := read(t, parts.Original)
	wantAnomaly(t, "ALFA", m, []byte(report), pec.ProblemUndelivered)
	if text := plain(t, parts.Text); !strings.Contains(text, to+": indirizzo non valido") {
		t.Errorf("the text does not say what happened to %s:\n%s", to, text)
	}
	if !strings.Contains(report, "Final-Recipient: rfc822; "+to) || !strings.Contains(report, "Status: 5.1.1") {
		t.Errorf("the report is not Postfix's:\n%s", report)
	}
	_, data := sealed(t, pick(t, found[from.Address], pec.KindAcceptance))
	logged(t, "ALFA", string(data.Identifier), ledger.EventAcceptance, ledger.EventEnvelope, ledger.EventDSN)
}

// failure submits to one recipient of another provider who cannot be reached, and checks the non-delivery notice of alfa.
func failure(t *testing.T, to, detail string, class pec.ErrorCode) {
	t.Helper()
	from := env.Users("ALFA")[0]
	l := write(t, from.Address, []string{to}, nil)
	submit(t, "ALFA", from, l)
	found := settle(t, l.ref, map[string][]pec.Kind{from.Address: {pec.KindAcceptance, pec.KindNonDelivery}})
	parts, data := sealed(t, pick(t, found[from.Address], pec.KindNonDelivery))
	if data.Detail != detail || data.Error != class || data.Delivery.String() != to || data.Provider != env["ALFA_PROVIDER"] {
		t.Errorf("the notice is by %s for %s and says %s %q, want %s %q", data.Provider, data.Delivery, data.Error, data.Detail, class, detail)
	}
	if !strings.Contains(plain(t, parts.Text), detail) {
		t.Errorf("the text does not say %q:\n%s", detail, plain(t, parts.Text))
	}
	logged(t, "ALFA", string(data.Identifier), ledger.EventAcceptance, ledger.EventEnvelope, ledger.EventDSN, ledger.EventNonDelivery)
}

// TestCertifiedRecipientRefused: when the server of another provider refuses, the notice is ours to give.
func TestCertifiedRecipientRefused(t *testing.T) {
	conformance.Covers(t, "C101", "C180", "C181", "C252")
	failure(t, "refused@"+env["DELTA_DOMAIN"], "5.1.1 - "+env["ALFA_PROVIDER"]+" - indirizzo non valido", pec.ErrorRecipient)
}

// TestUnknownDomain is a domain that does not exist, of which nobody is a provider.
func TestUnknownDomain(t *testing.T) {
	conformance.Covers(t, "C101", "C132", "C139")
	from := env.Users("ALFA")[0]
	to := "nessuno@inesistente.invalid"
	l := write(t, from.Address, []string{to}, nil)
	submit(t, "ALFA", from, l)
	found := settle(t, l.ref, map[string][]pec.Kind{from.Address: {pec.KindAcceptance, pec.KindAnomaly}})
	m := pick(t, found[from.Address], pec.KindAnomaly)
	parts, _ := sealed(t, m)
	if text := wantAnomaly(t, "ALFA", m, []byte(read(t, parts.Original)), pec.ProblemUndelivered); !strings.Contains(text, to+": dominio non valido") {
		t.Errorf("the text does not say what happened to %s:\n%s", to, text)
	}
}

// TestLifetimeExpired: what could not be sent in the time that Postfix has for it is answered by our notice.
func TestLifetimeExpired(t *testing.T) {
	conformance.Covers(t, "C101", "C102", "C181")
	for _, name := range []string{"maximal_queue_lifetime", "bounce_queue_lifetime"} {
		if got, err := exec.Command("postconf", "-c", env["ALFA_OUT_CONFIG"], "-h", name).Output(); err != nil || string(got) != "1d\n" {
			t.Errorf("%s of out is %q (%v), want a day", name, got, err)
		}
	}
	postfixSet(t, "ALFA_OUT_CONFIG", "ALFA_OUT_LOG", "maximal_queue_lifetime=1s", "bounce_queue_lifetime=1s")
	post.close()
	t.Cleanup(func() {
		if err := post.open(); err != nil {
			t.Error(err)
		}
	})
	failure(t, dora(), "5.4.7 - "+env["ALFA_PROVIDER"]+" - tempo massimo di consegna superato", pec.ErrorOther)
}
