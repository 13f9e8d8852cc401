package e2e

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab/client"
	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/pec"
)

// TestServerSettings asks the running instances for what the standard wants of them.
func TestServerSettings(t *testing.T) {
	conformance.Covers(t, "C102", "C228")
	for _, host := range []string{"ALFA", "BETA"} {
		for name, want := range map[string]string{
			"maximal_queue_lifetime": "1d", "bounce_queue_lifetime": "1d", "smtp_tls_mandatory_protocols": ">=TLSv1.2", "relayhost": "",
			"message_drop_headers": "", "mime_header_checks": "", "nested_header_checks": "", "smtp_line_length_limit": "0",
			"disable_mime_output_conversion": "yes", "local_header_rewrite_clients": "",
		} {
			if got := setting(t, host+"_OUT_CONFIG", name); got != want {
				t.Errorf("%s of out of %s is %q, want %q", name, host, got, want)
			}
		}
		if got := setting(t, host+"_POSTFIX_CONFIG", "maximal_queue_lifetime"); got != "5d" {
			t.Errorf("the first instance of %s keeps mail for %s: the agent needs two days at least", host, got)
		}
	}
}

func setting(t *testing.T, variable, name string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "postconf", "-c", env[variable], "-h", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// TestIncomingTLS: the incoming point takes plain and protected connections alike.
func TestIncomingTLS(t *testing.T) {
	conformance.Covers(t, "C226", "C229")
	mario := env.Users("ALFA")[0].Address
	for name, protected := range map[string]bool{"plain": false, "protected": true} {
		t.Run(name, func(t *testing.T) {
			e := someone(t, "DELTA").envelope(t, mario)
			d := converse(t, "ALFA", "MX_PORT")
			if !strings.Contains(d.offers, "STARTTLS") || strings.Contains(d.offers, "AUTH") || strings.Contains(d.offers, "DSN") {
				t.Errorf("the incoming point offers\n%s", d.offers)
			}
			if protected {
				if err := d.secure("ALFA", tls.VersionTLS12, 0); err != nil {
					t.Fatal(err)
				}
			}
			if got := d.send(e.from, []string{mario}, e.raw); got != "250 2.0.0" {
				t.Fatalf("the envelope was answered %s", got)
			}
			settle(t, e.token, map[string][]pec.Kind{
				mario: {pec.KindTransport}, dora(): {pec.KindDelivery}, env["DELTA_MAIL_RECEIPT"]: {pec.KindTakeCharge},
			})
		})
	}
}

// TestMailboxTLS: users read their mail over TLS 1.2 or later, after a login.
func TestMailboxTLS(t *testing.T) {
	conformance.Covers(t, "C227", "C245", "C254")
	pem, err := os.ReadFile(env["LAB_CA"])
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	address := net.JoinHostPort(env["ALFA_HOST"], env["ALFA_IMAPS_PORT"])
	for version, good := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		dialer := &net.Dialer{Timeout: 10 * time.Second}
		conn, err := tls.DialWithDialer(dialer, "tcp", address, &tls.Config{
			RootCAs: roots, ServerName: env["ALFA_HOST"], MinVersion: version, MaxVersion: version,
		})
		if (err == nil) != good {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
		if err == nil {
			_ = conn.Close() // nothing was said
		}
	}
	if _, err := env.Fetch("ALFA", client.Login{Address: env.Users("ALFA")[0].Address, Password: "wrong"}); err == nil {
		t.Error("a mailbox opens with a wrong password")
	}
}

// TestProviderWithoutTLS: an envelope for a provider whose server has no TLS waits; no byte of it travels in clear.
func TestProviderWithoutTLS(t *testing.T) {
	conformance.Covers(t, "C226", "C228")
	with := post.tls
	restart := func(conf *tls.Config) {
		post.close()
		post.tls = conf
		if err := post.open(); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(func() { restart(with) })
	restart(nil)
	mario := env.Users("ALFA")[0]
	l := write(t, mario.Address, []string{dora()}, nil)
	log := logFile(t, env["ALFA_OUT_LOG"])
	submit(t, "ALFA", mario, l)
	eventually(t, log, "TLS is required, but was not offered")
	if got := post.holding(l.ref); len(got) > 0 {
		t.Errorf("delta got the message without TLS: %d mailboxes hold it", len(got))
	}
	restart(with)
	settle(t, l.ref, map[string][]pec.Kind{mario.Address: {pec.KindAcceptance}, dora(): {pec.KindTransport}})
}

// TestOrdinaryUsers: ordinary mail of the same first instance passes as if ceralacca were not there.
func TestOrdinaryUsers(t *testing.T) {
	olga, oscar := ordinaryUser(0), ordinaryUser(1)
	gino := env.Users("GAMMA")[0]
	log := daemonLog(t, "alfa-milter")
	l := write(t, gino.Address, []string{olga.Address, oscar.Address}, nil, "X-Ceralacca-Other: kept", "X-Ricevuta: avvenuta-consegna")
	l.raw = append(l.raw, "X : v\r\n.\r\nFrom me\r\n"...)
	submit(t, "GAMMA", gino, l)
	found := settle(t, l.ref, map[string][]pec.Kind{olga.Address: {pec.KindDelivery}, oscar.Address: {pec.KindDelivery}})
	for _, u := range []client.Login{olga, oscar} {
		m := found[u.Address][0]
		if !bytes.HasSuffix(m.Raw, l.raw) {
			t.Errorf("%s got\n%s\nwant\n%s", u.Address, m.Raw, l.raw)
		}
		wantNoPrivateHeader(t, m)
		for _, f := range m.Header[:len(m.Header)-len(headerOf(t, l.raw))] {
			if f.Name != "Return-Path" && f.Name != "Delivered-To" && f.Name != "Received" {
				t.Errorf("the server added %s:%s", f.Name, f.Value)
			}
		}
	}
	if strings.Contains(log(), "verdict") {
		t.Errorf("the milter saw ordinary mail:\n%s", log())
	}
}

func ordinaryUser(i int) client.Login {
	return client.ParseLogin(strings.Fields(env["ALFA_ORDINARY_USERS"])[i])
}

func headerOf(t *testing.T, raw []byte) pec.Header {
	t.Helper()
	h, _, err := pec.ReadHeader(pec.Bytes(raw), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// wantNoPrivateHeader looks for our own header in all of m but the original.
func wantNoPrivateHeader(t *testing.T, m *client.Message) {
	t.Helper()
	if len(m.Header.Values("X-Ceralacca-Transaction")) > 0 {
		t.Errorf("the private header reached a mailbox:\n%.2000s", m.Raw)
	}
}

// TestCertifiedToOrdinaryNeighbour: a certified user writes to an ordinary user of the same first instance, who gets the
// envelope as all others do, without the private header.
func TestCertifiedToOrdinaryNeighbour(t *testing.T) {
	conformance.Covers(t, "C031", "C087")
	mario, olga := env.Users("ALFA")[0], ordinaryUser(0)
	l := write(t, mario.Address, []string{olga.Address}, nil)
	submit(t, "ALFA", mario, l)
	found := settle(t, l.ref, map[string][]pec.Kind{mario.Address: {pec.KindAcceptance}, olga.Address: {pec.KindTransport}})
	m := found[olga.Address][0]
	parts, data := sealed(t, m)
	wantNoPrivateHeader(t, m)
	if got := read(t, parts.Original); got != l.kept(nil, data.Identifier) {
		t.Errorf("the original is\n%q", got)
	}
	if data.Recipients[0].Type != pec.Ordinary {
		t.Errorf("%s is called %s", olga.Address, data.Recipients[0].Type)
	}
}

// TestOrdinaryListener: certified mailboxes cannot be reached past the milter.
func TestOrdinaryListener(t *testing.T) {
	conformance.Covers(t, "C103")
	d := converse(t, "ALFA", "ORDINARY_MX_PORT")
	d.want("250", d.say("MAIL FROM:<%s>", env.Users("GAMMA")[0].Address))
	for _, to := range []string{
		env.Users("ALFA")[0].Address, strings.ToUpper(env.Users("ALFA")[0].Address), env["ALFA_ALIAS"], env["ALFA_PEC_ADDRESS"],
		"accettazione@ceralacca.internal", "rifiuto@Ceralacca.Internal", "mario@sub." + env["ALFA_DOMAIN"],
	} {
		if got := d.say("RCPT TO:<%s>", to); got != "550 5.7.1" {
			t.Errorf("RCPT TO:<%s> on the ordinary listener: got %s, want 550 5.7.1", to, got)
		}
	}
}
