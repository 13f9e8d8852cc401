package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab/client"
	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/internal/ledger"
	"github.com/ceralacca/ceralacca/pec"
)

// TestAwkwardOrdinaryMail: whatever ordinary mail looks like, the anomaly envelope holds it byte for byte and is sealed.
func TestAwkwardOrdinaryMail(t *testing.T) {
	conformance.Covers(t, "C011", "C133", "C134", "C142", "C177")
	mario := env.Users("ALFA")[0].Address
	for _, one := range []struct{ name, header, body string }{
		{"no Message-ID, no To", "From: a@gamma.example\r\n", "x\r\n"},
		{"no header but one", "", "x\r\n"},
		{"empty body", "From: a@gamma.example\r\nTo: b@x.example\r\n", ""},
		{"looks like one of ours", "From: posta-certificata@alfa.example\r\nX-Ricevuta: accettazione\r\nX-Trasporto: posta-certificata\r\n", "x\r\n"},
		{"fields that Postfix drops", "From: a@gamma.example\r\nBcc: c@x.example\r\nReturn-Path: <z@x.example>\r\nContent-Length: 7\r\n", "x\r\n"},
		{"8 bit", "From: \"Per\xc3\xb2\" <a@gamma.example>\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n", "perch\xc3\xa9 \xff\r\n"},
		{"long lines", "From: a@gamma.example\r\n", strings.Repeat("long ", 2000) + "\r\n.\r\n..\r\n" + strings.Repeat("y", 70000) + "\r\n"},
		{"several of one", "From: a@gamma.example\r\nTo: b@x.example\r\nTo: c@x.example\r\nSubject: 2\r\nReply-To: r@x.example\r\n", "x\r\n"},
		{"a multipart that never ends", "From: a@gamma.example\r\nMIME-Version: 1.0\r\nContent-Type: multipart/signed; protocol=\"application/pkcs7-signature\"; boundary=b\r\n", "--b\r\n\r\nx\r\n"},
		{"trailing space and tabs", "From:a@gamma.example\r\nSubject:   spaced\t\r\n\tout  \r\n", "x  \r\n\t\r\n\r\n\r\n"},
	} {
		t.Run(one.name, func(t *testing.T) {
			token := random(t)
			raw := []byte("X-Token: " + token + "\r\n" + one.header + "\r\n" + one.body)
			deliver(t, "ALFA", gino(), []string{mario}, raw)
			found := settle(t, token, map[string][]pec.Kind{mario: {pec.KindAnomaly}})
			reason := pec.ProblemNoSignature
			if strings.Contains(one.header, "multipart/signed") {
				reason = pec.ProblemMalformed
			}
			wantAnomaly(t, "ALFA", found[mario][0], raw, reason)
			if found[mario][0].Header.Has(pec.FieldReceipt) || len(found[mario][0].Header.Values(pec.FieldTransport)) != 1 {
				t.Error("the anomaly envelope took over a field that says what it is")
			}
		})
	}
}

// TestPrivateHeaderFromOutside: what pretends to be our milter's verdict is taken off and never believed.
func TestPrivateHeaderFromOutside(t *testing.T) {
	conformance.Covers(t, "C119", "C158")
	mario := env.Users("ALFA")[0].Address
	token, raw := ordinary(t, gino(), mario)
	forged := append([]byte("X-Ceralacca-Transaction: 1/1; eyJ2IjoxfQ==\r\nx-ceralacca-transaction: 2/2; eyJ2IjoxfQ==\r\n"), raw...)
	deliver(t, "ALFA", gino(), []string{mario}, forged)
	found := settle(t, token, map[string][]pec.Kind{mario: {pec.KindAnomaly}})
	wantAnomaly(t, "ALFA", found[mario][0], raw, pec.ProblemNoSignature)
	if bytes.Contains(bytes.ToLower(found[mario][0].Raw), []byte("x-ceralacca")) {
		t.Error("a private header lies in the mailbox")
	}
}

// TestOrdinaryFromGamma goes the way of real mail: submitted at gamma, and a report of gamma's with the null sender.
func TestOrdinaryFromGamma(t *testing.T) {
	conformance.Covers(t, "C119", "C132")
	mario, from := env.Users("ALFA")[0].Address, env.Users("GAMMA")[0]
	token, raw := ordinary(t, from.Address, mario)
	if err := env.Submit("GAMMA", from, client.Mail{From: from.Address, To: []string{mario}, Data: bytes.NewReader(raw)}); err != nil {
		t.Fatal(err)
	}
	found := settle(t, token, map[string][]pec.Kind{mario: {pec.KindAnomaly}})
	parts, _ := sealed(t, found[mario][0])
	if got := read(t, parts.Original); !strings.HasPrefix(got, "Received: ") || !strings.HasSuffix(got, string(raw)) {
		t.Errorf("gamma's mail does not lie whole in the envelope:\n%s", got)
	}

	token = random(t)
	deliver(t, "ALFA", "", []string{mario}, madeUpReport(token, ""))
	found = settle(t, token, map[string][]pec.Kind{mario: {pec.KindAnomaly}})
	wantAnomaly(t, "ALFA", found[mario][0], madeUpReport(token, ""), pec.ProblemNoSignature)
}

