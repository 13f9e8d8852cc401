package clients

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ceralacca/ceralacca/internal/conformance"
)

// withTLS is what each sample offers: servers inside of TLS, and submission with STARTTLS where a program can be told so.
var withTLS = map[string][]string{
	"config-v1.1.xml":    {"<socketType>SSL", "<socketType>STARTTLS"},
	"apple.mobileconfig": {"<key>IncomingMailServerUseSSL</key><true/>", "<key>OutgoingMailServerUseSSL</key><true/>"},
	"srv.zone":           {"_imaps", "_submission"},
}

// offers finds what a sample says of each of its servers; a record to no host offers nothing.
func offers(sample string) []string {
	found := regexp.MustCompile(`<socketType>\w+|<key>\w+UseSSL</key><\w+/>`).FindAllString(sample, -1)
	for _, record := range regexp.MustCompile(`(?m)^(_\w+)\._tcp\..*\sSRV\s.*\s(\S+)$`).FindAllStringSubmatch(sample, -1) {
		if record[2] != "." {
			found = append(found, record[1])
		}
	}
	return found
}

// TestSamples: the samples are well-formed, name only placeholders that are explained, and offer nothing without TLS.
func TestSamples(t *testing.T) {
	conformance.Covers(t, "C246")
	page, err := os.ReadFile("../../docs/clients.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"config-v1.1.xml", "apple.mobileconfig", "srv.zone"} {
		raw, err := Files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range regexp.MustCompile(`@[A-Z_]+@`).FindAllString(string(raw), -1) {
			if !strings.Contains(string(page), "`"+strings.Trim(p, "@")+"`") {
				t.Errorf("%s has the placeholder %s, which docs/clients.md does not explain", name, p)
			}
		}
		if got, want := offers(string(raw)), withTLS[name]; !slices.Equal(got, want) {
			t.Errorf("%s offers %q, want %q", name, got, want)
		}
		if strings.HasSuffix(name, ".zone") {
			continue
		}
		d := xml.NewDecoder(strings.NewReader(string(raw)))
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		lint, err := exec.LookPath("xmllint")
		if err != nil {
			continue
		}
		if out, err := exec.Command(lint, "--noout", "--nonet", name).CombinedOutput(); err != nil {
			t.Errorf("xmllint %s: %v\n%s", name, err, out)
		}
	}
}
