package clock

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab/client"
	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/pec"
)

// A day of a sender of alfa, in seconds: the cases of RFC 6109 3.1.6 from outside, with a provider that certifies nothing,
// certifies late, or in whose name others certify.
func TestADay(t *testing.T) {
	conformance.Covers(t, "C088", "C089", "C090", "C091", "C092", "C093", "C094", "C095", "C096", "C097", "C098", "C099", "C100", "C131", "C253")
	began, start := time.Now(), ahead(t)
	gino, service := env.Users("GAMMA")[0].Address, env.Login("ALFA_SERVICE_USER").Address
	anna := env.Users("BETA")[0].Address
	neither, taken, between, forged, both := submit(t, dora()), submit(t, dora()), submit(t, dora()), submit(t, dora()), submit(t, anna, gino)
	inService := func(list map[string][]pec.Kind) map[string][]pec.Kind {
		list[service] = []pec.Kind{pec.KindTakeCharge}
		return list
	}
	for _, ref := range []string{neither, taken, between, forged} {
		await(t, ref, mine())
	}
	delivered := inService(map[string][]pec.Kind{sender().Address: kinds(pec.KindDelivery), anna: {pec.KindTransport}, gino: {pec.KindTransport}})
	await(t, both, delivered)
	certify(t, "DELTA", pec.KindTakeCharge, envelopeOf(t, taken))
	await(t, taken, inService(mine()))
	certify(t, "LAB_REVOKED", pec.KindDelivery, envelopeOf(t, forged))
	certify(t, "LAB_STRANGER", pec.KindDelivery, envelopeOf(t, forged))
	anomalies := kinds(pec.KindAnomaly, pec.KindAnomaly)
	await(t, forged, map[string][]pec.Kind{sender().Address: anomalies})

	pass(t, start, 11*time.Hour+50*time.Minute)
	await(t, neither, mine())
	pass(t, start, 12*time.Hour+5*time.Minute)
	await(t, neither, mine(pec.KindTimeout))
	await(t, between, mine(pec.KindTimeout))
	await(t, forged, map[string][]pec.Kind{sender().Address: append(anomalies, pec.KindTimeout)})
	await(t, taken, inService(mine()))
	pending := ceralacca(t, "pending", "--older", "12h", "--config", env["ALFA_CONFIG"])
	if n := strings.Count(pending, "→ "+dora()); n != 4 || strings.Count(pending, "; 24h notice ") != 4 || strings.Count(pending, ": taken in charge ") != 1 {
		t.Errorf("pending lists\n%s\nwant four, one of them taken in charge", pending)
	}
	certify(t, "DELTA", pec.KindDelivery, envelopeOf(t, between))
	await(t, between, mine(pec.KindTimeout, pec.KindDelivery))

	pass(t, start, 21*time.Hour+55*time.Minute)
	await(t, neither, mine(pec.KindTimeout))
	pass(t, start, 23*time.Hour+20*time.Minute)
	found := await(t, neither, mine(pec.KindTimeout, pec.KindTimeout))
	await(t, taken, inService(mine(pec.KindTimeout)))
	await(t, forged, map[string][]pec.Kind{sender().Address: append(anomalies, pec.KindTimeout, pec.KindTimeout)})
	await(t, between, mine(pec.KindTimeout, pec.KindDelivery))
	await(t, both, delivered)
	if pending := ceralacca(t, "pending", "--config", env["ALFA_CONFIG"]); pending != "" {
		t.Errorf("pending lists after the last notices\n%s", pending)
	}

	pass(t, start, 48*time.Hour)
	certify(t, "DELTA", pec.KindDelivery, envelopeOf(t, neither)) // late, and delivered all the same
	await(t, neither, mine(pec.KindTimeout, pec.KindTimeout, pec.KindDelivery))
	for _, host := range []string{"ALFA", "BETA"} {
		ceralacca(t, "audit", "--config", env[host+"_CONFIG"])
		ceralacca(t, "audit", "--grace", "0s", "--config", env[host+"_CONFIG"])
	}
	t.Logf("a day, and another, passed in %s", time.Since(began).Round(time.Second))

	details := map[string]bool{}
	for _, m := range found[sender().Address] {
		if m.Kind() == pec.KindTimeout {
			details[wantNotice(t, m, neither)] = true
		}
	}
	said := env["ALFA_PROVIDER"] + " - il messaggio non è stato consegnato nelle prime "
	if !details[said+"dodici ore dal suo invio"] || !details["5.4.1 - "+said+"ventiquattro ore dal suo invio"] {
		t.Errorf("the notices say %v", details)
	}
}

// wantNotice checks a time notice with OpenSSL and with our own verify, and returns its error text.
func wantNotice(t *testing.T, m *client.Message, ref string) string {
	t.Helper()
	if _, err := client.OpenSSL(t.Context(), m.Raw, env["LAB_CA"], env["LAB_CRL"]); err != nil {
		t.Error(err)
	}
	parts, data := opened(t, m.Raw)
	for field, want := range map[string]string{
		"X-Ricevuta": "preavviso-errore-consegna", "To": sender().Address, "From": env["ALFA_PEC_ADDRESS"], "X-Riferimento-Message-ID": ref,
	} {
		if got := m.Header.Get(field); got != want {
			t.Errorf("%s is %q, want %q", field, got, want)
		}
	}
	if got := pec.DecodeText(m.Header.Get("Subject")); got != "AVVISO DI MANCATA CONSEGNA PER SUP. TEMPO MASSIMO: Perch=E9" {
		t.Errorf("the subject is %q", got)
	}
	if parts.Original != nil || data.Delivery == nil || data.Delivery.String() != dora() || data.MessageID != ref || data.Error != pec.ErrorOther {
		t.Errorf("the notice has an original (%v), or says %+v", parts.Original != nil, data)
	}
	file := filepath.Join(t.TempDir(), "notice.eml")
	if err := os.WriteFile(file, m.Raw, 0o600); err != nil {
		t.Fatal(err)
	}
	ceralacca(t, "verify", "--ca", env["LAB_CA"], file)
	return data.Detail
}
