package lab_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/ceralacca/ceralacca/deploy/lab"
	"github.com/ceralacca/ceralacca/deploy/lab/client"
	"github.com/ceralacca/ceralacca/internal/conformance"
)

func TestPostfixFindsNothingToSayAboutItsFiles(t *testing.T) {
	for _, config := range []string{
		shared.Alfa.PostfixConfig, shared.Alfa.OutConfig, shared.Beta.PostfixConfig, shared.Beta.OutConfig, shared.Gamma.PostfixConfig,
	} {
		for _, args := range [][]string{{"postfix", "-c", config, "check"}, {"postconf", "-c", config, "-n"}, {"postconf", "-c", config, "-M"}, {"postconf", "-c", config, "-P"}} {
			cmd := exec.Command(args[0], args[1:]...)
			var complaints bytes.Buffer
			cmd.Stderr = &complaints
			if err := cmd.Run(); err != nil || complaints.Len() > 0 {
				t.Errorf("%s: %v: %s", strings.Join(args, " "), err, complaints.String())
			}
		}
	}
}

func TestSubmission(t *testing.T) {
	conformance.Covers(t, "C227", "C245")
	h := shared.Alfa
	c, err := shared.env.Dial("ALFA", "SUBMISSION_PORT")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got, want := code(c.Mail(h.Users[0].Address, nil)), "530 5.7.0"; got != want {
		t.Errorf("MAIL without a login: got %q, want %q", got, want)
	}
	for _, keyword := range []string{"DSN", "SMTPUTF8", "CHUNKING"} {
		if ok, _ := c.Extension(keyword); ok {
			t.Errorf("%s is offered", keyword)
		}
	}
	raw := awkward("submission")
	if err := shared.env.Submit("ALFA", login(h.Users[0]), client.Mail{
		From: h.Users[0].Address, To: []string{h.Alias}, Data: bytes.NewReader(raw),
	}); err != nil {
		t.Fatal(err)
	}
	macros := <-shared.submission["alfa"]
	for name, want := range map[string]string{
		"{auth_authen}": h.Users[0].Address, "{daemon_name}": "ceralacca-submission", "{client_addr}": "127.0.0.1",
	} {
		if got := macros[name]; got != want {
			t.Errorf("macro %s at MAIL: got %q, want %q", name, got, want)
		}
	}
	d := shared.agent["alfa"].await(t, h.Alias) // as it was written: the agent expands [C206]
	if got := after(t, d.data, "X-Ceralacca"); !bytes.Equal(got, raw) {
		t.Errorf("at the agent: got\n%q, want\n%q", got, raw)
	}
}

// Whatever form an address has, it is the milter that answers: it knows which need a notice.
func TestSubmissionLeavesAddressesToTheMilter(t *testing.T) {
	h := shared.Alfa
	c, err := shared.env.Dial("ALFA", "SUBMISSION_PORT")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Auth(sasl.NewPlainClient("", h.Users[0].Address, h.Users[0].Password)); err != nil {
		t.Fatal(err)
	}
	if err := c.Mail("somebody@else.example", nil); err != nil {
		t.Errorf("MAIL of a foreign sender: %v", err)
	}
	for _, to := range []string{
		"@relay.example:mario@alfa.example", "x@ceralacca.internal", "mario%beta.example@alfa.example", "mario", "x@nowhere.example",
	} {
		if err := c.Rcpt(to, nil); err != nil {
			t.Errorf("RCPT %s: %v", to, err)
		}
	}
}

