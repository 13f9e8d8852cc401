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

// TestClientAutoconfiguration does what a mail program does with the sample: it logs in at the servers that it names, over
// TLS, sends, reads, and verifies the signature of what it got as a program that knows only the authority does.
func TestClientAutoconfiguration(t *testing.T) {
	conformance.Covers(t, "C246")
	mario, luigi := env.Users("ALFA")[0], env.Users("ALFA")[1]
	raw, err := clients.Files.ReadFile("config-v1.1.xml")
	if err != nil {
		t.Fatal(err)
	}
	filled := strings.NewReplacer(
		"@CERTIFIED_DOMAIN@", env["ALFA_DOMAIN"], "@PROVIDER_NAME@", env["ALFA_PROVIDER"],
		"@IMAP_HOST@", env["ALFA_HOST"], "@IMAPS_PORT@", env["ALFA_IMAPS_PORT"],
		"@SUBMISSION_HOST@", env["ALFA_HOST"], "@SUBMISSION_PORT@", env["ALFA_SUBMISSION_PORT"],
	).Replace(string(raw))
	var config struct {
		Provider struct {
			Domain   []string `xml:"domain"`
			Incoming []server `xml:"incomingServer"`
			Outgoing []server `xml:"outgoingServer"`
		} `xml:"emailProvider"`
	}
	if err := xml.Unmarshal([]byte(filled), &config); err != nil {
		t.Fatal(err)
	}
	p := config.Provider
	if len(p.Incoming) != 1 || len(p.Outgoing) != 1 || len(p.Domain) != 1 || p.Domain[0] != env["ALFA_DOMAIN"] {
		t.Fatalf("the sample names %+v", p)
	}
	in, out := p.Incoming[0], p.Outgoing[0]
	if in.Type != "imap" || in.Socket != "SSL" || out.Type != "smtp" || out.Socket != "STARTTLS" {
		t.Fatalf("the sample offers %+v and %+v", in, out)
	}
	// The lab's client speaks IMAP inside of TLS, and SMTP with STARTTLS, as the sample has just been seen to say.
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
