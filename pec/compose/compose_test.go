package compose

import (
	"bytes"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/pec/brief"
)

var update = flag.Bool("update", false, "write the golden files of this package anew")

const submitted = "Received: from client.example (client.example [192.0.2.1])\r\n\tby mx.alfa.example with ESMTPSA id 1\r\n" +
	"Received: by client.example; Thu, 9 Jul 2026 10:07:00 +0200\r\n" +
	"Message-ID: <1@client>\r\nDate: Thu, 9 Jul 2026 10:07:00 +0200\r\nFrom: Mario Rossi <Mario.Rossi@alfa.example>\r\n" +
	"To: =?UTF-8?Q?Anna_=C3=A8?= <anna@beta.example>,\r\n\tbruno@gamma.example\r\nCc: carlo@beta.example\r\n" +
	"Reply-To: \"Ufficio\" <ufficio@alfa.example>\r\nX-TipoRicevuta: completa\r\nX-Mailer: a client\r\n" +
	"Subject: Fattura <n. 7> & =?iso-8859-1?Q?perch=E9?=\r\nMIME-Version: 1.0\r\n" +
	"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nBuongiorno, perché no?\r\n.\r\n\r\nFrom here\r\n"

// withFile is an original with a line beyond ASCII, a long line, and a file.
var withFile = "From: Mario.Rossi@alfa.example\r\nTo: anna@beta.example\r\nSubject: Fattura\r\nX-TipoRicevuta: breve\r\nMIME-Version: 1.0\r\n" +
	"Content-Type: multipart/mixed; boundary=b\r\n\r\nno mail\r\n--b\r\n\r\nBuongiorno, perché no?\r\n" + strings.Repeat("lunga ", 200) +
	"\r\n--b\r\nContent-Type: application/pdf; name=fattura.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nYWJj\r\n--b--\r\n"

// cut is the original of a brief receipt.
func cut(t testing.TB, message string) []pec.Source {
	t.Helper()
	o, err := brief.Cut(pec.Bytes([]byte(message)), brief.Settings{Over: brief.OverDecoded, Algorithm: brief.SHA1})
	if err != nil {
		t.Fatal(err)
	}
	return o.Pieces
}

// original takes a message apart, as the milter and the agent get it.
func original(t testing.TB, message string) Original {
	t.Helper()
	src := pec.Bytes([]byte(message))
	h, body, err := pec.ReadHeader(src, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return Original{Header: h, Body: pec.Section(src, body, src.Size()-body)}
}

// written is the message as it goes out, but for the signature.
func written(t testing.TB, a *pec.Artefact) (header, content []byte) {
	t.Helper()
	var h, c bytes.Buffer
	if _, err := a.Header.WriteTo(&h); err != nil {
		t.Fatal(err)
	}
	for _, s := range a.Content {
		if _, err := io.Copy(&c, io.NewSectionReader(s, 0, s.Size())); err != nil {
			t.Fatal(err)
		}
	}
	return h.Bytes(), c.Bytes()
}

func notify(t testing.TB, n Notification) *pec.Artefact {
	t.Helper()
	if n.To.IsZero() {
		n.To = n.Data.Sender
	}
	a, err := NotificationMessage(provider(t), n)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// notification is a legal one of a kind.
func notification(t testing.TB, kind pec.Kind) Notification {
	n := Notification{Data: *certData(t, kind)}
	switch kind {
	case pec.KindDelivery:
		n.Original = []pec.Source{pec.Bytes([]byte(submitted))}
	case pec.KindVirusDetection:
		n.Virus = "ClamAV-Test-File"
	}
	if kind == pec.KindTakeCharge || kind == pec.KindVirusDetection {
		n.To = address(t, "servizio@alfa.example")
	}
	return n
}

// virus makes a notice one that a virus is the cause of.
func virus(n Notification) Notification {
	n.Data.Error, n.Virus = pec.ErrorVirus, "ClamAV-Test-File"
	n.Data.Detail = "5.5.1 - Alfa - presenza di un virus nel messaggio"
	return n
}

func enveloped(t testing.TB, o Original) *pec.Artefact {
	t.Helper()
	a, err := TransportEnvelope(provider(t), o, certData(t, pec.KindTransport))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func wrapped(t testing.TB, o Original) *pec.Artefact {
	t.Helper()
	a, err := AnomalyEnvelope(provider(t), o, Anomaly{
		Sender: address(t, "Mario.Rossi@alfa.example"), Recipients: []pec.Address{address(t, "anna@beta.example")},
		Reason: pec.ProblemNoSignature.Italian(), Time: testInstant, ID: "0123456789abcdef0123456789abcdef",
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// artefacts are one of every sort that we compose.
func artefacts(t testing.TB) map[string]*pec.Artefact {
	plain, locked := original(t, submitted), original(t, submitted)
	locked.Encrypted = true
	concise, final := notification(t, pec.KindDelivery), notification(t, pec.KindTimeout)
	concise.Concise, concise.Original = true, nil
	short := notification(t, pec.KindDelivery)
	short.Data.Receipt, short.Original = pec.ReceiptBrief, cut(t, withFile)
	timeout := notification(t, pec.KindTimeout)
	timeout.Data.Detail = pec.TimeoutDetail("Alfa", false)
	final.Final, final.Data.Detail = true, pec.TimeoutDetail("Alfa", true)
	unicode := notification(t, pec.KindAcceptance)
	subject := "договор № 7"
	unicode.Data.Subject = &subject
	bare := notification(t, pec.KindAcceptance)
	bare.Data.Subject, bare.Data.MessageID = nil, ""
	return map[string]*pec.Artefact{
		"transport":            enveloped(t, plain),
		"transport-encrypted":  enveloped(t, locked),
		"anomaly":              wrapped(t, plain),
		"anomaly-encrypted":    wrapped(t, locked),
		"acceptance":           notify(t, notification(t, pec.KindAcceptance)),
		"acceptance-unicode":   notify(t, unicode),
		"acceptance-bare":      notify(t, bare),
		"non-acceptance":       notify(t, notification(t, pec.KindNonAcceptance)),
		"non-acceptance-virus": notify(t, virus(notification(t, pec.KindNonAcceptance))),
		"take-charge":          notify(t, notification(t, pec.KindTakeCharge)),
		"delivery":             notify(t, notification(t, pec.KindDelivery)),
		"delivery-brief":       notify(t, short),
		"delivery-concise":     notify(t, concise),
		"non-delivery":         notify(t, notification(t, pec.KindNonDelivery)),
		"non-delivery-virus":   notify(t, virus(notification(t, pec.KindNonDelivery))),
		"timeout-12":           notify(t, timeout),
		"timeout-24":           notify(t, final),
		"virus-detection":      notify(t, notification(t, pec.KindVirusDetection)),
	}
}

func TestGolden(t *testing.T) {
	conformance.Covers(t, "C050", "C052", "C053", "C054", "C055", "C059", "C068", "C070", "C071", "C072", "C074", "C077", "C078",
		"C083", "C128", "C170", "C130", "C135", "C137", "C138", "C139", "C162", "C163", "C180", "C181", "C188", "C190", "C191", "C196", "C197")
	for name, a := range artefacts(t) {
		header, content := written(t, a)
		got := append(append(header, "\r\n"...), content...)
		path := filepath.Join("testdata", name+".eml")
		if *update {
			if err := os.WriteFile(path, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s is not as in %s:\n%s", name, path, diff)
		}
	}
}