func TestEnvelopeToAnotherProvider(t *testing.T) {
	conformance.Covers(t, "C226", "C228")
	raw := awkward("to beta")
	h := shared.Alfa
	if err := shared.env.Submit("ALFA", login(h.Users[0]), client.Mail{
		From: h.Users[0].Address, To: []string{shared.Beta.Users[0].Address}, Data: bytes.NewReader(raw),
	}); err != nil {
		t.Fatal(err)
	}
	d := shared.agent["beta"].await(t, shared.Beta.Users[0].Address)
	if got := after(t, d.data, "Return-Path"); !bytes.Equal(got, sent(raw)) {
		t.Errorf("at beta's agent: got\n%q, want\n%q", got, sent(raw))
	}
	if bytes.Contains(d.data, []byte("outside")) {
		t.Error("the private header left the provider")
	}
	if !bytes.Contains(d.data, []byte("by mail.beta.example (Postfix) with ESMTPS id")) {
		t.Errorf("no TLS between the providers:\n%s", d.data)
	}
	out, err := os.ReadFile(h.OutLog)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(out), "to=<"+shared.Beta.Users[0].Address+">") {
		t.Error("the message did not pass the out instance")
	}
}

func TestEnvelopeToOrdinaryDomainOfTheSameInstance(t *testing.T) {
	raw := awkward("to ordinaria")
	h, to := shared.Alfa, shared.Alfa.OrdinaryUsers[0]
	if err := shared.env.Submit("ALFA", login(h.Users[0]), client.Mail{
		From: h.Users[0].Address, To: []string{to.Address}, Data: bytes.NewReader(raw),
	}); err != nil {
		t.Fatal(err)
	}
	got := after(t, inbox(t, "ALFA", to, "to ordinaria"), "Return-Path: <else")
	if !bytes.Equal(got, sent(raw)) {
		t.Errorf("in the mailbox: got\n%q, want\n%q", got, sent(raw))
	}
}

func TestOrdinaryMailIsUntouched(t *testing.T) {
	raw := []byte("X-Ceralacca: kept\r\nFrom: gino@gamma.example\r\nSubject: ordinary\r\n" +
		"Date: Sun, 22 Nov 2026 12:00:00 +0000\r\nMessage-ID: <1@gamma.example>\r\n\r\nhello\r\n")
	to := shared.Alfa.OrdinaryUsers[1]
	before := len(shared.submission["alfa"])
	if err := shared.env.Submit("GAMMA", login(shared.Gamma.Users[0]), client.Mail{
		From: shared.Gamma.Users[0].Address, To: []string{to.Address}, Data: bytes.NewReader(raw),
	}); err != nil {
		t.Fatal(err)
	}
	if got := after(t, inbox(t, "ALFA", to, "ordinary"), "X-Ceralacca"); !bytes.Equal(got, raw) {
		t.Errorf("in the mailbox: got\n%q, want\n%q", got, raw)
	}
	if len(shared.submission["alfa"]) != before {
		t.Error("ordinary mail passed the milter")
	}
}

