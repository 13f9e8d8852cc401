package e2e

import (
	"bytes"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ceralacca/ceralacca/deploy/lab/client"
	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/pec"
)

// TestFaultReachesNobody: however its recipients are written, and whatever stands behind them, a message with a formal fault
// reaches nobody but its sender, as a notice.
func TestFaultReachesNobody(t *testing.T) {
	conformance.Covers(t, "C026", "C047", "C048", "C054")
	mario, luigi := env.Users("ALFA")[0], env.Users("ALFA")[1].Address
	bruno, gino := env.Users("BETA")[0].Address, env.Users("GAMMA")[0].Address
	batch := random(t)
	f := fault{
		header: changedHead("To: TO", "Cc: TO, "+luigi+", "+bruno+", "+gino), reason: "campo To assente o privo di indirizzi validi; destinatario " +
			ordinaryUser(0).Address + " non indicato nei campi To o Cc",
		more: []string{luigi, strings.ToUpper(luigi), luigi, bruno, "BRUNO@beta.example", gino, ordinaryUser(0).Address, strings.ToUpper(env["ALFA_ALIAS"])},
	}
	l := f.letter(t, batch, mario.Address, env["ALFA_ALIAS"])
	login(t, "ALFA", mario).mustSend(l)
	found := settle(t, batch, map[string][]pec.Kind{mario.Address: {pec.KindNonAcceptance}})
	l.to = []string{env["ALFA_ALIAS"], luigi, bruno, gino, ordinaryUser(0).Address} // each once
	wantNotice(t, found[mario.Address], l, &f)
}

// TestSessionRemembersNothing: what one transaction of a session was about does not stay for the next.
func TestSessionRemembersNothing(t *testing.T) {
	conformance.Covers(t, "C012", "C032")
	mario, beta := env.Users("ALFA")[0], env.Users("BETA")
	l := write(t, mario.Address, []string{beta[0].Address}, nil)
	d := login(t, "ALFA", mario)
	d.want("250", d.say("MAIL FROM:<%s>", mario.Address))
	d.want("250", d.say("RCPT TO:<%s>", beta[1].Address))
	d.want("250", d.say("RSET"))
	d.want("250", d.say("MAIL FROM:<%s>", mario.Address))
	d.want("250", d.say("RCPT TO:<%s>", beta[2].Address))
	d.hello()
	for range 2 { // the same bytes twice are two messages
		d.mustSend(l)
	}
	want := exchange()
	for address, kinds := range want {
		want[address] = append(kinds, kinds...)
	}
	found := settle(t, l.ref, want)
	ids := map[pec.Identifier]int{}
	for _, m := range slices.Concat(found[mario.Address], found[beta[0].Address]) {
		_, data := sealed(t, m)
		if ids[data.Identifier]++; len(data.Recipients) != 1 || data.Recipients[0].Address.String() != beta[0].Address {
			t.Errorf("%s lists %v", m.Kind(), data.Recipients)
		}
	}
	for id, n := range ids {
		if len(ids) != 2 || n != 3 {
			t.Errorf("%d messages are about %s, of %d", n, id, len(ids))
		}
	}
}

// TestManyAtOnce: submissions that overlap do not mix.
func TestManyAtOnce(t *testing.T) {
	conformance.Covers(t, "C032", "C165")
	alfa, bruno := env.Users("ALFA"), env.Users("BETA")[0].Address
	batch := random(t)
	const each = 8
	want := map[string][]pec.Kind{}
	var senders sync.WaitGroup
	for _, user := range alfa {
		for range each {
			f := fault{header: head}
			l := f.letter(t, batch, user.Address, bruno)
			senders.Go(func() {
				if err := env.Submit("ALFA", user, client.Mail{From: l.from, To: l.to, Data: bytes.NewReader(l.raw)}); err != nil {
					t.Errorf("%s: %v", user.Address, err)
				}
			})
			want[user.Address] = append(want[user.Address], pec.KindAcceptance, pec.KindDelivery)
			want[bruno] = append(want[bruno], pec.KindTransport)
			service := env.Login("ALFA_SERVICE_USER").Address
			want[service] = append(want[service], pec.KindTakeCharge)
		}
	}
	senders.Wait()
	found := settle(t, batch, want)
	ids := map[pec.Identifier]bool{}
	for _, m := range found[bruno] {
		parts, data := sealed(t, m)
		ids[data.Identifier] = true
		if !strings.Contains(read(t, parts.Original), "From: "+data.Sender.String()+"\r\n") {
			t.Errorf("%s is certified as the sender of\n%s", data.Sender, read(t, parts.Original))
		}
	}
	if len(ids) != each*len(alfa) {
		t.Errorf("%d messages have %d identifiers", each*len(alfa), len(ids))
	}
}

// TestAddressExtension: mail to a mailbox with an extension is certified for the address as it was written.
func TestAddressExtension(t *testing.T) {
	conformance.Covers(t, "C012", "C165", "C206")
	mario, bruno := env.Users("ALFA")[0], env.Users("BETA")[0].Address
	extended := strings.Replace(bruno, "@", "+fatture@", 1)
	l := write(t, mario.Address, []string{extended}, nil)
	login(t, "ALFA", mario).mustSend(l)
	found := settle(t, l.ref, exchange())
	if _, data := sealed(t, pick(t, found[mario.Address], pec.KindDelivery)); data.Delivery.String() != extended {
		t.Errorf("the receipt is for %s, want %s", data.Delivery, extended)
	}
}
