package e2e

import (
	"bytes"
	"crypto/tls"
	"strings"
	"testing"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/pec"
)

// TestAccessNeedsLogin: without a protected connection there is no login, without a login no message.
func TestAccessNeedsLogin(t *testing.T) {
	conformance.Covers(t, "C023", "C024", "C227", "C245", "C254")
	mario := env.Users("ALFA")[0]
	d := converse(t, "ALFA", "SUBMISSION_PORT")
	if strings.Contains(d.offers, "AUTH") {
		t.Errorf("a login is offered without TLS:\n%s", d.offers)
	}
	for _, command := range []string{"AUTH PLAIN AGEAYQ==", "MAIL FROM:<" + mario.Address + ">"} {
		if got := d.say("%s", command); got != "530 5.7.0" {
			t.Errorf("%s without TLS: got %s, want 530 5.7.0", command, got)
		}
	}
	for version, good := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		d := converse(t, "ALFA", "SUBMISSION_PORT")
		if err := d.secure("ALFA", version, version); (err == nil) != good {
			t.Errorf("%s at the access point: %v", tls.VersionName(version), err)
		}
	}
	d = converse(t, "ALFA", "SUBMISSION_PORT")
	if err := d.secure("ALFA", 0, 0); err != nil {
		t.Fatal(err)
	}
	for _, keyword := range []string{"DSN", "SMTPUTF8", "CHUNKING"} {
		if strings.Contains(d.offers, keyword) {
			t.Errorf("%s is offered:\n%s", keyword, d.offers)
		}
	}
	if got := d.say("MAIL FROM:<%s>", mario.Address); got != "530 5.7.0" {
		t.Errorf("MAIL without login: got %s, want 530 5.7.0", got)
	}
	if got := d.say("AUTH PLAIN AGEAYQ=="); got != "535 5.7.8" {
		t.Errorf("a wrong login: got %s, want 535 5.7.8", got)
	}
}

// TestRefusedInSession: what has no reverse path to tell, or no exact recipient, is refused with a code; nobody gets
// anything.
func TestRefusedInSession(t *testing.T) {
	conformance.Covers(t, "C012", "C023", "C042", "C047")
	alfa, bruno := env.Users("ALFA"), env.Users("BETA")[0].Address
	l := write(t, alfa[0].Address, []string{bruno}, nil)
	d := login(t, "ALFA", alfa[0])
	for _, test := range []struct{ mail, want string }{
		{"<" + alfa[1].Address + ">", "553 5.7.1"},
		{"<>", "553 5.7.1"},
		{"<" + bruno + ">", "553 5.7.1"},
		{"<" + env["ALFA_PEC_ADDRESS"] + ">", "553 5.7.1"},
		{"<olga@" + env["ALFA_ORDINARY_DOMAIN"] + ">", "553 5.7.1"},
		{"<@relay.example:" + alfa[0].Address + ">", "501 5.1.3"},
		{"<\"mario\"@" + env["ALFA_DOMAIN"] + ">", "553 5.7.1"},
		{"<mario+altro@" + env["ALFA_DOMAIN"] + ">", "553 5.7.1"},
		{"<" + alfa[0].Address + "> SIZE=157286401", "552 5.3.4"},
	} {
		if got := d.say("MAIL FROM:%s", test.mail); got != test.want {
			t.Errorf("MAIL FROM:%s: got %s, want %s", test.mail, got, test.want)
		}
		d.say("RSET")
	}
	plain := []string{
		`<"bruno rossi"@` + env["BETA_DOMAIN"] + ">", `<"bruno"@` + env["BETA_DOMAIN"] + ">",
		"<bruno%" + env["BETA_DOMAIN"] + "@" + env["ALFA_DOMAIN"] + ">", "<" + env["BETA_DOMAIN"] + "!bruno@" + env["ALFA_DOMAIN"] + ">",
		"<" + bruno + ".>", "<bruno(a comment)@" + env["BETA_DOMAIN"] + ">", "<bruno@[192.0.2.1]>", "<bruno>",
	}
	refusesRecipients(t, "501 5.1.3", plain...)
	refusesRecipients(t, "501 5.1.3", "<@relay.example:"+bruno+">", "<@"+env["ALFA_DOMAIN"]+",@relay.example:"+bruno+">")
	refusesRecipients(t, "550 5.7.1", "<accettazione@ceralacca.internal>", "<rifiuto@ceralacca.internal>", "<rifiuto@Ceralacca.INTERNAL>")
	settle(t, l.ref, nil) // nobody has heard of it
	if got := records(t, "ALFA", l.ref); len(got) > 0 {
		t.Errorf("the log says %s", jsonOf(got))
	}
}

