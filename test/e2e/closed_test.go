package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/ceralacca/ceralacca/deploy/lab/client"
	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/internal/ledger"
	"github.com/ceralacca/ceralacca/pec"
)

// nobodyElse is a user id that is neither root nor the lab's.
const nobodyElse = 65534

// inject hands a message to alfa's first instance as a local process can.
func inject(t *testing.T, from string, to []string, raw []byte) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sendmail", append([]string{"-C", env["ALFA_POSTFIX_CONFIG"], "-f", from, "-i", "--"}, to...)...)
	cmd.Stdin = bytes.NewReader(bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n")))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("sendmail: %v\n%s", err, out)
	}
}

// madeUpReport is a bounce that nobody's mail server wrote.
func madeUpReport(token, envelopeID string) []byte {
	return fmt.Appendf(nil, "From: MAILER-DAEMON@alfa.example\r\nTo: mario@alfa.example\r\nSubject: bounce %[1]s\r\nMessage-ID: <%[1]s@x.example>\r\n"+
		"Date: Sun, 22 Nov 2026 10:00:00 +0100\r\nMIME-Version: 1.0\r\n"+
		"Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\n"+
		"Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mail.alfa.example\r\n%[2]s\r\n"+
		"Final-Recipient: rfc822; bruno@beta.example\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n--b--\r\n", token, envelopeID)
}

// TestLocalProcess: what did not pass the milter is turned away with 5.7.1 and an alarm, and reaches no certified mailbox,
// though it comes from root on the same machine.
func TestLocalProcess(t *testing.T) {
	conformance.Covers(t, "C158", "C160")
	mario := env.Users("ALFA")[0].Address
	turnedAway := []ledger.Event{ledger.EventUntrusted}
	id := "Original-Envelope-Id: 0123456789abcdef0123456789abcdef." + strings.Repeat("a", 32) + "\r\n"
	for _, one := range []struct {
		name, from string
		to         []string
		raw        func(token string) []byte
		heard      bool // gino gets an ordinary report
		log        []ledger.Event
	}{
		{"a message", gino(), []string{mario}, func(token string) []byte {
			return []byte("From: " + gino() + "\r\nTo: " + mario + "\r\nSubject: " + token + "\r\n\r\nciao\r\n")
		}, true, turnedAway},
		{"a made-up private header", gino(), []string{mario}, func(token string) []byte {
			return []byte("X-Ceralacca-Transaction: 1/1; eyJ2IjoxfQ==\r\nFrom: " + gino() + "\r\nSubject: " + token + "\r\n\r\nciao\r\n")
		}, true, turnedAway},
		{"the internal address", gino(), []string{pec.AcceptanceMailbox + "@ceralacca.internal"}, func(token string) []byte {
			return []byte("From: " + gino() + "\r\nSubject: " + token + "\r\n\r\nciao\r\n")
		}, true, turnedAway},
		{"a made-up report", "<>", []string{mario}, func(token string) []byte { return madeUpReport(token, "") }, false, turnedAway},
		{"a made-up report with an id", "<>", []string{mario}, func(token string) []byte { return madeUpReport(token, id) }, false, turnedAway},
		{"a message that bounces to a user", mario, []string{"nessuno@gamma.example"}, func(token string) []byte {
			return []byte("From: " + mario + "\r\nSubject: " + token + "\r\n\r\nciao\r\n")
		}, false, nil}, // the report that is turned away does not name the token
	} {
		t.Run(one.name, func(t *testing.T) {
			log, token := daemonLog(t, "alfa-lda"), random(t)
			inject(t, one.from, one.to, one.raw(token))
			eventually(t, log, "alarm=true")
			want := map[string][]pec.Kind{}
			if one.heard {
				want[gino()] = []pec.Kind{pec.KindNone}
			}
			found := settle(t, token, want)
			if one.heard && !bytes.Contains(found[gino()][0].Raw, []byte("Status: 5.7.1")) {
				t.Errorf("the sender did not hear 5.7.1:\n%s", found[gino()][0].Raw)
			}
			logged(t, "ALFA", token, one.log...)
		})
	}
}

