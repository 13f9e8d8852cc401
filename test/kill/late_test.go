package kill

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/ceralacca/ceralacca/deploy/lab/client"
	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/pec"
)

// A Dovecot that is away for 23 hours: beta puts off, then gives the sender its coded non-delivery, and Postfix has
// nothing left. When Dovecot comes back nothing is delivered.
func TestLateAtBeta(t *testing.T) {
	conformance.Covers(t, "C102", "C179", "C181")
	if err := world.Processes().Halt("beta-dovecot"); err != nil {
		t.Fatal(err)
	}
	back := func() {
		if world.Processes().PID("beta-dovecot") == 0 {
			if err := world.Resume(context.Background(), "beta-dovecot"); err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(back)
	late(t, "BETA", env.Users("BETA")[0].Address, back)
}

// A mailbox of alfa that cannot be opened, for a sender of alfa.
func TestLateAtHome(t *testing.T) {
	conformance.Covers(t, "C102", "C179", "C181", "C183")
	to := env.Users("ALFA")[2].Address
	home := filepath.Join(world.Runtime(), "alfa", "mail", env["ALFA_DOMAIN"], strings.Split(to, "@")[0])
	owner, err := os.Stat(filepath.Dir(home))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.MkdirAll(home, 0o700), os.Chmod(home, 0)); err != nil {
		t.Fatal(err)
	}
	back := func() {
		uid := int(owner.Sys().(*syscall.Stat_t).Uid)
		if err := errors.Join(os.Chown(home, uid, uid), os.Chmod(home, 0o700)); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(back)
	late(t, "ALFA", to, back)
}

// late submits to a mailbox of a host that takes nothing now, lets 23 hours go by for the daemons (Postfix's own clock
// stays), and has the mailbox come back when the host has ended the transaction.
func late(t *testing.T, host, to string, back func()) {
	t.Helper()
	from := env.Users("ALFA")[0]
	ref := submit(t, from, to)
	deferred(t, host+"_POSTFIX_CONFIG", "said: 451")
	if has(t, ref, pec.KindNonDelivery) {
		t.Error("the sender has the non-delivery at once")
	}
	set(t, "clock", "23h")
	t.Cleanup(func() { unset("clock") })
	flushed(t, "the sender has the non-delivery", func() bool { return has(t, ref, pec.KindNonDelivery) })
	until(t, "the queue is empty", func() bool { return len(queue(t, host+"_POSTFIX_CONFIG")) == 0 })
	back()
	found := settle(t, ref, map[string][]pec.Kind{
		from.Address: {pec.KindAcceptance, pec.KindNonDelivery}, service("ALFA"): {pec.KindTakeCharge},
	})
	for _, m := range found[from.Address] {
		if code := []byte("5.4.7 - " + env[host+"_PROVIDER"]); m.Kind() == pec.KindNonDelivery && !bytes.Contains(certData(t, m), code) {
			t.Errorf("the notice does not say %s:\n%s", code, certData(t, m))
		}
	}
}

func certData(t *testing.T, m *client.Message) []byte {
	t.Helper()
	signed, err := client.OpenSSL(t.Context(), m.Raw, env["LAB_CA"], env["LAB_CRL"])
	if err != nil {
		t.Fatal(err)
	}
	parts, err := pec.ReadParts(pec.Bytes(signed))
	if err != nil {
		t.Fatal(err)
	}
	return parts.CertData
}

// What was delivered before the agent died is delivered, however late Postfix presents it again.
func TestLateAfterDelivery(t *testing.T) {
	conformance.Covers(t, "C102", "C160", "C165")
	for _, point := range []string{"beta after done delivery", "beta after handover delivery", "beta after handover outcome"} {
		var ref string
		var want map[string][]pec.Kind
		killed(t, point, func() {
			ref, want = exchange(t)
			until(t, "the agent was killed", func() bool { return is("killed") })
		})
		set(t, "clock", "23h")
		t.Cleanup(func() { unset("clock") })
		settle(t, ref, want)
		unset("clock")
	}
}

// has says whether the sender's mailbox has a message of a kind about ref.
func has(t *testing.T, ref string, kind pec.Kind) bool {
	t.Helper()
	list, err := env.Holding("ALFA", env.Users("ALFA")[0], ref)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range list {
		if m.Kind() == kind {
			return true
		}
	}
	return false
}
