package e2e

import (
	"bytes"
	"net"
	"net/mail"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/ceralacca/ceralacca/deploy/lab/client"
	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/internal/ledger"
	"github.com/ceralacca/ceralacca/pec"
)

// gino writes all ordinary mail.
func gino() string { return env.Users("GAMMA")[0].Address }

// TestOrdinaryMail: what no provider signed is delivered in an anomaly envelope, byte for byte, and earns no notice.
func TestOrdinaryMail(t *testing.T) {
	conformance.Covers(t, "C005", "C119", "C132", "C133", "C134", "C135", "C136", "C137", "C138", "C139", "C140", "C141", "C142", "C160")
	alfa := env.Users("ALFA")
	token, raw := ordinary(t, gino(), alfa[0].Address, alfa[1].Address)
	log, start := daemonLog(t, "alfa-lda"), time.Now().Truncate(time.Second)
	deliver(t, "ALFA", gino(), []string{alfa[0].Address, alfa[1].Address}, raw)
	found := settle(t, token, map[string][]pec.Kind{alfa[0].Address: {pec.KindAnomaly}, alfa[1].Address: {pec.KindAnomaly}})
	for _, u := range alfa[:2] {
		m := found[u.Address][0]
		text := wantAnomaly(t, "ALFA", m, raw, pec.ProblemNoSignature)
		if !strings.Contains(text, `"`+gino()+`"`) || !strings.Contains(text, "Un saluto "+token) {
			t.Errorf("the text does not name sender and subject:\n%s", text)
		}
		for name, want := range map[string]string{
			"Message-ID": "<" + token + "@gamma.example>", "To": alfa[0].Address + ", " + alfa[1].Address,
			"Return-Path": "<" + gino() + ">", "Reply-To": gino(),
			"Subject": "ANOMALIA MESSAGGIO: Un saluto " + token, "X-Trasporto": "errore",
			"From": `"Per conto di: ` + gino() + `" <` + env["ALFA_PEC_ADDRESS"] + ">",
		} {
			if got := m.Header.Get(name); got != want {
				t.Errorf("%s of the anomaly envelope is %q, want %q", name, got, want)
			}
		}
		if !bytes.Contains(m.Raw, []byte("\r\nReceived: from desk by mail.gamma.example; ")) {
			t.Error("the anomaly envelope did not inherit Received")
		}
	}
	records := records(t, "ALFA", token)
	if len(records) != 2 || records[0].Event != ledger.EventAnomaly || records[1].Event != ledger.EventAnomaly {
		t.Errorf("the log says %s, want two anomalies", jsonOf(records))
	}
	date := found[alfa[0].Address][0].Header.Get("Date")
	if at, err := mail.ParseDate(date); err != nil || at.Before(start) || at.After(time.Now()) {
		t.Errorf("Date is %q (%v), which is not the arrival", date, err)
	}
	if strings.Contains(log(), "alarm=true") {
		t.Errorf("there is an alarm:\n%s", log())
	}
}

// TestPlainConnection: ordinary mail also comes without TLS, which the listener offers.
func TestPlainConnection(t *testing.T) {
	conformance.Covers(t, "C229")
	mario := env.Users("ALFA")[0].Address
	token, raw := ordinary(t, gino(), mario)
	conn, err := net.Dial("tcp", net.JoinHostPort(env["ALFA_HOST"], env["ALFA_MX_PORT"]))
	if err != nil {
		t.Fatal(err)
	}
	c := smtp.NewClient(conn)
	defer func() { _ = c.Close() }()
	if err := c.Hello("mail.gamma.example"); err != nil {
		t.Fatal(err)
	}
	if ok, _ := c.Extension("STARTTLS"); !ok {
		t.Error("the incoming point does not offer STARTTLS")
	}
	if err := client.Transact(c, client.Mail{From: gino(), To: []string{mario}, Data: bytes.NewReader(raw)}); err != nil {
		t.Fatal(err)
	}
	settle(t, token, map[string][]pec.Kind{mario: {pec.KindAnomaly}})

	e := someone(t, "DELTA").envelope(t, mario) // and with TLS
	deliver(t, "ALFA", e.from, []string{mario}, e.raw)
	settle(t, e.token, map[string][]pec.Kind{
		mario: {pec.KindTransport}, dora(): {pec.KindDelivery}, env["DELTA_MAIL_RECEIPT"]: {pec.KindTakeCharge},
	})
}

