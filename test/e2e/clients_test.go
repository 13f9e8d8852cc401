package e2e

import (
	"encoding/xml"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ceralacca/ceralacca/deploy/clients"
	"github.com/ceralacca/ceralacca/deploy/lab/client"
	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/pec"
)

// server is a server of Thunderbird's autoconfiguration.
type server struct {
	Type     string `xml:"type,attr"`
	Host     string `xml:"hostname"`
	Port     string `xml:"port"`
	Socket   string `xml:"socketType"`
	Login    string `xml:"authentication"`
	Username string `xml:"username"`
}

// filled is a sample as alfa would publish it.
func filled(t *testing.T, name string) string {
	t.Helper()
	raw, err := clients.Files.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.NewReplacer(
		"@CERTIFIED_DOMAIN@", env["ALFA_DOMAIN"], "@PROVIDER_NAME@", env["ALFA_PROVIDER"],
		"@IMAP_HOST@", env["ALFA_HOST"], "@IMAPS_PORT@", env["ALFA_IMAPS_PORT"],
		"@SUBMISSION_HOST@", env["ALFA_HOST"], "@SUBMISSION_PORT@", env["ALFA_SUBMISSION_PORT"],
	).Replace(string(raw))
}

// autoconfiguration takes what Thunderbird does.
func autoconfiguration(t *testing.T, text string) (in, out server) {
	t.Helper()
	var config struct {
		Provider struct {
			Domain   []string `xml:"domain"`
			Incoming []server `xml:"incomingServer"`
			Outgoing []server `xml:"outgoingServer"`
		} `xml:"emailProvider"`
	}
	if err := xml.Unmarshal([]byte(text), &config); err != nil {
		t.Fatal(err)
	}
	p := config.Provider
	if len(p.Incoming) != 1 || len(p.Outgoing) != 1 || len(p.Domain) != 1 || p.Domain[0] != env["ALFA_DOMAIN"] {
		t.Fatalf("the sample names %+v", p)
	}
	in, out = p.Incoming[0], p.Outgoing[0]
	if in.Type != "imap" || in.Socket != "SSL" || out.Type != "smtp" || out.Socket != "STARTTLS" {
		t.Fatalf("the sample offers %+v and %+v", in, out)
	}
	return in, out
}

// profile takes the servers of a profile of Apple's.
func profile(t *testing.T, text string) (in, out server) {
	t.Helper()
	value := func(key string) string {
		_, rest, _ := strings.Cut(text, "<key>"+key+"</key><")
		_, rest, _ = strings.Cut(rest, ">")
		value, _, _ := strings.Cut(rest, "<")
		return value
	}
	at := func(which string) server {
		return server{Host: value(which + "HostName"), Port: value(which + "PortNumber"), Username: "%EMAILADDRESS%"}
	}
	return at("IncomingMailServer"), at("OutgoingMailServer")
}

// zone takes the servers of SRV records.
func zone(t *testing.T, text string) (in, out server) {
	t.Helper()
	at := func(service string) server {
		for line := range strings.Lines(text) {
			f := strings.Fields(line)
			if len(f) == 8 && f[0] == service+"._tcp."+env["ALFA_DOMAIN"]+"." && f[3] == "SRV" {
				return server{Host: strings.TrimSuffix(f[7], "."), Port: f[6], Username: "%EMAILADDRESS%"}
			}
		}
		t.Fatalf("no record of %s in\n%s", service, text)
		return server{}
	}
	return at("_imaps"), at("_submission")
}

// TestClientAutoconfiguration does what a mail program does with each sample: it logs in at the servers that it names, over
// TLS, sends, reads, and verifies the signature of what it got as a program that knows only the authority does.
func TestClientAutoconfiguration(t *testing.T) {
	conformance.Covers(t, "C246")
	for name, read := range map[string]func(*testing.T, string) (in, out server){
		"config-v1.1.xml": autoconfiguration, "apple.mobileconfig": profile, "srv.zone": zone,
	} {
		in, out := read(t, filled(t, name))
		t.Run(name, func(t *testing.T) { useServers(t, in, out) })
	}
}

// useServers sends by out, reads from in, and asks openssl.
func useServers(t *testing.T, in, out server) {
	mario, luigi := env.Users("ALFA")[0], env.Users("ALFA")[1]
	// The lab's client speaks IMAP inside of TLS, and SMTP with STARTTLS, as all samples say: see deploy/clients.
	told := client.Env{"LAB_CA": env["LAB_CA"], "X_HOST": in.Host, "X_IMAPS_PORT": in.Port}
	sending := client.Env{"LAB_CA": env["LAB_CA"], "X_HOST": out.Host, "X_SUBMISSION_PORT": out.Port}
	as := func(username string, of client.Login) client.Login {
		return client.Login{Address: strings.ReplaceAll(username, "%EMAILADDRESS%", of.Address), Password: of.Password}
	}
	l := write(t, mario.Address, []string{luigi.Address}, nil)
	if err := sending.Submit("X", as(out.Username, mario), client.Mail{From: l.from, To: l.to, Data: strings.NewReader(string(l.raw))}); err != nil {
		t.Fatalf("sending: %v", err)
	}
	settle(t, l.ref, map[string][]pec.Kind{
		mario.Address: {pec.KindAcceptance, pec.KindDelivery}, luigi.Address: {pec.KindTransport},
		env.Login("ALFA_SERVICE_USER").Address: {pec.KindTakeCharge},
	})
	got, err := told.Holding("X", as(in.Username, luigi), l.ref)
	if err != nil || len(got) != 1 {
		t.Fatalf("reading: %d messages, %v", len(got), err)
	}
	file := filepath.Join(t.TempDir(), "message.eml")
	if err := os.WriteFile(file, got[0].Raw, 0o644); err != nil {
		t.Fatal(err)
	}
	said, err := exec.Command("openssl", "smime", "-verify", "-purpose", "any", "-in", file, "-CAfile", env["LAB_CA"], "-out", os.DevNull).CombinedOutput()
	if err != nil {
		t.Errorf("openssl: %v: %s", err, said)
	}
}
