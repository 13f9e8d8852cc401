package e2e

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"os"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab/client"
	"github.com/ceralacca/ceralacca/deploy/lab/pki"
	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/signer"
)

// publishList has the lab's authority publish a list that revokes LAB_REVOKED_CERT and these certificates, and lasts so long.
func publishList(t *testing.T, lasts time.Duration, revoked ...string) {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(env["LAB_CA"], env["LAB_CA_KEY"])
	if err != nil {
		t.Fatal(err)
	}
	var certs []*x509.Certificate
	for _, name := range append([]string{"LAB_REVOKED"}, revoked...) {
		read, err := signer.ReadCertificates(env[name+"_CERT"])
		if err != nil {
			t.Fatal(err)
		}
		certs = append(certs, read[0])
	}
	ca, now := pki.Authority{Pair: pki.Pair{Cert: pair.Leaf, Key: pair.PrivateKey.(crypto.Signer)}}, time.Now()
	text, err := ca.List(now, now.Add(lasts), certs...)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(env["LAB_CRL"]+".new", text, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(env["LAB_CRL"]+".new", env["LAB_CRL"]); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Until(now.Truncate(time.Second).Add(1100 * time.Millisecond))) // the next list has another instant
}

// takes waits until alfa's milter has taken a list that is published now.
func takes(t *testing.T, what string, lasts time.Duration, revoked ...string) {
	t.Helper()
	before := number(t, taken)
	publishList(t, lasts, revoked...)
	becomes(t, what, 15*time.Second, func() bool { return number(t, taken) > before })
}

// number is that of a line of the metrics of alfa's milter.
func number(t *testing.T, line string) float64 {
	t.Helper()
	return metric(t, "ALFA", "MILTER_METRICS_PORT", line)
}

const (
	taken    = `ceralacca_revocation_fetches_total{outcome="taken"}`
	deferred = `ceralacca_revocation_unknown_total{outcome="deferred"}`
	alarms   = `ceralacca_alarms_total{alarm="revocation"}`
)

// passes has delta send to alfa, and fails the test unless the envelope arrives as one.
func passes(t *testing.T, name string) {
	t.Helper()
	to := env.Users("ALFA")[0].Address
	e := someone(t, name).envelope(t, to)
	deliver(t, "ALFA", e.from, []string{to}, e.raw)
	settle(t, e.token, map[string][]pec.Kind{to: {pec.KindTransport}, dora(): {pec.KindDelivery}, env["DELTA_MAIL_RECEIPT"]: {pec.KindTakeCharge}})
}

// TestRevokedWhileRunning: while the daemons run, and without a word to them, a certificate is revoked, the server of the list
// fails, the list ends, and the server comes back.
func TestRevokedWhileRunning(t *testing.T) {
	conformance.Covers(t, "C111", "C113", "C118")
	const month = 30 * 24 * time.Hour
	to := env.Users("ALFA")[0].Address
	t.Cleanup(func() { takes(t, "nothing more is revoked for the other tests", month) })
	passes(t, "LAB_LEAVING")

	takes(t, "the revocation is known", month, "LAB_LEAVING")
	e := someone(t, "LAB_LEAVING").envelope(t, to)
	deliver(t, "ALFA", e.from, []string{to}, e.raw)
	found := settle(t, e.token, map[string][]pec.Kind{to: {pec.KindAnomaly}})
	wantAnomaly(t, "ALFA", found[to][0], e.raw, pec.ProblemRevoked)
	passes(t, "DELTA")

	before := number(t, alarms)
	if err := os.Remove(env["LAB_CRL"]); err != nil {
		t.Fatal(err)
	}
	becomes(t, "the server that fails is an alarm", 30*time.Second, func() bool { return number(t, alarms) > before })
	passes(t, "DELTA")

	takes(t, "a list that ends soon is in use", 3*time.Second)
	if err := os.Remove(env["LAB_CRL"]); err != nil {
		t.Fatal(err)
	}
	time.Sleep(5 * time.Second)
	before = number(t, deferred)
	e = someone(t, "DELTA").envelope(t, to)
	err := env.Deliver("ALFA", client.Mail{From: e.from, To: []string{to}, Data: bytes.NewReader(e.raw)})
	refuses(t, "mail while no list holds", err, 451, "4.3.0")
	if number(t, deferred) <= before {
		t.Errorf("the metrics do not say %s", deferred)
	}
	takes(t, "a new list is in use", month, "LAB_LEAVING")
	deliver(t, "ALFA", e.from, []string{to}, e.raw)
	settle(t, e.token, map[string][]pec.Kind{to: {pec.KindTransport}, dora(): {pec.KindDelivery}, env["DELTA_MAIL_RECEIPT"]: {pec.KindTakeCharge}})
	if code, out := commandOf(t, "ALFA", "cert", "check"); code != 0 {
		t.Errorf("cert check: %d\n%s", code, out)
	}
}
