package e2e

import (
	"slices"
	"strings"
	"testing"

	"github.com/ceralacca/ceralacca/deploy/lab/client"
	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/internal/ledger"
	"github.com/ceralacca/ceralacca/pec"
)

// nonDelivery is what a notice of non-delivery says of whom.
func nonDelivery(t *testing.T, list []*client.Message) map[string]string {
	t.Helper()
	said := map[string]string{}
	for _, m := range list {
		if m.Kind() == pec.KindNonDelivery {
			_, data := sealed(t, m)
			said[data.Delivery.String()] = data.Detail
		}
	}
	return said
}

// TestAliasOutside: what is written to an alias that leads to another domain is not delivered, to nobody, and says so. It
// leaves for nowhere: neither an envelope of a user of ours, nor one of another provider, nor ordinary mail.
func TestAliasOutside(t *testing.T) {
	conformance.Covers(t, "C012", "C160", "C179", "C206")
	from, alias := env.Users("ALFA")[0], env["ALFA_OUTSIDE_ALIAS"] // of himself and somebody of gamma
	want := "5.7.1 - " + env["ALFA_PROVIDER"] + " - "
	l := write(t, from.Address, []string{alias}, nil)
	submit(t, "ALFA", from, l)
	found := settle(t, l.ref, map[string][]pec.Kind{
		from.Address: {pec.KindAcceptance, pec.KindNonDelivery}, env.Login("ALFA_SERVICE_USER").Address: {pec.KindTakeCharge},
	})
	if said := nonDelivery(t, found[from.Address]); !strings.HasPrefix(said[alias], want) {
		t.Errorf("the notices say %q, want %s for %s", said, want, alias)
	}

	e := someone(t, "DELTA").envelope(t, alias, env.Users("ALFA")[1].Address)
	deliver(t, "ALFA", e.from, []string{alias, env.Users("ALFA")[1].Address}, e.raw)
	found = settle(t, e.token, map[string][]pec.Kind{
		env.Users("ALFA")[1].Address: {pec.KindTransport}, dora(): {pec.KindDelivery, pec.KindNonDelivery},
		env["DELTA_MAIL_RECEIPT"]: {pec.KindTakeCharge},
	})
	if said := nonDelivery(t, found[dora()]); !strings.HasPrefix(said[alias], want) {
		t.Errorf("the notices say %q, want %s for %s", said, want, alias)
	}
	_, taken := sealed(t, found[env["DELTA_MAIL_RECEIPT"]][0])
	if got := sorted(texts(taken.Taken)...); jsonOf(got) != jsonOf(sorted(alias, env.Users("ALFA")[1].Address)) {
		t.Errorf("the take-charge names %s", jsonOf(got))
	}

	token, raw := ordinary(t, gino(), alias)
	deliver(t, "ALFA", gino(), []string{alias}, raw)
	found = settleAny(t, token)
	for _, m := range found[gino()] {
		if m.Kind() != pec.KindNone || !strings.Contains(string(m.Raw), "5.7.1") {
			t.Errorf("gamma got a %s:\n%s", m.Kind(), m.Raw)
		}
	}
	if len(found[gino()]) != 1 || len(found[from.Address]) != 1 {
		t.Errorf("ordinary mail: %d reports to its sender, %d messages in the mailbox; want one of each", len(found[gino()]), len(found[from.Address]))
	}
}

// TestAliasOneFull: an alias of which one mailbox takes nothing has one outcome, and a recipient that was named beside it
// has its own.
func TestAliasOneFull(t *testing.T) {
	conformance.Covers(t, "C160", "C165", "C179", "C206")
	alias, mario := env["ALFA_FULL_ALIAS"], env.Users("ALFA")[0].Address
	e := someone(t, "DELTA").envelope(t, alias, mario)
	deliver(t, "ALFA", e.from, []string{alias, mario}, e.raw)
	found := settle(t, e.token, map[string][]pec.Kind{
		mario: {pec.KindTransport}, dora(): {pec.KindDelivery, pec.KindNonDelivery}, env["DELTA_MAIL_RECEIPT"]: {pec.KindTakeCharge},
	})
	if said := nonDelivery(t, found[dora()]); !strings.HasPrefix(said[alias], "5.2.2 - ") || len(said) != 1 {
		t.Errorf("the notices of non-delivery say %q, want 5.2.2 for %s", said, alias)
	}
	logged(t, "ALFA", e.token, ledger.EventReception, ledger.EventTakeCharge, ledger.EventExpansion, ledger.EventCopy,
		ledger.EventDelivery, ledger.EventDeliveryReceipt, ledger.EventNonDelivery)
}

