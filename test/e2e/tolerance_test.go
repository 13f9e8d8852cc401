package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"crypto"

	"github.com/ceralacca/ceralacca/deploy/lab/client"
	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/internal/ledger"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/test/foreign"
)

// deltaWrites is delta with its own software: nothing of ours composes or signs.
func deltaWrites(t *testing.T) *foreign.Identity {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(env["DELTA_CERT"], env["DELTA_KEY"])
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return &foreign.Identity{Name: env["DELTA_PROVIDER"], Address: env["DELTA_PEC_ADDRESS"], Cert: certificate, Key: pair.PrivateKey.(crypto.Signer)}
}

// spelling is a family of providers, with some of the differences that are found in it.
type spelling struct {
	style       func() foreign.Style
	differences []string // names in foreign.Differences
}

// spellings are a selection: the rest is judged without servers, in test/foreign. Here is what Postfix and Dovecot might
// alter, or the agent read otherwise than the milter.
func spellings() []spelling {
	return []spelling{
		{foreign.OpenPEC, nil},
		{foreign.Java, nil},
		{foreign.OpenPEC, []string{"text alone", "DOCTYPE with an address", "byte order mark", "preamble and epilogue", "names of our fields in small letters"}},
		{foreign.Java, []string{"parts in the order text, original, data", "stylesheet, DOCTYPE and a comment", "daticert.xml in 8bit", "risposte is empty", "Subject in bytes of UTF-8"}},
		{foreign.OpenPEC, []string{"CMS in BER of indefinite lengths", "daticert.xml without an encoding", "parts without Content-Disposition", "no signing time"}},
		{foreign.Java, []string{"digest SHA-1", "no micalg", "original in bytes beyond ASCII, with long lines", "To with stray brackets", "Reply-To absent"}},
		{foreign.OpenPEC, []string{"parameters folded, another order", "DKIM-Signature", "Received of three hops", "X-TipoRicevuta of no meaning", "Subject encoded in folded words"}},
		{foreign.Java, []string{"base64 in one long line", "X-TipoRicevuta absent", "original with the delimiter of another multipart", "To of undisclosed recipients", "fields in reverse order"}},
	}
}

// changes finds the differences of a spelling that make sense in a kind of message.
func (s spelling) changes(t *testing.T, kind string) []foreign.Change {
	t.Helper()
	all, out := foreign.Differences(), []foreign.Change(nil)
	for _, name := range s.differences {
		i := slices.IndexFunc(all, func(d foreign.Difference) bool { return d.Name == name })
		if i < 0 {
			t.Fatalf("there is no difference %q", name)
		}
		if all[i].Only == "" || all[i].Only == kind {
			out = append(out, all[i].Change)
		}
	}
	return out
}

// asSent fails the test unless each message ends in the bytes that were sent under its id: before them are Received fields.
func asSent(t *testing.T, list []*client.Message, sent map[string][]byte) {
	t.Helper()
	for _, m := range list {
		id := strings.Trim(m.Header.Get("Message-ID"), "<>")
		if want := sent[id]; want == nil || !strings.HasSuffix(string(m.Raw), string(want)) {
			t.Errorf("the %s %s in the mailbox does not end in the bytes that were sent", m.Kind(), id)
		}
	}
}

