package lab_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/emersion/go-smtp"

	"github.com/ceralacca/ceralacca/deploy/lab"
	"github.com/ceralacca/ceralacca/deploy/lab/client"
	"github.com/ceralacca/ceralacca/internal/conformance"
)

// dialOut opens a session with a host's out instance; cert and key may be empty.
func dialOut(t *testing.T, h *lab.Host, cert, key string) *smtp.Client {
	t.Helper()
	ca, err := os.ReadFile(shared.CA)
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: h.Address}
	config.RootCAs.AppendCertsFromPEM(ca)
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			t.Fatal(err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	conn, err := net.Dial("tcp", net.JoinHostPort(h.Address, strconv.Itoa(h.OutPort)))
	if err != nil {
		t.Fatal(err)
	}
	c, err := smtp.NewClientStartTLS(conn, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestOutTakesMailFromItsTwoClientsOnly(t *testing.T) {
	h := shared.Alfa
	for _, c := range []struct{ what, cert, key, want string }{
		{"the agent", h.OutCert, h.OutKey, ""},
		{"nobody known", "", "", "450 4.7.1"},
		{"another certificate of the same authority", shared.ClientCert, shared.ClientKey, "450 4.7.1"},
		{"the agent of another provider", shared.Beta.OutCert, shared.Beta.OutKey, "450 4.7.1"},
	} {
		if got := code(dialOut(t, h, c.cert, c.key).Mail(h.PECAddress, nil)); got != c.want {
			t.Errorf("MAIL from %s: got %q, want %q", c.what, got, c.want)
		}
	}
}

func TestAnotherUserCannotReadWhatOutAsksFor(t *testing.T) {
	for _, secret := range []string{shared.Alfa.OutKey, shared.Alfa.Key, shared.CAKey} {
		cmd := exec.Command("/bin/cat", secret)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 64999, Gid: 64999}}
		if out, err := cmd.Output(); err == nil {
			t.Errorf("%s: a second user reads %d bytes", secret, len(out))
		}
	}
}

// bounce hands a message to out as the agent does and returns the DSN that comes back.
func bounce(t *testing.T, id, to string) delivery {
	t.Helper()
	h := shared.Alfa
	c := dialOut(t, h, h.OutCert, h.OutKey)
	sender := strings.ToLower(id) + "@" + h.Domain
	err := client.Transact(c, client.Mail{
		From: sender, To: []string{to}, Data: bytes.NewReader(awkward("bounce")),
		Opts: &smtp.MailOptions{EnvelopeID: id, Size: 0},
	})
	if err != nil {
		t.Fatal(err)
	}
	return shared.dsn["alfa"].await(t, sender)
}

func TestBouncesOfOutReachTheAgent(t *testing.T) {
	for _, c := range []struct{ id, to, status string }{
		{"UNKNOWN-DOMAIN", "x@nowhere.example", "Status: 5.4.4"},
		{"UNKNOWN-MAILBOX", "nobody@gamma.example", "Status: 5.1.1"},
	} {
		d := bounce(t, c.id, c.to)
		for _, want := range []string{"Original-Envelope-Id: " + c.id, c.status, "Final-Recipient: rfc822; " + c.to, "Content-Type: multipart/report"} {
			if !bytes.Contains(d.data, []byte(want)) {
				t.Errorf("DSN of %s lacks %q:\n%s", c.id, want, d.data)
			}
		}
		if d.from != "" {
			t.Errorf("DSN of %s: sender: got %q, want none", c.id, d.from)
		}
	}
}

// setting is a parameter of an instance.
func setting(t *testing.T, config, name string) string {
	t.Helper()
	out, err := exec.Command("postconf", "-c", config, "-h", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func TestOutGivesUpAfterItsLifetime(t *testing.T) {
	conformance.Covers(t, "C102")
	config := shared.Alfa.OutConfig
	for _, name := range []string{"maximal_queue_lifetime", "bounce_queue_lifetime"} {
		if got := setting(t, config, name); got != "1d" {
			t.Errorf("%s of out: got %s, want 1d", name, got)
		}
	}
	setMain(t, config, "maximal_queue_lifetime=3s")
	defer setMain(t, config, "maximal_queue_lifetime=1d")
	d := bounce(t, "LIFETIME", "x@"+shared.Delta.Domain) // nobody listens there
	for _, want := range []string{"Original-Envelope-Id: LIFETIME", "Action: failed", "Status: 4.4.1"} {
		if !bytes.Contains(d.data, []byte(want)) {
			t.Errorf("DSN lacks %q:\n%s", want, d.data)
		}
	}
}

func TestDomainOfAProviderIsReachedByTLSOnly(t *testing.T) {
	conformance.Covers(t, "C226", "C228")
	h, d := shared.Alfa, shared.Delta
	l, err := net.Listen("tcp", net.JoinHostPort(d.Host, strconv.Itoa(d.SinkPort)))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	sink := &fakeAgent{}
	s := smtp.NewServer(sink) // without TLS
	s.Domain = "delta"
	go func() { _ = s.Serve(l) }()
	c := dialOut(t, h, h.OutCert, h.OutKey)
	if err := client.Transact(c, client.Mail{From: h.PECAddress, To: []string{"x@" + d.Domain}, Data: strings.NewReader("Subject: x\r\n\r\nx\r\n")}); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, "out refuses to send to delta without TLS", func() bool {
		log, err := os.ReadFile(h.OutLog)
		return err == nil && strings.Contains(string(log), "TLS is required, but was not offered by host")
	})
	if len(sink.taken) > 0 {
		t.Error("mail for a provider left without TLS")
	}
}
