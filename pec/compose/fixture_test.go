package compose

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/pec"
)

// The data from which the tests compose.
const testIdentifier = pec.Identifier("00112233445566778899aabbccddeeff@alfa.example")

var testInstant = time.Date(2026, 7, 9, 8, 7, 6, 543_210_000, time.UTC)

func address(t testing.TB, s string) pec.Address {
	t.Helper()
	a, err := pec.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func provider(t testing.TB) pec.Provider {
	return pec.Provider{Name: `Alfa "& Figli" S.p.A.`, Address: address(t, "posta-certificata@alfa.example")}
}

// certData is legal data of a kind; with an error that means the virus where that is possible.
func certData(t testing.TB, kind pec.Kind) *pec.CertData {
	subject := "Fattura <n. 7> & perché"
	c := &pec.CertData{
		Kind: kind, Error: pec.ErrorNone, Sender: address(t, "Mario.Rossi@alfa.example"), ReplyTo: `"Ufficio" <ufficio@alfa.example>`,
		Recipients: []pec.Recipient{{Address: address(t, "anna@beta.example"), Type: pec.Certified}, {Address: address(t, "bruno@gamma.example"), Type: pec.Ordinary}},
		Subject:    &subject, Provider: provider(t).Name, Time: testInstant, Identifier: testIdentifier, MessageID: "<1@client>",
	}
	one := address(t, "anna@beta.example")
	switch kind {
	case pec.KindTransport:
		c.Receipt = pec.ReceiptComplete
	case pec.KindTakeCharge:
		c.Taken = []pec.Address{one, address(t, "carlo@beta.example")}
	case pec.KindDelivery:
		c.Receipt, c.Delivery = pec.ReceiptComplete, &one
	case pec.KindNonAcceptance:
		c.Error, c.Detail = pec.ErrorOther, "campo To assente"
	case pec.KindNonDelivery:
		c.Error, c.Detail, c.Delivery = pec.ErrorRecipient, "5.1.1 - Beta - indirizzo non valido", &one
	case pec.KindTimeout:
		c.Error, c.Detail, c.Delivery = pec.ErrorOther, "non consegnato", &one
	case pec.KindVirusDetection:
		c.Error, c.Detail, c.Delivery = pec.ErrorVirus, "ClamAV-Test-File", &one
	}
	return c
}

func certifiedKinds() []pec.Kind {
	return []pec.Kind{pec.KindTransport, pec.KindAcceptance, pec.KindNonAcceptance, pec.KindTakeCharge, pec.KindDelivery, pec.KindNonDelivery, pec.KindTimeout, pec.KindVirusDetection}
}

// xmllint ends the test unless the document is valid against the DTD.
func xmllint(t testing.TB, document []byte) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "document.xml")
	if err := os.WriteFile(path, document, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "xmllint", "--nonet", "--noout", "--dtdvalid", "../postacert.dtd", path).CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		t.Skip("xmllint is not installed")
	}
	if err != nil {
		t.Fatalf("xmllint: %v\n%s\n%s", err, out, document)
	}
}

func content(t testing.TB, s pec.Source) string {
	t.Helper()
	if s == nil {
		return "<none>"
	}
	b, err := io.ReadAll(io.NewSectionReader(s, 0, s.Size()))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// concat is what the signer hashes and a receiver opens.
func concat(t testing.TB, a *pec.Artefact) pec.Source {
	_, b := written(t, a)
	return pec.Bytes(b)
}

func TestReadPartsOfOurs(t *testing.T) {
	conformance.Covers(t, "C056", "C133", "C140", "C163", "C167", "C170", "C178", "C190")
	wantOriginal := map[string]bool{"transport": true, "transport-encrypted": true, "anomaly": true, "anomaly-encrypted": true, "delivery": true, "delivery-brief": true}
	wanted := map[string]string{"anomaly": submitted, "anomaly-encrypted": submitted, "delivery": submitted, "delivery-brief": strings.Replace(withFile,
		"application/pdf; name=fattura.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nYWJj", "text/plain;\r\n name=\"fattura.pdf.hash\"\r\n"+
			"Content-Transfer-Encoding: 7bit\r\nContent-Disposition: attachment;\r\n filename=\"fattura.pdf.hash\"\r\n\r\n"+
			"a9993e364706816aba3e25717850c26c9cd0d89d", 1)}
	for name, a := range artefacts(t) {
		parts, err := pec.ReadParts(concat(t, a))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if (parts.Original != nil) != wantOriginal[name] || (parts.CertData == nil) != (a.Kind == pec.KindAnomaly) || parts.Text == nil {
			t.Errorf("%s: %+v", name, parts)
			continue
		}
		if want := wanted[name]; want != "" && content(t, parts.Original) != want {
			t.Errorf("%s: the original is not byte for byte as it was:\n%q", name, content(t, parts.Original))
		}
		if parts.CertData == nil {
			continue
		}
		xmllint(t, parts.CertData)
		c, err := pec.ParseCertData(parts.CertData)
		if err != nil || c.Kind != a.Kind {
			t.Errorf("%s: %v, %v", name, c, err)
		}
	}
}

// unreadable is a body that nobody may read.
type unreadable struct{ pec.Source }

func (unreadable) ReadAt([]byte, int64) (int, error) { return 0, errors.New("the body was read") }

// Composing does not read the body of the original: its memory does not grow with the message.
func TestComposingDoesNotReadTheBody(t *testing.T) {
	o := original(t, submitted)
	o.Body = unreadable{o.Body}
	if _, err := TransportEnvelope(provider(t), o, certData(t, pec.KindTransport)); err != nil {
		t.Error(err)
	}
}
