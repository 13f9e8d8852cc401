package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/internal/ledger"
	"github.com/ceralacca/ceralacca/pec"
)

// TestUndeliverable writes to mailboxes that are unknown, full and disabled, at home and at another provider: each is
// answered with a coded non-delivery notice by its own provider, and lies nowhere.
func TestUndeliverable(t *testing.T) {
	conformance.Covers(t, "C009", "C017", "C159", "C179", "C180", "C181", "C183", "C206", "C252")
	from := env.Users("ALFA")[0]
	type expected struct{ host, code, cause string }
	want := map[string]expected{}
	var to []string
	for _, host := range []string{"ALFA", "BETA"} {
		for address, e := range map[string]expected{
			env[host+"_UNKNOWN"]:                       {host, "5.1.1", "indirizzo non valido"},
			env.Login(host + "_FULL_USER").Address:     {host, "5.2.2", "casella piena"},
			env.Login(host + "_DISABLED_USER").Address: {host, "5.2.1", "casella disabilitata"},
		} {
			want[address] = e
			to = append(to, address)
		}
	}
	for _, host := range []string{"ALFA", "BETA"} { // a subaddress is no way in
		tagged := strings.Replace(env.Login(host+"_DISABLED_USER").Address, "@", "+atti@", 1)
		want[tagged] = expected{host, "5.2.1", "casella disabilitata"}
		to = append(to, tagged)
	}
	slices.Sort(to)
	l := write(t, from.Address, to, nil)
	submit(t, "ALFA", from, l)
	kinds := []pec.Kind{pec.KindAcceptance}
	for range to {
		kinds = append(kinds, pec.KindNonDelivery)
	}
	found := settle(t, l.ref, map[string][]pec.Kind{
		from.Address: kinds, env.Login("ALFA_SERVICE_USER").Address: {pec.KindTakeCharge, pec.KindTakeCharge},
	})
	var named []string
	for _, m := range found[from.Address] {
		if m.Kind() != pec.KindNonDelivery {
			continue
		}
		parts, data := sealed(t, m)
		rcpt := data.Delivery.String()
		named = append(named, rcpt)
		e := want[rcpt]
		if detail := e.code + " - " + env[e.host+"_PROVIDER"] + " - " + e.cause; data.Detail != detail ||
			!strings.Contains(plain(t, parts.Text), detail) {
			t.Errorf("the notice for %s says %q and\n%s\nwant %q", rcpt, data.Detail, plain(t, parts.Text), detail)
		}
		if wrong := (e.code == "5.1.1") != (data.Error == pec.ErrorRecipient); wrong || data.Error == pec.ErrorNone {
			t.Errorf("the notice for %s has error %s", rcpt, data.Error)
		}
		if data.Provider != env[e.host+"_PROVIDER"] || parts.Original != nil {
			t.Errorf("the notice for %s is by %s, original attached: %v", rcpt, data.Provider, parts.Original != nil)
		}
		if got := pec.DecodeText(m.Header.Get("Subject")); got != "AVVISO DI MANCATA CONSEGNA: Richiesta di prova" {
			t.Errorf("Subject of the notice is %q", got)
		}
		if to, ref := m.Header.Get("To"), m.Header.Get(pec.FieldReference); to != from.Address || ref != l.ref {
			t.Errorf("the notice is to %q about %q", to, ref)
		}
	}
	slices.Sort(named)
	if jsonOf(named) != jsonOf(to) {
		t.Errorf("the notices are for %s, want one for each of %s", jsonOf(named), jsonOf(to))
	}
	disabledHoldsNothing(t)
}

// disabledHoldsNothing looks at the files of the disabled mailboxes, which nobody can open.
func disabledHoldsNothing(t *testing.T) {
	t.Helper()
	for _, host := range []string{"alfa", "beta"} {
		root := filepath.Join(world.Runtime(), host, "mail", host+".example", "disabled")
		files, err := filepath.Glob(filepath.Join(root, "Maildir", "*", "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if s, err := os.Stat(f); err == nil && s.Mode().IsRegular() {
				t.Errorf("the disabled mailbox of %s holds %s", host, f)
			}
		}
	}
}

