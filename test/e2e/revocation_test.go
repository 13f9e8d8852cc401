package e2e

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab/client"
	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/signer"
)

// publishList has the lab's authority publish a list that revokes LAB_REVOKED_CERT and these certificates, and lasts so long.
func publishList(t *testing.T, lasts time.Duration, revoked ...string) {
	t.Helper()
	ca, err := tls.LoadX509KeyPair(env["LAB_CA"], env["LAB_CA_KEY"])
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	list := &x509.RevocationList{Number: big.NewInt(now.Unix()), ThisUpdate: now, NextUpdate: now.Add(lasts)}
	for _, name := range append([]string{"LAB_REVOKED"}, revoked...) {
		certs, err := signer.ReadCertificates(env[name+"_CERT"])
		if err != nil {
			t.Fatal(err)
		}
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{
			SerialNumber: certs[0].SerialNumber, RevocationTime: now.Add(-time.Second)})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, ca.Leaf, ca.PrivateKey.(crypto.Signer))
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
	if err := os.WriteFile(env["LAB_CRL"]+".new", text, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(env["LAB_CRL"]+".new", env["LAB_CRL"]); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Until(now.Truncate(time.Second).Add(1100 * time.Millisecond))) // the next list has another instant
}

// number is that of a line of alfa's milter's metrics, 0 when it is not there.
func number(t *testing.T, line string) float64 {
	t.Helper()
	response, err := http.Get("http://" + net.JoinHostPort(env["ALFA_HOST"], env["ALFA_MILTER_METRICS_PORT"]) + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	page, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	for one := range strings.Lines(string(page)) {
		if value, found := strings.CutPrefix(one, line+" "); found {
			n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	return 0
}

// becomes waits until a condition holds, and says how long it took.
func becomes(t *testing.T, what string, limit time.Duration, holds func() bool) {
	t.Helper()
	start := time.Now()
	for !holds() {
		if time.Since(start) > limit {
			t.Fatalf("%s: not within %v", what, limit)
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Logf("%s: after %v", what, time.Since(start).Round(100*time.Millisecond))
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
	to := env.Users("ALFA")[0].Address
	t.Cleanup(func() { publishList(t, 30*24*time.Hour, "LAB_LEAVING") })
	passes(t, "LAB_LEAVING")

	before := number(t, taken)
	publishList(t, 30*24*time.Hour, "LAB_LEAVING")
	becomes(t, "the revocation is known", 15*time.Second, func() bool { return number(t, taken) > before })
	e := someone(t, "LAB_LEAVING").envelope(t, to)
	deliver(t, "ALFA", e.from, []string{to}, e.raw)
	found := settle(t, e.token, map[string][]pec.Kind{to: {pec.KindAnomaly}})
	wantAnomaly(t, "ALFA", found[to][0], e.raw, pec.ProblemRevoked)
	passes(t, "DELTA")

	before = number(t, alarms)
	if err := os.Remove(env["LAB_CRL"]); err != nil {
		t.Fatal(err)
	}
	becomes(t, "the server that fails is an alarm", 30*time.Second, func() bool { return number(t, alarms) > before })
	passes(t, "DELTA")

	before = number(t, taken)
	publishList(t, 3*time.Second)
	becomes(t, "a list that ends soon is in use", 15*time.Second, func() bool { return number(t, taken) > before })
	if err := os.Remove(env["LAB_CRL"]); err != nil {
		t.Fatal(err)
	}
	time.Sleep(5 * time.Second)
	e = someone(t, "DELTA").envelope(t, to)
	err := env.Deliver("ALFA", client.Mail{From: e.from, To: []string{to}, Data: bytes.NewReader(e.raw)})
	refuses(t, "mail while no list holds", err, 451, "4.3.0")
	if number(t, deferred) == 0 {
		t.Errorf("the metrics do not say %s", deferred)
	}
	before = number(t, taken)
	publishList(t, 30*24*time.Hour, "LAB_LEAVING")
	becomes(t, "a new list is in use", 15*time.Second, func() bool { return number(t, taken) > before })
	deliver(t, "ALFA", e.from, []string{to}, e.raw)
	settle(t, e.token, map[string][]pec.Kind{to: {pec.KindTransport}, dora(): {pec.KindDelivery}, env["DELTA_MAIL_RECEIPT"]: {pec.KindTakeCharge}})
	if out, err := exec.CommandContext(t.Context(), env["LAB_BIN"], "cert", "check", "--config", env["ALFA_CONFIG"]).CombinedOutput(); err != nil {
		t.Errorf("cert check: %v\n%s", err, out)
	}
}
