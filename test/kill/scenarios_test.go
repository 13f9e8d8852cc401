package kill

import (
	"bytes"
	"strings"
	"testing"

	"github.com/emersion/go-smtp"

	"github.com/ceralacca/ceralacca/deploy/lab/client"
	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/pec"
)

// scenario sends something and returns its Message-ID and what must lie in the mailboxes at the end.
type scenario func(t *testing.T) (ref string, want map[string][]pec.Kind)

// killAt runs a scenario whose agent dies once at a point ("beta before handover delivery"). Whatever the point, the
// end is the same as if nothing had happened.
func killAt(t *testing.T, point string, run scenario) {
	conformance.Covers(t, "C159", "C165")
	killed(t, strings.TrimSpace(point), func() {
		ref, want := run(t)
		settle(t, ref, want)
		clearOut(t, want)
	})
}

func service(host string) string { return env.Login(host + "_SERVICE_USER").Address }

// exchange: alfa to beta, one recipient.
func exchange(t *testing.T) (string, map[string][]pec.Kind) {
	from, to := env.Users("ALFA")[0], env.Users("BETA")[0].Address
	return submit(t, from, to), map[string][]pec.Kind{
		from.Address:    {pec.KindAcceptance, pec.KindDelivery},
		to:              {pec.KindTransport},
		service("ALFA"): {pec.KindTakeCharge},
	}
}

// local: within alfa.
func local(t *testing.T) (string, map[string][]pec.Kind) {
	from, to := env.Users("ALFA")[0], env.Users("ALFA")[1].Address
	return submit(t, from, to), map[string][]pec.Kind{
		from.Address:    {pec.KindAcceptance, pec.KindDelivery},
		to:              {pec.KindTransport},
		service("ALFA"): {pec.KindTakeCharge},
	}
}

// nonDelivery: alfa to a mailbox that beta does not have.
func nonDelivery(t *testing.T) (string, map[string][]pec.Kind) {
	from := env.Users("ALFA")[0]
	return submit(t, from, env["BETA_UNKNOWN"]), map[string][]pec.Kind{
		from.Address:    {pec.KindAcceptance, pec.KindNonDelivery},
		service("ALFA"): {pec.KindTakeCharge},
	}
}

// refusal: a hidden recipient.
func refusal(t *testing.T) (string, map[string][]pec.Kind) {
	from, to, hidden := env.Users("ALFA")[0], env.Users("BETA")[0].Address, env.Users("BETA")[1].Address
	ref, raw := letter(t, from.Address, to)
	if err := env.Submit("ALFA", from, client.Mail{From: from.Address, To: []string{to, hidden}, Data: bytes.NewReader(raw)}); err != nil {
		t.Fatal(err)
	}
	return ref, map[string][]pec.Kind{from.Address: {pec.KindNonAcceptance}}
}

// ordinary: gamma to alfa.
func ordinary(t *testing.T) (string, map[string][]pec.Kind) {
	from, to := env.Users("GAMMA")[0], env.Users("ALFA")[0].Address
	ref, raw := letter(t, from.Address, to)
	if err := env.Deliver("ALFA", client.Mail{From: from.Address, To: []string{to}, Data: bytes.NewReader(raw)}); err != nil {
		t.Fatal(err)
	}
	return ref, map[string][]pec.Kind{to: {pec.KindAnomaly}}
}

// bounce: alfa to an ordinary mailbox that does not exist; the failure reaches the sender in an anomaly envelope.
func bounce(t *testing.T) (string, map[string][]pec.Kind) {
	from := env.Users("ALFA")[0]
	ref := submit(t, from, "nobody@"+env["GAMMA_DOMAIN"])
	return ref, map[string][]pec.Kind{from.Address: {pec.KindAcceptance, pec.KindAnomaly}}
}

// remoteFailure: alfa to a provider whose host refuses.
func remoteFailure(t *testing.T) (string, map[string][]pec.Kind) {
	refusal := &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"}
	sink, err := env.ListenSink(refusal)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sink.Close() })
	from := env.Users("ALFA")[0]
	return submit(t, from, "x@"+env["DELTA_DOMAIN"]), map[string][]pec.Kind{from.Address: {pec.KindAcceptance, pec.KindNonDelivery}}
}

// kept: what alfa itself signed comes back from the network to the service address. It is signed by a provider and
// wrong, and so goes to no mailbox.
func kept(t *testing.T) (string, map[string][]pec.Kind) {
	from, to := env.Users("ALFA")[0], env.Users("BETA")[0].Address
	ref, want := exchange(t)
	found := settle(t, ref, want)
	again := client.Mail{From: from.Address, To: []string{service("ALFA")}, Data: bytes.NewReader(found[to][0].Raw)}
	if err := env.Deliver("ALFA", again); err != nil {
		t.Fatal(err)
	}
	return ref, want
}