// TestUndeliverableFromOutside is the same for an envelope of delta: a take-charge, and the notice to delta's user.
func TestUndeliverableFromOutside(t *testing.T) {
	conformance.Covers(t, "C124", "C179", "C181", "C252")
	mario := env.Users("ALFA")[0].Address
	e := someone(t, "DELTA").envelope(t, mario, env["ALFA_UNKNOWN"])
	deliver(t, "ALFA", e.from, []string{mario, env["ALFA_UNKNOWN"]}, e.raw)
	found := settle(t, e.token, map[string][]pec.Kind{
		mario: {pec.KindTransport}, dora(): {pec.KindDelivery, pec.KindNonDelivery}, env["DELTA_MAIL_RECEIPT"]: {pec.KindTakeCharge},
	})
	_, data := sealed(t, pick(t, found[dora()], pec.KindNonDelivery))
	if data.Detail != "5.1.1 - "+env["ALFA_PROVIDER"]+" - indirizzo non valido" || data.Delivery.String() != env["ALFA_UNKNOWN"] {
		t.Errorf("the notice for %s says %q", data.Delivery, data.Detail)
	}
	logged(t, "ALFA", e.token, ledger.EventReception, ledger.EventTakeCharge, ledger.EventDelivery, ledger.EventDeliveryReceipt,
		ledger.EventNonDelivery)
}

// TestAlias: an alias is one certified recipient, whatever mailboxes stand behind it: one receipt for it, one copy in each
// mailbox, also when one of them was written to as well.
func TestAlias(t *testing.T) {
	conformance.Covers(t, "C126", "C165")
	alfa, alias := env.Users("ALFA"), env["ALFA_ALIAS"]
	for _, to := range [][]string{{alias}, {alias, alfa[0].Address}, {alfa[2].Address, alias}} {
		e := someone(t, "DELTA").envelope(t, to...)
		deliver(t, "ALFA", e.from, to, e.raw)
		want := map[string][]pec.Kind{
			alfa[0].Address: {pec.KindTransport}, alfa[1].Address: {pec.KindTransport},
			env["DELTA_MAIL_RECEIPT"]: {pec.KindTakeCharge},
		}
		for _, rcpt := range to {
			want[dora()] = append(want[dora()], pec.KindDelivery)
			if rcpt == alfa[2].Address {
				want[rcpt] = []pec.Kind{pec.KindTransport}
			}
		}
		found := settle(t, e.token, want)
		var named []string
		for _, m := range found[dora()] {
			_, data := sealed(t, m)
			named = append(named, data.Delivery.String())
		}
		slices.Sort(named)
		_, taken := sealed(t, found[env["DELTA_MAIL_RECEIPT"]][0])
		covered := texts(taken.Taken)
		slices.Sort(covered)
		if goal := jsonOf(sorted(slices.Clone(to)...)); jsonOf(named) != goal || jsonOf(covered) != goal {
			t.Errorf("receipts for %s, take-charge for %s, want both for %s", jsonOf(named), jsonOf(covered), goal)
		}
	}
	// Ordinary mail to an alias alone: the alias exists.
	token, raw := ordinary(t, gino(), alias)
	deliver(t, "ALFA", gino(), []string{alias}, raw)
	settle(t, token, map[string][]pec.Kind{alfa[0].Address: {pec.KindAnomaly}, alfa[1].Address: {pec.KindAnomaly}})
}

// TestLocalAlias is an alias of the sender's own provider, among them himself.
func TestLocalAlias(t *testing.T) {
	conformance.Covers(t, "C165", "C183")
	alfa, alias := env.Users("ALFA"), env["ALFA_ALIAS"]
	l := write(t, alfa[0].Address, []string{alias, alfa[1].Address}, nil)
	submit(t, "ALFA", alfa[0], l)
	settle(t, l.ref, map[string][]pec.Kind{
		alfa[0].Address:                        {pec.KindAcceptance, pec.KindTransport, pec.KindDelivery, pec.KindDelivery},
		alfa[1].Address:                        {pec.KindTransport},
		env.Login("ALFA_SERVICE_USER").Address: {pec.KindTakeCharge},
	})
}

// TestFullSender: a sender whose mailbox is full gets his message through; the receipts that his mailbox cannot take wait,
// and bounce to nobody.
func TestFullSender(t *testing.T) {
	conformance.Covers(t, "C101", "C117")
	full, bruno := env.Login("ALFA_FULL_USER"), env.Users("BETA")[0].Address
	l := write(t, full.Address, []string{bruno}, nil)
	log := daemonLog(t, "alfa-lda")
	submit(t, "ALFA", full, l)
	settle(t, l.ref, map[string][]pec.Kind{
		bruno: {pec.KindTransport}, env.Login("ALFA_SERVICE_USER").Address: {pec.KindTakeCharge},
	})
	if got := strings.Count(log(), "put aside"); got != 2 { // acceptance and delivery receipt
		t.Errorf("%d receipts were put aside, want 2:\n%s", got, log())
	}
}