// TestOrdinaryMailUndeliverable: refused while the sender is there to hear it when nobody exists; else he gets an ordinary
// report for those whom it did not reach, and no notice of the system.
func TestOrdinaryMailUndeliverable(t *testing.T) {
	conformance.Covers(t, "C182")
	mario, unknown := env.Users("ALFA")[0].Address, env["ALFA_UNKNOWN"]
	token, raw := ordinary(t, gino(), unknown)
	c, err := env.Dial("ALFA", "MX_PORT")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if err := c.Mail(gino(), nil); err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{unknown, "nessuno@" + env["ALFA_DOMAIN"]} {
		if err := c.Rcpt(to, nil); err != nil {
			t.Errorf("RCPT of an unknown address: %v; it is refused at the end", err)
		}
	}
	w, err := c.Data()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(raw); err != nil {
		t.Fatal(err)
	}
	refuses(t, "ordinary mail for unknown mailboxes", w.Close(), 550, "5.1.1")
	settle(t, token, nil)

	full, disabled := env.Login("ALFA_FULL_USER").Address, env.Login("ALFA_DISABLED_USER").Address
	token, raw = ordinary(t, gino(), mario, unknown, full, disabled)
	deliver(t, "ALFA", gino(), []string{mario, unknown, full, disabled}, raw)
	found := settle(t, token, map[string][]pec.Kind{mario: {pec.KindAnomaly}, gino(): {pec.KindNone}})
	report := string(found[gino()][0].Raw)
	for _, want := range [][2]string{{unknown, "5.1.1"}, {full, "5.2.2"}, {disabled, "5.2.1"}} {
		_, about, found := strings.Cut(report, "Final-Recipient: rfc822; "+want[0])
		about, _, _ = strings.Cut(about, "\r\n\r\n")
		if !found || !strings.Contains(about, "Status: "+want[1]) {
			t.Errorf("the report does not say %s of %s:\n%s", want[1], want[0], report)
		}
	}
	if strings.Contains(report, pec.PartCertData) {
		t.Errorf("the report is no ordinary one:\n%s", report)
	}
	logged(t, "ALFA", token, ledger.EventAnomaly, ledger.EventAnomalyRefused, ledger.EventAnomalyRefused, ledger.EventAnomalyRefused)
}

// TestOrdinaryRefused: the administrator may refuse ordinary mail; what a provider signed is wrapped all the same.
func TestOrdinaryRefused(t *testing.T) {
	conformance.Covers(t, "C118", "C119")
	mario := env.Users("ALFA")[0].Address
	reconfigure(t, "ALFA", `ordinary = "anomaly"`, `ordinary = "refuse"`)
	token, raw := ordinary(t, gino(), mario)
	err := env.Deliver("ALFA", client.Mail{From: gino(), To: []string{mario}, Data: bytes.NewReader(raw)})
	refuses(t, "ordinary mail", err, 550, "5.7.1")
	settle(t, token, nil)

	stranger := someone(t, "LAB_STRANGER").envelope(t, mario)
	err = env.Deliver("ALFA", client.Mail{From: stranger.from, To: []string{mario}, Data: bytes.NewReader(stranger.raw)})
	refuses(t, "mail signed by no provider", err, 550, "5.7.1")
	settle(t, stranger.token, nil)

	broken := someone(t, "LAB_STRANGER").envelope(t, mario).replace(t, "AAECAwQFBgcICQ==", "AAECAwQFBgcICg==")
	err = env.Deliver("ALFA", client.Mail{From: broken.from, To: []string{mario}, Data: bytes.NewReader(broken.raw)})
	refuses(t, "mail with a broken signature of no provider", err, 550, "5.7.1")
	settle(t, broken.token, nil)

	wrong := someone(t, "DELTA").envelope(t, mario).replace(t, "AAECAwQFBgcICQ==", "AAECAwQFBgcICg==")
	deliver(t, "ALFA", wrong.from, []string{mario}, wrong.raw)
	settle(t, wrong.token, map[string][]pec.Kind{mario: {pec.KindAnomaly}})
}

// TestIncomingRecipients: one class of recipients in each transaction, and none that is not ours or is internal.
func TestIncomingRecipients(t *testing.T) {
	mario, olga := env.Users("ALFA")[0].Address, client.ParseLogin(strings.Fields(env["ALFA_ORDINARY_USERS"])[0]).Address
	for _, one := range []struct {
		name     string
		good     []string
		bad      string
		code     int
		enhanced string
	}{
		{"ordinary after certified", []string{mario}, olga, 452, "4.5.3"},
		{"ordinary", nil, olga, 550, "5.7.1"},
		{"internal", nil, pec.AcceptanceMailbox + "@ceralacca.internal", 550, "5.7.1"},
		{"internal after certified", []string{mario}, pec.RefusalMailbox + "@ceralacca.internal", 550, "5.7.1"},
		{"elsewhere", nil, gino(), 550, "5.7.1"},
		{"source route", nil, "@" + env["ALFA_DOMAIN"] + ":" + mario, 501, "5.1.3"},
		{"percent", nil, "mario%" + env["ALFA_DOMAIN"] + "@" + env["ALFA_DOMAIN"], 550, "5.7.1"},
	} {
		t.Run(one.name, func(t *testing.T) {
			c, err := env.Dial("ALFA", "MX_PORT")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			if err := c.Mail(gino(), nil); err != nil {
				t.Fatal(err)
			}
			for _, to := range one.good {
				if err := c.Rcpt(to, nil); err != nil {
					t.Fatal(err)
				}
			}
			refuses(t, "RCPT "+one.bad, c.Rcpt(one.bad, nil), one.code, one.enhanced)
		})
	}
}