// TestForeignEnvelopes: envelopes of both families come through Postfix, milter and agent into the mailbox as they were
// written, and earn take-charge and delivery receipt.
func TestForeignEnvelopes(t *testing.T) {
	conformance.Covers(t, "C115", "C116", "C124", "C161", "C256", "C257", "C258", "C259", "C260")
	delta, batch, mario := deltaWrites(t), random(t), env.Users("ALFA")[0].Address
	sent := map[string][]byte{}
	var enveloped, receipts, taken []pec.Kind
	for i, s := range spellings() {
		f := foreign.Envelope(delta, fmt.Sprintf("%d.%s", i, batch), time.Now(), dora(), mario)
		sent[f.Identifier] = foreign.Build(f, s.style(), delta, s.changes(t, "envelope")...)
		deliver(t, "ALFA", dora(), []string{mario}, sent[f.Identifier])
		enveloped, receipts, taken = append(enveloped, pec.KindTransport), append(receipts, pec.KindDelivery), append(taken, pec.KindTakeCharge)
	}
	found := settle(t, batch, map[string][]pec.Kind{mario: enveloped, dora(): receipts, env["DELTA_MAIL_RECEIPT"]: taken})
	asSent(t, found[mario], sent)
	for id, raw := range sent {
		ofThis := 0
		for _, m := range append(found[dora()], found[env["DELTA_MAIL_RECEIPT"]]...) {
			if _, data := sealed(t, m); string(data.Identifier) == id {
				ofThis++
			}
		}
		if ofThis != 2 {
			t.Errorf("%d receipts for %s, want take-charge and delivery:\n%.3000s", ofThis, id, raw)
		}
	}
}

// TestForeignReceipts: take-charges, delivery receipts and a non-delivery of both families about a message of ours are
// believed: sender and service mailbox get them as they were written, and the log has what they state, of whom.
func TestForeignReceipts(t *testing.T) {
	conformance.Covers(t, "C117", "C131", "C256", "C257", "C258", "C259", "C260", "C261")
	delta, mario, service := deltaWrites(t), env.Users("ALFA")[0], env.Login("ALFA_SERVICE_USER").Address
	var to []string
	for i := range spellings() {
		to = append(to, fmt.Sprintf("d%d@%s", i, env["DELTA_DOMAIN"]))
	}
	l := write(t, mario.Address, to, nil)
	submit(t, "ALFA", mario, l)
	want := map[string][]pec.Kind{mario.Address: {pec.KindAcceptance}}
	for _, a := range to {
		want[a] = []pec.Kind{pec.KindTransport}
	}
	_, data := sealed(t, settle(t, l.ref, want)[to[0]][0])
	about := foreign.Envelope(&foreign.Identity{Name: data.Provider, Address: env["ALFA_PEC_ADDRESS"]}, "x", data.Time, mario.Address, to...)
	about.Identifier, about.MessageID, about.Subject = string(data.Identifier), data.MessageID, *data.Subject
	sent := map[string][]byte{}
	for i, s := range spellings() {
		changes := slices.DeleteFunc(s.changes(t, "receipt"), func(c foreign.Change) bool { return c.Facts != nil && c.Fields != nil }) // the subject is given
		taken, outcome := about.About(delta, "presa-in-carico", to[i], service, time.Now()), about.About(delta, "avvenuta-consegna", to[i], mario.Address, time.Now())
		kind := pec.KindDelivery
		if i%4 == 3 {
			outcome, kind = about.About(delta, "errore-consegna", to[i], mario.Address, time.Now()), pec.KindNonDelivery
		}
		sent[taken.ID], sent[outcome.ID] = foreign.Build(taken, s.style(), delta, changes...), foreign.Build(outcome, s.style(), delta, changes...)
		deliver(t, "ALFA", delta.Address, []string{service}, sent[taken.ID])
		deliver(t, "ALFA", delta.Address, []string{mario.Address}, sent[outcome.ID])
		want[mario.Address], want[service] = append(want[mario.Address], kind), append(want[service], pec.KindTakeCharge)
	}
	found := settle(t, string(data.Identifier), want)
	asSent(t, found[service], sent)
	asSent(t, slices.DeleteFunc(found[mario.Address], func(m *client.Message) bool { return m.Kind() == pec.KindAcceptance }), sent)
	stated := map[string][]string{}
	for _, r := range records(t, "ALFA", string(data.Identifier)) {
		if r.Event == ledger.EventNotification {
			for _, a := range r.Covered {
				stated[a.String()] = append(stated[a.String()], string(r.Kind))
			}
		}
	}
	for i, a := range to {
		outcome := "avvenuta-consegna"
		if i%4 == 3 {
			outcome = "errore-consegna"
		}
		if got := sorted(stated[a]...); !slices.Equal(got, sorted("presa-in-carico", outcome)) {
			t.Errorf("the log has of %s: %v", a, got)
		}
	}
}
