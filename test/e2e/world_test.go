package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab/client"
	"github.com/ceralacca/ceralacca/pec"
)

// patience is how long a test waits for mail to arrive; on an idle machine it takes a second or two.
const patience = 90 * time.Second

// letter is an original to submit.
type letter struct {
	ref  string // its Message-ID with brackets
	raw  []byte
	from string
	to   []string // recipients of the envelope
}

// write makes a letter with a text and an attachment. Recipients in cc are copied; more is put into the header as it is.
func write(t *testing.T, from string, to, cc []string, more ...string) *letter {
	t.Helper()
	ref := "<" + random(t) + "@client.example>"
	var b bytes.Buffer
	fmt.Fprintf(&b, "From: %s\r\nTo: %s\r\n", from, strings.Join(to, ",\r\n "))
	if len(cc) > 0 {
		fmt.Fprintf(&b, "Cc: %s\r\n", strings.Join(cc, ", "))
	}
	fmt.Fprintf(&b, "Subject: Richiesta di prova\r\nDate: %s\r\nMessage-ID: %s\r\n", time.Now().Format(time.RFC1123Z), ref)
	for _, line := range more {
		b.WriteString(line + "\r\n")
	}
	b.WriteString("MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"b1\"\r\n\r\n" +
		"--b1\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nPerch\xc3\xa9 s\xc3\xac.\r\n" +
		"--b1\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n" +
		"Content-Disposition: attachment; filename=\"atto.bin\"\r\n\r\nAAECAwQFBgcICQ==\r\n--b1--\r\n")
	return &letter{ref: ref, raw: b.Bytes(), from: from, to: append(append([]string{}, to...), cc...)}
}

func random(t *testing.T) string {
	t.Helper()
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(b[:])
}

// submit sends l as the user of host who is its sender.
func submit(t *testing.T, host string, user client.Login, l *letter) {
	t.Helper()
	if err := env.Submit(host, user, client.Mail{From: l.from, To: l.to, Data: bytes.NewReader(l.raw)}); err != nil {
		t.Fatalf("submitting as %s: %v", user.Address, err)
	}
}

// await waits for exactly what want says and fails the test otherwise.
func await(t *testing.T, ref string, want map[string][]pec.Kind) map[string][]*client.Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	found, err := env.Await(ctx, ref, want)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// pick returns the one message of the kind in list.
func pick(t *testing.T, list []*client.Message, kind pec.Kind) *client.Message {
	t.Helper()
	for _, m := range list {
		if m.Kind() == kind {
			return m
		}
	}
	t.Fatalf("no message of kind %q", kind)
	return nil
}

// sealed asks OpenSSL, with the CA and its CRL, whether m is genuine, and returns its parts.
func sealed(t *testing.T, m *client.Message) (*pec.Parts, *pec.CertData) {
	t.Helper()
	content, err := client.OpenSSL(t.Context(), m.Raw, env["LAB_CA"], env["LAB_CRL"])
	if err != nil {
		t.Fatalf("%s: %v", m.Kind(), err)
	}
	if _, err := client.OpenSSL(t.Context(), m.Raw, env["DIRECTORY_SIGNER_CA"]); err == nil {
		t.Fatal("OpenSSL accepts a signature under a CA that did not issue the certificate")
	}
	parts, err := pec.ReadParts(pec.Bytes(content))
	if err != nil {
		t.Fatal(err)
	}
	if m.Kind() == pec.KindAnomaly {
		return parts, nil
	}
	data, err := pec.ParseCertData(parts.CertData)
	if err != nil {
		t.Fatal(err)
	}
	return parts, data
}

func section(s pec.Source) io.Reader { return io.NewSectionReader(s, 0, s.Size()) }

// metric is the number of a line of the metrics of a host: of its agent at "METRICS_PORT", of its milter at
// "MILTER_METRICS_PORT"; 0 when it is not there.
func metric(t *testing.T, host, port, line string) float64 {
	t.Helper()
	n, err := env.Metric(host, port, line)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// becomes waits until a condition holds, and says how long it took.
func becomes(t *testing.T, what string, limit time.Duration, holds func() bool) {
	t.Helper()
	start := time.Now()
	for !holds() {
		if time.Since(start) > limit {
			t.Fatalf("%s: not within %v", what, limit)
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Logf("%s: after %v", what, time.Since(start).Round(100*time.Millisecond))
}