// TestList: a list of two hundred is one recipient, for a user of ours and from another provider: each mailbox gets one copy,
// also that of a member who is named beside it, in another spelling.
func TestList(t *testing.T) {
	conformance.Covers(t, "C165", "C183", "C206")
	users, list := env.Users("ALFA"), env["ALFA_LIST"]
	for _, host := range []string{"BETA", "ALFA"} {
		from, member := env.Users(host)[0], users[1].Address
		l := write(t, from.Address, []string{strings.ToUpper(list), strings.ToUpper(member)}, nil)
		submit(t, host, from, l)
		want := map[string][]pec.Kind{env.Login(host + "_SERVICE_USER").Address: {pec.KindTakeCharge}}
		for _, u := range users {
			want[u.Address] = []pec.Kind{pec.KindTransport}
		}
		want[from.Address] = append(want[from.Address], pec.KindAcceptance, pec.KindDelivery, pec.KindDelivery)
		var named []string
		for _, m := range settle(t, l.ref, want)[from.Address] {
			if m.Kind() == pec.KindDelivery {
				_, data := sealed(t, m)
				named = append(named, strings.ToLower(data.Delivery.String()))
			}
		}
		if slices.Sort(named); jsonOf(named) != jsonOf(sorted(list, member)) {
			t.Errorf("from %s: receipts for %s", host, jsonOf(named))
		}
	}
}

// TestTwoDomainsOfOneProvider: users of two domains of one provider write to each other by the whole chain, take-charge
// included; a message to both domains, and another provider's, has one receipt for each.
func TestTwoDomainsOfOneProvider(t *testing.T) {
	conformance.Covers(t, "C030", "C031", "C127", "C165", "C183", "C206")
	mario, second := env.Users("ALFA")[0], env.Users("ALFA_SECOND")
	dino, dina := second[0], second[1].Address
	service := env.Login("ALFA_SERVICE_USER").Address
	l := write(t, dino.Address, []string{mario.Address, dina}, []string{env.Users("BETA")[0].Address})
	submit(t, "ALFA", dino, l)
	found := settle(t, l.ref, map[string][]pec.Kind{
		dino.Address:  {pec.KindAcceptance, pec.KindDelivery, pec.KindDelivery, pec.KindDelivery},
		mario.Address: {pec.KindTransport}, dina: {pec.KindTransport}, env.Users("BETA")[0].Address: {pec.KindTransport},
		service: {pec.KindTakeCharge, pec.KindTakeCharge},
	})
	var covered []string
	for _, m := range found[service] {
		_, data := sealed(t, m)
		covered = append(covered, texts(data.Taken)...)
	}
	if got, want := jsonOf(sorted(covered...)), jsonOf(sorted(mario.Address, dina, env.Users("BETA")[0].Address)); got != want {
		t.Errorf("the take-charge receipts name %s, want %s", got, want)
	}
	// The other way, from outside: one SMTP transaction with both domains.
	e := someone(t, "DELTA").envelope(t, mario.Address, dina)
	deliver(t, "ALFA", e.from, []string{mario.Address, dina}, e.raw)
	settle(t, e.token, map[string][]pec.Kind{
		mario.Address: {pec.KindTransport}, dina: {pec.KindTransport}, dora(): {pec.KindDelivery, pec.KindDelivery},
		env["DELTA_MAIL_RECEIPT"]: {pec.KindTakeCharge},
	})
}