// TestOutRefusesOthers: neither another user of the machine, nor a certificate of somebody else, hands mail to out.
func TestOutRefusesOthers(t *testing.T) {
	address := env["ALFA_HOST"] + ":" + env["ALFA_OUT_PORT"]
	dialogue := "MAIL FROM:<" + env.Users("ALFA")[0].Address + ">\nRCPT TO:<" + gino() + ">\nQUIT\n"
	for name, credentials := range map[string][]string{
		"without a certificate":                nil,
		"with a certificate of the same CA":    {"-cert", env["LAB_CLIENT_CERT"], "-key", env["LAB_CLIENT_KEY"]},
		"with the certificate of the provider": {"-cert", env["DELTA_CERT"], "-key", env["DELTA_KEY"]},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"s_client", "-quiet", "-crlf", "-starttls", "smtp", "-connect", address}, credentials...)
			cmd := exec.CommandContext(t.Context(), "openssl", args...)
			if credentials == nil { // the keys are root's
				cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobodyElse, Gid: nobodyElse}}
			}
			cmd.Stdin = strings.NewReader(dialogue)
			out, _ := cmd.CombinedOutput() // the answer counts
			if !bytes.Contains(out, []byte("450 4.7.1")) || bytes.Contains(out, []byte("250 2.1.0")) || bytes.Contains(out, []byte("250 2.1.5")) {
				t.Errorf("out answers:\n%s", out)
			}
		})
	}
	c, err := env.Dial("ALFA", "OUT_PORT")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	refuses(t, "MAIL at out", c.Mail(gino(), nil), 450, "4.7.1")

	// The other user cannot read the keys that open it.
	for _, key := range []string{"/first.key", "/etc/out.key", "/etc/hmac", "/etc/signing.key"} {
		file := world.Runtime() + "/alfa" + key
		if _, err := os.Stat(file); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), "cat", file)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobodyElse, Gid: nobodyElse}}
		if out, err := cmd.CombinedOutput(); err == nil || !bytes.Contains(out, []byte("Permission denied")) {
			t.Errorf("another user reads %s: %v", key, err)
		}
	}
}

// TestAlwaysBcc: copies for the administrator are none of certified mail, and no way into a certified mailbox for the rest.
func TestAlwaysBcc(t *testing.T) {
	conformance.Covers(t, "C158", "C160")
	alfa, bruno := env.Users("ALFA"), env.Users("BETA")[0].Address
	spy := alfa[2].Address
	postfixSet(t, "ALFA_POSTFIX_CONFIG", "ALFA_POSTFIX_LOG", "always_bcc="+spy, "sender_bcc_maps=static:"+spy, "recipient_bcc_maps=static:"+spy)

	l := write(t, alfa[0].Address, []string{bruno, alfa[1].Address}, nil)
	submit(t, "ALFA", alfa[0], l)
	settle(t, l.ref, map[string][]pec.Kind{
		alfa[0].Address: {pec.KindAcceptance, pec.KindDelivery, pec.KindDelivery},
		alfa[1].Address: {pec.KindTransport}, bruno: {pec.KindTransport},
		env.Login("ALFA_SERVICE_USER").Address: {pec.KindTakeCharge, pec.KindTakeCharge},
	})
	e := someone(t, "DELTA").envelope(t, alfa[0].Address)
	deliver(t, "ALFA", e.from, []string{alfa[0].Address}, e.raw)
	settle(t, e.token, map[string][]pec.Kind{
		alfa[0].Address: {pec.KindTransport}, dora(): {pec.KindDelivery}, env["DELTA_MAIL_RECEIPT"]: {pec.KindTakeCharge},
	})

	// Ordinary mail is copied, as the administrator wants; the certified mailbox does not take the copy.
	olga := client.ParseLogin(strings.Fields(env["ALFA_ORDINARY_USERS"])[0]).Address
	token, raw := ordinary(t, gino(), olga)
	log := daemonLog(t, "alfa-lda")
	c, err := env.Dial("ALFA", "ORDINARY_MX_PORT")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if err := client.Transact(c, client.Mail{From: gino(), To: []string{olga}, Data: bytes.NewReader(raw)}); err != nil {
		t.Fatal(err)
	}
	eventually(t, log, "alarm=true")
	settle(t, token, map[string][]pec.Kind{olga: {pec.KindNone}}) // nobody asked for that copy, so nobody hears of it
}
