package clients

import (
	"encoding/xml"
	"errors"
	"io"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ceralacca/ceralacca/internal/conformance"
)

// TestSamples: the samples are well-formed, name only placeholders that are explained, and offer nothing without TLS.
func TestSamples(t *testing.T) {
	conformance.Covers(t, "C246")
	known := []string{"@CERTIFIED_DOMAIN@", "@PROVIDER_NAME@", "@IMAP_HOST@", "@IMAPS_PORT@", "@SUBMISSION_HOST@", "@SUBMISSION_PORT@"}
	for _, name := range []string{"config-v1.1.xml", "apple.mobileconfig", "srv.zone"} {
		raw, err := Files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range regexp.MustCompile(`@[A-Z_]+@`).FindAllString(string(raw), -1) {
			if !slices.Contains(known, p) {
				t.Errorf("%s has the placeholder %s", name, p)
			}
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
