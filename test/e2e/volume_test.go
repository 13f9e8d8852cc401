package e2e

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab/client"
	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/signer"
)

// TestThirtyMegabytes: the size that the law guarantees, through both providers and back, byte for byte.
func TestThirtyMegabytes(t *testing.T) {
	conformance.Covers(t, "C046", "C084", "C161", "C167", "C177")
	mario, bruno := env.Users("ALFA")[0], env.Users("BETA")[0].Address
	tidy(t, []string{"larger", "1M"}, client.Mailbox{Host: "ALFA", Login: mario}, client.Mailbox{Host: "BETA", Login: env.Users("BETA")[0]})
	l := write(t, mario.Address, []string{bruno}, nil)
	line := []byte("....." + strings.Repeat("\xe8\x80From ", 13) + "..\r\n")
	l.raw = append(l.raw, bytes.Repeat(line, (30<<20-len(l.raw))/len(line))...)
	login(t, "ALFA", mario).mustSend(l)
	found := settle(t, l.ref, map[string][]pec.Kind{
		mario.Address: {pec.KindAcceptance, pec.KindDelivery}, bruno: {pec.KindTransport},
		env.Login("ALFA_SERVICE_USER").Address: {pec.KindTakeCharge},
	})
	parts, data := sealed(t, found[bruno][0])
	want := l.kept(nil, data.Identifier)
	if read(t, parts.Original) != want {
		t.Error("the original in the envelope is not what was sent")
	}
	returned, _ := sealed(t, pick(t, found[mario.Address], pec.KindDelivery))
	if read(t, returned.Original) != want {
		t.Error("the original in the delivery receipt is not what was sent")
	}
}

// TestManyHundredRecipients: five hundred of two providers, most of them without a mailbox: each is taken charge of once
// and has one outcome, whatever the pieces in which Postfix carries them.
func TestManyHundredRecipients(t *testing.T) {
	conformance.Covers(t, "C031", "C073", "C125", "C126", "C127", "C165", "C179", "C181", "C183", "C206")
	mario, beta, luigi := env.Users("ALFA")[0], env.Users("BETA"), env.Users("ALFA")[1].Address
	to := []string{beta[0].Address, beta[1].Address, luigi}
	for i := len(to); i < 500; i++ {
		host := "BETA"
		if i%5 == 0 {
			host = "ALFA"
		}
		to = append(to, fmt.Sprintf("unknown-%03d@%s", i, env[host+"_DOMAIN"]))
	}
	l := write(t, mario.Address, to, nil, pec.FieldReceiptKind+": "+string(pec.ReceiptConcise))
	service := env.Login("ALFA_SERVICE_USER").Address
	search := []string{"header", pec.FieldReference, l.ref}
	tidy(t, search, client.Mailbox{Host: "ALFA", Login: mario}, client.Mailbox{Host: "ALFA", Login: env.Login("ALFA_SERVICE_USER")})
	login(t, "ALFA", mario).mustSend(l)
	found := flows(t, l.ref, func() bool {
		_, outcomes := covered(t, l.ref)
		return len(outcomes) == len(to)
	})
	taken, outcomes := covered(t, l.ref)
	for _, a := range to {
		kind := pec.KindNonDelivery
		if !strings.HasPrefix(a, "unknown-") {
			kind = pec.KindDelivery
		}
		if taken[a] != 1 || len(outcomes[a]) != 1 || outcomes[a][0] != kind {
			t.Errorf("%s is taken charge of %d times and has the outcomes %v, want one %s", a, taken[a], outcomes[a], kind)
		}
	}
	if len(taken) != len(to) || len(outcomes) != len(to) || len(found) != 5 {
		t.Errorf("%d recipients are taken charge of, %d have an outcome, %d mailboxes hold something", len(taken), len(outcomes), len(found))
	}
	for _, a := range to[:3] {
		if len(found[a]) != 1 || found[a][0].Kind() != pec.KindTransport {
			t.Errorf("%s holds %d messages", a, len(found[a]))
		}
	}
	var acceptances int
	for _, m := range found[mario.Address] {
		if m.Kind() == pec.KindAcceptance {
			_, data := sealed(t, m)
			if acceptances++; len(data.Recipients) != len(to) {
				t.Errorf("the acceptance receipt lists %d recipients", len(data.Recipients))
			}
		}
	}
	if acceptances != 1 || len(found[mario.Address]) != 1+len(to) || len(found[service]) > 100 {
		t.Errorf("%d acceptance receipts, %d messages for the sender, %d take-charges", acceptances, len(found[mario.Address]), len(found[service]))
	}
}

// tidy removes the messages that a search of doveadm finds from mailboxes when the test ends: the searches of those that
// follow would read them again and again.
func tidy(t *testing.T, search []string, boxes ...client.Mailbox) {
	t.Helper()
	t.Cleanup(func() {
		for _, box := range boxes {
			args := append([]string{"-c", env[box.Host+"_DOVECOT_CONFIG"], "expunge", "-u", box.Login.Address, "mailbox", "INBOX"}, search...)
			if out, err := exec.Command("doveadm", args...).CombinedOutput(); err != nil {
				t.Errorf("doveadm %v: %v\n%s", args, err, out)
			}
		}
	})
}

// flows waits until done says so and all queues are empty, and returns what all mailboxes hold about text.
func flows(t *testing.T, text string, done func() bool) map[string][]*client.Message {
	t.Helper()
	end := time.Now().Add(4 * patience) // hundreds of notices, on a busy machine
	for env.QueuesEmpty(t.Context()) != nil || !done() {
		if time.Now().After(end) {
			t.Errorf("not everything about %s has come; queues: %v", text, env.QueuesEmpty(t.Context()))
			break
		}
		time.Sleep(200 * time.Millisecond)
	}
	return about(t, text)
}

// covered says of the recipients of a message of alfa how many take-charges name each and what outcomes it has, by the
// certification data of all that came back.
func covered(t *testing.T, text string) (taken map[string]int, outcomes map[string][]pec.Kind) {
	t.Helper()
	taken, outcomes = map[string]int{}, map[string][]pec.Kind{}
	for _, user := range []client.Login{env.Users("ALFA")[0], env.Login("ALFA_SERVICE_USER")} {
		list, err := env.Holding("ALFA", user, text)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range list {
			signed, err := signer.Open(m.Source())
			if err != nil {
				t.Fatal(err)
			}
			parts, err := pec.ReadParts(signed.Content)
			if err != nil {
				t.Fatal(err)
			}
			data, err := pec.ParseCertData(parts.CertData)
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range data.Taken {
				taken[a.String()]++
			}
			if data.Delivery != nil {
				outcomes[data.Delivery.String()] = append(outcomes[data.Delivery.String()], m.Kind())
			}
		}
	}
	return taken, outcomes
}