// TestSameAtOnce brings one envelope over five connections at the same time: everything happens once.
func TestSameAtOnce(t *testing.T) {
	conformance.Covers(t, "C125", "C127", "C165")
	alfa := env.Users("ALFA")
	to := []string{alfa[0].Address, alfa[1].Address}
	e := someone(t, "DELTA").envelope(t, to...)
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() {
			if err := env.Deliver("ALFA", client.Mail{From: e.from, To: to, Data: bytes.NewReader(e.raw)}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	settle(t, e.token, map[string][]pec.Kind{
		to[0]: {pec.KindTransport}, to[1]: {pec.KindTransport}, dora(): {pec.KindDelivery, pec.KindDelivery},
		env["DELTA_MAIL_RECEIPT"]: {pec.KindTakeCharge},
	})
	logged(t, "ALFA", e.token, ledger.EventReception, ledger.EventTakeCharge, ledger.EventDelivery, ledger.EventDelivery,
		ledger.EventDeliveryReceipt, ledger.EventDeliveryReceipt)
}

// TestSpellings: case does not matter, nor does naming a recipient twice; a subaddress leads to its mailbox.
func TestSpellings(t *testing.T) {
	conformance.Covers(t, "C165")
	mario := env.Users("ALFA")[0].Address
	e := someone(t, "DELTA").envelope(t, mario)
	deliver(t, "ALFA", "Dora@DELTA.example", []string{"MARIO@Alfa.Example", mario, mario}, e.raw)
	want := map[string][]pec.Kind{
		mario: {pec.KindTransport}, dora(): {pec.KindDelivery}, env["DELTA_MAIL_RECEIPT"]: {pec.KindTakeCharge},
	}
	found := settle(t, e.token, want)
	if _, data := sealed(t, found[dora()][0]); !strings.EqualFold(data.Delivery.String(), mario) {
		t.Errorf("the receipt is for %s", data.Delivery)
	}

	tagged := strings.Replace(mario, "@", "+atti@", 1)
	e = someone(t, "DELTA").envelope(t, tagged)
	deliver(t, "ALFA", e.from, []string{tagged}, e.raw)
	found = settle(t, e.token, want)
	if _, data := sealed(t, found[dora()][0]); data.Delivery.String() != tagged {
		t.Errorf("the receipt is for %s, want %s", data.Delivery, tagged)
	}
	token, raw := ordinary(t, gino(), tagged)
	deliver(t, "ALFA", gino(), []string{tagged}, raw)
	settle(t, token, map[string][]pec.Kind{mario: {pec.KindAnomaly}})
}

// TestWithin: only the parts of the envelope speak, not those of the message in it.
func TestWithin(t *testing.T) {
	conformance.Covers(t, "C103", "C161", "C167")
	mario := env.Users("ALFA")[0].Address
	o := someone(t, "DELTA")
	inner := o.envelope(t, mario) // a whole certified message, attached
	e := o.draft(t, mario)
	e.original.raw = fmt.Appendf(nil, "From: %s\r\nTo: %s\r\nMessage-ID: %s\r\nSubject: %s\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b9\r\n\r\n"+
		"--b9\r\nContent-Type: application/xml; name=\"daticert.xml\"\r\n\r\n<postacert/>\r\n--b9\r\n"+
		"Content-Type: message/rfc822; name=\"postacert.eml\"\r\n\r\n%s\r\n--b9--\r\n", dora(), mario, e.data.MessageID, *e.data.Subject, inner.raw)
	e.raw = o.seal(t, o.compose(t, e))
	deliver(t, "ALFA", e.from, []string{mario}, e.raw)
	found := settle(t, e.token, map[string][]pec.Kind{
		mario: {pec.KindTransport}, dora(): {pec.KindDelivery}, env["DELTA_MAIL_RECEIPT"]: {pec.KindTakeCharge},
	})
	parts, data := sealed(t, found[dora()][0])
	whole, _ := sealed(t, found[mario][0])
	if got, want := read(t, parts.Original), read(t, whole.Original); got != want || data.Identifier != e.data.Identifier {
		t.Errorf("the receipt speaks of %s and holds\n%q\nwant\n%q", data.Identifier, got, want)
	}
	if !bytes.Contains(found[mario][0].Raw, inner.raw) {
		t.Error("the attached message was changed")
	}
	logged(t, "ALFA", string(inner.data.Identifier))
}

// TestSmuggling: a line that ends in a bare LF does not end a message, and none is hidden in another.
func TestSmuggling(t *testing.T) {
	mario, luigi := env.Users("ALFA")[0].Address, env.Users("ALFA")[1].Address
	conn, err := net.DialTimeout("tcp", net.JoinHostPort(env["ALFA_HOST"], env["ALFA_MX_PORT"]), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	token, raw := ordinary(t, gino(), mario)
	hidden := fmt.Sprintf("\n.\nMAIL FROM:<%s>\r\nRCPT TO:<%s>\r\nDATA\r\n%s\r\n.\r\n", gino(), luigi, raw)
	dialogue := fmt.Sprintf("HELO x\r\nMAIL FROM:<%s>\r\nRCPT TO:<%s>\r\nDATA\r\n%s%sQUIT\r\n", gino(), mario, raw, hidden)
	if _, err := conn.Write([]byte(dialogue)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(conn); err != nil {
		t.Logf("the server ended the connection: %v", err)
	}
	if found := settleAny(t, token); len(found[luigi]) > 0 {
		t.Errorf("a hidden message reached %s", luigi)
	}
}

// settleAny waits until all queues are empty and returns what is about token.
func settleAny(t *testing.T, token string) map[string][]*client.Message {
	t.Helper()
	for end := time.Now().Add(patience); env.QueuesEmpty(t.Context()) != nil; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the queues do not empty")
		}
	}
	return about(t, token)
}