// What an administrator had before, what he has with ceralacca, and what he has once he took it out again deliver an
// ordinary message with the same bytes; so do they while nothing answers at ceralacca's sockets.
func TestOrdinaryMailIsTheSameBeforeDuringAndAfter(t *testing.T) {
	h := shared.Alfa
	with := [2]string{readConfig(t, h, "main.cf"), readConfig(t, h, "master.cf")}
	const begin, end = "# ceralacca: what the first Postfix instance gains at the end", "# The listener of the ordinary domains."
	main, _, found := strings.Cut(with[0], "# ceralacca: what the first Postfix instance")
	head, rest, found2 := strings.Cut(with[1], begin)
	_, tail, found3 := strings.Cut(rest, end)
	if !found || !found2 || !found3 {
		t.Fatal("the configuration no longer shows where ceralacca's part begins and ends")
	}
	without := [2]string{main + "\nvirtual_mailbox_domains = " + h.OrdinaryDomain + "\n", head + end + tail}
	t.Cleanup(func() { writeConfig(t, h, with) })
	deliver := func(subject string) []byte {
		// What Postfix may touch, but for a line over 998 bytes: it breaks those on the way to LMTP, and no longer does
		// with ceralacca, which README.md says.
		raw := append([]byte("X-Begin: here\r\nDate: Sun, 22 Nov 2026 12:00:00 +0000\r\nMessage-ID: <1@gamma.example>\r\n"),
			bytes.Replace(awkward(subject), []byte(strings.Repeat("long ", 400)), []byte(strings.Repeat("long ", 190)), 1)...)
		raw = bytes.ReplaceAll(raw, []byte("X-Ceralacca-Transaction"), []byte("X-Of-Somebody")) // the one name that is ours
		s, err := shared.env.Dial("ALFA", "ORDINARY_MX_PORT")
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		to := h.OrdinaryUsers[1] // another test counts what the third has
		if err := client.Transact(s, client.Mail{From: "gino@gamma.example", To: []string{to.Address}, Data: bytes.NewReader(raw)}); err != nil {
			t.Fatal(err)
		}
		got := after(t, inbox(t, "ALFA", to, subject), "X-Begin")
		return bytes.Replace(got, []byte("Subject: "+subject), []byte("Subject:"), 1)
	}
	writeConfig(t, h, without)
	before := deliver("before ceralacca")
	writeConfig(t, h, with)
	during := deliver("with ceralacca")
	nobody := strings.ReplaceAll(with[1], h.SubmissionSocket, h.SubmissionSocket+".gone")
	nobody = strings.ReplaceAll(nobody, h.IncomingSocket, h.IncomingSocket+".gone")
	writeConfig(t, h, [2]string{with[0], nobody})
	down := deliver("with its daemons down")
	writeConfig(t, h, without)
	undone := deliver("without ceralacca")
	for what, got := range map[string][]byte{"with ceralacca": during, "its daemons down": down, "taken out again": undone} {
		if !bytes.Equal(got, before) {
			t.Errorf("%s: got\n%q, before\n%q", what, got, before)
		}
	}
}

