package lab_test

import (
	"context"
	"errors"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/emersion/go-smtp"

	"github.com/ceralacca/ceralacca/deploy/lab"
	"github.com/ceralacca/ceralacca/deploy/lab/client"
	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/internal/socket"
	"github.com/ceralacca/ceralacca/internal/tlspolicy"
)

// fakePolicies stand in for the agent's directory: everybody but gamma and alfa's ordinary domain is a provider.
type fakePolicies struct{ silent atomic.Bool }

func (*fakePolicies) Certifies(string) bool { return false } // the lab's next hops are addresses

func startPolicies(w *world, h *lab.Host) (*fakePolicies, error) {
	l, err := socket.Listen("unix", h.TLSPolicySocket)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(h.TLSPolicySocket, 0o666); err != nil { // a daemon's group would be Postfix's
		return nil, err
	}
	hop := func(address string, port int) string { return "[" + address + "]:" + strconv.Itoa(port) }
	rules := tlspolicy.Rules{Ordinary: []string{hop(w.Gamma.Address, w.Gamma.MXPort), hop(w.Alfa.Address, w.Alfa.OrdinaryMXPort)}}
	p := &fakePolicies{}
	go func() { // ends with the test program
		_ = tlspolicy.Serve(context.Background(), l, func(hop string) (string, bool, error) {
			if p.silent.Load() {
				return "", false, errors.New("no directory")
			}
			policy, ok := rules.Of(hop, p)
			return policy, ok, nil
		}, func(cause any) { panic(cause) })
	}()
	return p, nil
}

// plainDelta is a server of delta's without TLS.
func plainDelta(t *testing.T) *fakeAgent {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(shared.Delta.Host, strconv.Itoa(shared.Delta.SinkPort)))
	if err != nil {
		t.Fatal(err)
	}
	sink := &fakeAgent{}
	s := smtp.NewServer(sink)
	s.Domain = "delta"
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	return sink
}

// leave hands a message to out as the agent does, and returns what out's log has had since.
func leave(t *testing.T, to, subject string) func() string {
	t.Helper()
	h := shared.Alfa
	before, err := os.ReadFile(h.OutLog)
	if err != nil {
		t.Fatal(err)
	}
	c := dialOut(t, h, h.OutCert, h.OutKey)
	mail := client.Mail{From: h.PECAddress, To: []string{to}, Data: strings.NewReader("Subject: " + subject + "\r\n\r\nx\r\n")}
	if err := client.Transact(c, mail); err != nil {
		t.Fatal(err)
	}
	return func() string {
		log, err := os.ReadFile(h.OutLog)
		if err != nil {
			t.Fatal(err)
		}
		return string(log[len(before):])
	}
}

// TestNothingLeavesWithoutThePolicy: while nobody says who is a provider, what leaves waits, also for who offers TLS; nothing is
// sent in clear, and nothing bounces. Then it goes.
func TestNothingLeavesWithoutThePolicy(t *testing.T) {
	conformance.Covers(t, "C226", "C228", "C230")
	sink := plainDelta(t)
	policies := shared.policies["alfa"]
	policies.silent.Store(true)
	t.Cleanup(func() { policies.silent.Store(false) })
	to := shared.Gamma.Users[2]
	log := leave(t, to.Address, "waits for the policy")
	toDelta := leave(t, "y@"+shared.Delta.Domain, "waits as well")
	for _, log := range []func() string{log, toDelta} {
		eventually(t, patience, "out waits for the policy", func() bool {
			return strings.Contains(log(), "TLS policy lookup error") && strings.Contains(log(), "status=deferred")
		})
	}
	if strings.Contains(log(), "status=sent") || strings.Contains(log(), "status=bounced") || len(sink.taken) > 0 {
		t.Errorf("without a policy:\n%s", log())
	}
	policies.silent.Store(false)
	inbox(t, "GAMMA", to, "waits for the policy")
}

// TestOrdinaryDomainWithoutTLS: who is no provider is written to as before.
func TestOrdinaryDomainWithoutTLS(t *testing.T) {
	config := shared.Gamma.PostfixConfig
	setMain(t, config, "smtpd_tls_security_level=none")
	defer setMain(t, config, "smtpd_tls_security_level=may")
	to := shared.Gamma.Users[1]
	leave(t, to.Address, "in clear")
	got := string(inbox(t, "GAMMA", to, "in clear"))
	if strings.Contains(got, "with ESMTPS") && !strings.Contains(got, "with ESMTP id") {
		t.Errorf("it came by TLS, so that this proves nothing:\n%s", got)
	}
}
