package examine

import (
	"bytes"
	"encoding/base64"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/pec"
)

// resign makes another provider's spelling of a message: what is signed is altered, and OpenSSL signs it anew.
func (w *world) resign(t testing.TB, p *provider, message []byte, change func(content string) string, flags ...string) []byte {
	t.Helper()
	dir := t.TempDir()
	header, body, _ := bytes.Cut(message, []byte("\r\n\r\n"))
	_, after, _ := bytes.Cut(header, []byte(`boundary="`))
	boundary, _, _ := bytes.Cut(after, []byte(`"`))
	content, _, _ := bytes.Cut(body, []byte("\r\n--"+string(boundary)+"\r\nContent-Type: application/pkcs7"))
	content = bytes.TrimPrefix(content, []byte("--"+string(boundary)+"\r\n"))
	key, err := p.pair.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"in": []byte(change(string(content))), "crt": p.pair.CertPEM(), "key": key} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	args := append([]string{"-sign", "-binary", "-in", "in", "-signer", "crt", "-inkey", "key", "-out", "out", "-crlfeol"}, flags...)
	cmd := exec.Command("openssl", append([]string{"smime"}, args...)...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("openssl: %v: %s", err, out)
	}
	signed, err := os.ReadFile(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	own, _, _ := bytes.Cut(header, []byte("MIME-Version"))
	signed = bytes.ReplaceAll(bytes.ReplaceAll(signed, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
	return append(bytes.Clone(own), signed...)
}

func keep(s string) string { return s }

// What other providers write (wire.md 10.3): it holds all the same.
func TestForeignSpellings(t *testing.T) {
	conformance.Covers(t, "C256", "C257", "C258", "C260", "C261")
	w := newWorld(t)
	receipt := w.beta.message(t, pec.KindDelivery)
	for name, message := range map[string][]byte{
		"signed by OpenSSL":        w.resign(t, w.beta, receipt, keep),
		"SHA-1":                    w.resign(t, w.beta, receipt, keep, "-md", "sha1"),
		"streamed, in BER":         w.resign(t, w.beta, receipt, keep, "-stream", "-indef"),
		"unknown fields":           append([]byte("Return-Path: <posta-certificata@beta.example>\r\nDelivered-To: mario\r\nX-REM-Subject: x\r\n"), receipt...),
		"name in From":             bytes.Replace(receipt, []byte("From: posta-"), []byte("From: Posta Certificata Beta <posta-"), 1),
		"spelling of X-Ricevuta":   bytes.Replace(receipt, []byte("X-Ricevuta: avvenuta-consegna"), []byte("x-ricevuta:Avvenuta-Consegna"), 1),
		"Subject encoded as whole": recoded(t, receipt),
		"extra text":               w.resign(t, w.beta, receipt, func(s string) string { return strings.Replace(s, "Ricevuta di", "-- NOTA -- Ricevuta di", 1) }),
	} {
		if name == "name in From" {
			message = bytes.Replace(message, []byte("<posta-certificata@beta.example"), []byte("<posta-certificata@beta.example>"), 1)
		}
		if r := report(t, w.everything(), message); !r.OK {
			t.Errorf("%s: %s", name, r.Text())
		}
	}
}

// recoded is the message with prefix and subject in one encoded word.
func recoded(t testing.TB, message []byte) []byte {
	t.Helper()
	begin := bytes.Index(message, []byte("\r\nSubject:"))
	end := begin + 2 + bytes.Index(message[begin+2:], []byte("\r\nFrom:"))
	return append(append(bytes.Clone(message[:begin]), "\r\nSubject: =?UTF-8?Q?CONSEGNA=3A_Disdetta_=E2=80=94_per=C3=B2?="...), message[end:]...)
}

// Signed text that speaks of another message than the certification data does not hold.
func TestTextOfAnotherMessage(t *testing.T) {
	conformance.Covers(t, "C058")
	w := newWorld(t)
	message := w.resign(t, w.beta, w.beta.message(t, pec.KindDelivery), func(s string) string {
		return strings.ReplaceAll(s, "mario", "paolo")
	})
	r := report(t, w.everything(), message)
	if got := results(r); got != "ttttttf" || !strings.Contains(detail(r, CheckText), "does not name "+sender) {
		t.Errorf("%s\n%s", got, r.Text())
	}
	without := w.resign(t, w.beta, w.beta.message(t, pec.KindDelivery), func(s string) string {
		return strings.Replace(s, `name="daticert.xml"`, `name="other.xml"`, 1)
	})
	without = bytes.Replace(without, []byte(`filename="daticert.xml"`), []byte(`filename="o"`), 1)
	if r := report(t, w.everything(), without); r.OK {
		t.Errorf("without certification data: %s", r.Text())
	}
}

func TestNotOfTheSystem(t *testing.T) {
	conformance.Covers(t, "C104")
	w := newWorld(t)
	plain := "Content-Type: text/plain\r\n\r\nHello\r\n"
	personal := w.resign(t, w.alfa, w.beta.message(t, pec.KindDelivery), func(string) string { return plain })
	_, personal, _ = bytes.Cut(personal, []byte("\r\nX-Riferimento-Message-ID:"))
	personal = append([]byte("From: a@b.example\r\nX-Was:"), personal...)
	r := report(t, w.everything(), personal)
	if got := results(r); r.Kind != KindOrdinary || r.OK || got != "tttt---" || r.Provider == nil && got[3] == 't' {
		t.Errorf("signed ordinary mail: %s, %s", got, r.Text())
	}
	unsigned := "From: posta-certificata@alfa.example\r\nX-Ricevuta: Accettazione\r\nSubject: ACCETTAZIONE: x\r\n\r\nRicevuta\r\n"
	r = report(t, w.everything(), []byte(unsigned))
	if got := results(r); r.Kind != "accettazione" || got != "f------" || r.OK || detail(r, CheckChain) == "" {
		t.Errorf("an unsigned receipt: %s, %s", got, r.Text())
	}
	evil := "From: a@b.example\r\nX-Ricevuta: \x1b[2J\x07nothing\r\n\r\nx\r\n"
	if r := report(t, w.everything(), []byte(evil)); strings.ContainsAny(r.Text(), "\x1b\x07") {
		t.Errorf("the text steers the terminal: %q", r.Text())
	}
}

// swap changes the certification data within signed content.
func swap(old, replacement string) func(string) string {
	return func(content string) string {
		head, rest, _ := strings.Cut(content, `filename="daticert.xml"`+"\r\n\r\n")
		encoded, tail, _ := strings.Cut(rest, "\r\n\r\n--")
		document, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(encoded, "\r\n", ""))
		if err != nil {
			return "" // which is no message, and fails
		}
		document = bytes.Replace(document, []byte(old), []byte(replacement), 1)
		return head + `filename="daticert.xml"` + "\r\n\r\n" + base64.StdEncoding.EncodeToString(document) + "\r\n\r\n--" + tail
	}
}