func readConfig(t *testing.T, h *lab.Host, name string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(h.PostfixConfig, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// writeConfig replaces main.cf and master.cf of the first instance, reloads it and waits until each listener that it has
// then greets by the new configuration.
func writeConfig(t *testing.T, h *lab.Host, text [2]string) {
	t.Helper()
	sum := sha256.Sum256([]byte(text[0] + text[1]))
	greeting := fmt.Sprintf("configuration %x", sum[:4])
	text[0] += "\nsmtpd_banner = $myhostname ESMTP " + greeting + "\n"
	for i, name := range []string{"main.cf", "master.cf"} {
		if err := os.WriteFile(filepath.Join(h.PostfixConfig, name), []byte(text[i]), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("postfix", "-c", h.PostfixConfig, "reload").CombinedOutput(); err != nil {
		t.Fatalf("reload: %v: %s", err, out)
	}
	for _, port := range []int{h.OrdinaryMXPort, h.MXPort, h.SubmissionPort} {
		address := net.JoinHostPort(h.Address, strconv.Itoa(port))
		if !strings.Contains(text[1], address) {
			if port == h.OrdinaryMXPort {
				t.Fatalf("master.cf does not name %s", address)
			}
			continue
		}
		eventually(t, patience, address+" greets by the new configuration", func() bool { return strings.Contains(firstLine(address), greeting) })
	}
}

// firstLine is the first line that an SMTP server says, empty when there is none.
func firstLine(address string) string {
	c, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return ""
	}
	defer c.Close()
	line, _ := bufio.NewReader(c).ReadString('\n')
	return line
}

func TestIncomingPointTakesPlainAndProtectedConnections(t *testing.T) {
	conformance.Covers(t, "C229")
	h := shared.Alfa
	plain, err := smtp.Dial(net.JoinHostPort(h.Address, strconv.Itoa(h.MXPort)))
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	if ok, _ := plain.Extension("STARTTLS"); !ok {
		t.Error("STARTTLS is not offered")
	}
	if err := client.Transact(plain, client.Mail{From: "x@gamma.example", To: []string{h.Users[2].Address}, Data: strings.NewReader("Subject: plain\r\n\r\nx\r\n")}); err != nil {
		t.Errorf("a plain connection: %v", err)
	}
	shared.agent["alfa"].await(t, h.Users[2].Address)
	if err := shared.env.Deliver("ALFA", client.Mail{From: "x@gamma.example", To: []string{h.Users[2].Address}, Data: strings.NewReader("Subject: tls\r\n\r\nx\r\n")}); err != nil {
		t.Errorf("a protected connection: %v", err)
	}
	shared.agent["alfa"].await(t, h.Users[2].Address)
}

func TestRefusalsByListener(t *testing.T) {
	for _, c := range []struct {
		what, port, to, want string
	}{
		{"certified domain on the ordinary listener", "ORDINARY_MX_PORT", "mario@alfa.example", "550 5.7.1"},
		{"internal domain on the ordinary listener", "ORDINARY_MX_PORT", "x@ceralacca.internal", "550 5.7.1"},
		{"unknown ordinary mailbox", "ORDINARY_MX_PORT", "nobody@ordinaria.example", "550 5.1.1"},
		{"unknown certified mailbox at the incoming point", "MX_PORT", "nobody@alfa.example", ""},
		{"source route at the incoming point: the milter answers", "MX_PORT", "@relay.example:mario@alfa.example", ""},
		{"our ordinary domain at the incoming point: the milter answers", "MX_PORT", "olga@ordinaria.example", ""},
		{"relaying through the incoming point", "MX_PORT", "gino@gamma.example", "550 5.7.1"},
		{"subdomain of a certified domain", "MX_PORT", "mario@sub.alfa.example", "550 5.7.1"},
		{"internal domain at the incoming point", "MX_PORT", "x@ceralacca.internal", "550 5.7.1"},
	} {
		s, err := shared.env.Dial("ALFA", c.port)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Mail("gino@gamma.example", nil); err != nil {
			t.Fatal(err)
		}
		if got := code(s.Rcpt(c.to, nil)); got != c.want {
			t.Errorf("%s: RCPT %s: got %q, want %q", c.what, c.to, got, c.want)
		}
		_ = s.Close()
	}
}

func TestAlwaysBccDoesNotReachCertifiedMail(t *testing.T) {
	h := shared.Alfa
	setMain(t, h.PostfixConfig, "always_bcc="+h.OrdinaryUsers[2].Address)
	defer setMain(t, h.PostfixConfig, "always_bcc=")
	if err := shared.env.Submit("ALFA", login(h.Users[0]), client.Mail{
		From: h.Users[0].Address, To: []string{h.Users[2].Address}, Data: strings.NewReader("Subject: certified, no copy\r\n\r\nx\r\n"),
	}); err != nil {
		t.Fatal(err)
	}
	shared.agent["alfa"].await(t, h.Users[2].Address)
	if err := shared.env.Submit("GAMMA", login(shared.Gamma.Users[0]), client.Mail{
		From: shared.Gamma.Users[0].Address, To: []string{h.OrdinaryUsers[1].Address}, Data: strings.NewReader("Subject: ordinary, copied\r\n\r\nx\r\n"),
	}); err != nil {
		t.Fatal(err)
	}
	inbox(t, "ALFA", h.OrdinaryUsers[2], "ordinary, copied")
	list, err := shared.env.Fetch("ALFA", login(h.OrdinaryUsers[2]))
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 1 {
		t.Errorf("copies: got %d, want the one of the ordinary message", len(list))
	}
}

// setMain edits main.cf of an instance and reloads it.
func setMain(t *testing.T, config string, settings ...string) {
	t.Helper()
	for _, args := range [][]string{append([]string{"postconf", "-c", config, "-e"}, settings...), {"postfix", "-c", config, "reload"}} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
	}
}