// refusesRecipients asks the access point of alfa for recipients that it must not take, with the arguments of RCPT.
func refusesRecipients(t *testing.T, want string, list ...string) {
	t.Helper()
	mario := env.Users("ALFA")[0]
	d := login(t, "ALFA", mario)
	d.want("250", d.say("MAIL FROM:<%s>", mario.Address))
	for _, rcpt := range list {
		if got := d.say("RCPT TO:%s", rcpt); got != want {
			t.Errorf("RCPT TO:%s: got %s, want %s", rcpt, got, want)
		}
	}
	if got := d.say("DATA"); got != "554 5.5.1" {
		t.Errorf("DATA without a recipient: got %s, want 554 5.5.1", got)
	}
}

// TestNoDeliveryStatusFromClients: who submits cannot ask for reports, nor give the agent an address of his own making.
func TestNoDeliveryStatusFromClients(t *testing.T) {
	mario, bruno := env.Users("ALFA")[0], env.Users("BETA")[0].Address
	for _, parameter := range []string{"RET=FULL", "ENVID=mine"} {
		d := login(t, "ALFA", mario)
		if got := d.say("MAIL FROM:<%s> %s", mario.Address, parameter); !strings.HasPrefix(got, "5") {
			t.Errorf("MAIL with %s: got %s, want a refusal", parameter, got)
		}
	}
	refusesRecipients(t, "501 5.7.1", "<"+bruno+"> NOTIFY=NEVER", "<"+bruno+"> ORCPT=rfc822;x@"+env["BETA_DOMAIN"])
}

// TestRefusedRecipientAmongOthers: the others of the transaction go their way, and nothing certifies the refused one.
func TestRefusedRecipientAmongOthers(t *testing.T) {
	conformance.Covers(t, "C012", "C073")
	mario, bruno := env.Users("ALFA")[0], env.Users("BETA")[0].Address
	l := write(t, mario.Address, []string{bruno}, nil)
	d := login(t, "ALFA", mario)
	d.want("250", d.say("MAIL FROM:<%s> SIZE=%d", mario.Address, len(l.raw)))
	d.want("501", d.say("RCPT TO:<@relay.example:%s>", env.Users("BETA")[1].Address))
	d.want("550", d.say("RCPT TO:<accettazione@ceralacca.internal>"))
	d.want("250", d.say("RCPT TO:<%s>", bruno))
	d.want("354", d.say("DATA"))
	d.raw(append(bytes.Clone(l.raw), ".\r\n"...))
	d.want("250", d.reply())
	found := settle(t, l.ref, map[string][]pec.Kind{
		mario.Address: {pec.KindAcceptance, pec.KindDelivery}, bruno: {pec.KindTransport},
		env.Login("ALFA_SERVICE_USER").Address: {pec.KindTakeCharge},
	})
	_, data := sealed(t, pick(t, found[mario.Address], pec.KindAcceptance))
	if len(data.Recipients) != 1 || data.Recipients[0].Address.String() != bruno {
		t.Errorf("the receipt lists %v", data.Recipients)
	}
}

// TestOverHardSize: what is over the second limit is refused at its end with 552, announced or not, and nobody is told.
func TestOverHardSize(t *testing.T) {
	conformance.Covers(t, "C045", "C049")
	reconfigure(t, "ALFA", "[antivirus]", "[limits]\nsize = 31457280\nproduct = 31457280\nhard_size = 31457280\n\n[antivirus]")
	mario := env.Users("ALFA")[0]
	l := write(t, mario.Address, []string{env.Users("BETA")[0].Address}, nil)
	l.raw = append(l.raw, bytes.Repeat([]byte(strings.Repeat("x", 98)+"\r\n"), 320000)...)
	d := login(t, "ALFA", mario)
	if got := d.say("MAIL FROM:<%s> SIZE=%d", mario.Address, len(l.raw)); got != "552 5.3.4" {
		t.Errorf("MAIL with SIZE=%d: got %s, want 552 5.3.4", len(l.raw), got)
	}
	d = login(t, "ALFA", mario)
	if got := d.send(l.from, l.to, l.raw); got != "552 5.3.4" {
		t.Errorf("%d bytes: got %s, want 552 5.3.4", len(l.raw), got)
	}
	settle(t, l.ref, nil)
}
