package e2e

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/pec"
)

// signedLetter is a letter that its writer signed with OpenSSL before it was submitted: a text, a file and a message within.
func signedLetter(t *testing.T, from, to, cc string, file []byte) *letter {
	t.Helper()
	ref := "<" + random(t) + "@client.example>"
	within := "Content-Type: multipart/mixed; boundary=\"b1\"\r\n\r\n" +
		"--b1\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nPerch\xc3\xa9 s\xc3\xac.\r\n" +
		"--b1\r\nContent-Type: application/pdf; name=\"fattura n. 7.pdf\"\r\nContent-Transfer-Encoding: base64\r\n" +
		"Content-Disposition: attachment; filename=\"fattura n. 7.pdf\"\r\n\r\n" + base64Lines(file) + "\r\n" +
		"--b1\r\nContent-Type: message/rfc822\r\n\r\n" + nestedMail + "\r\n--b1--\r\n"
	in := filepath.Join(t.TempDir(), "within")
	if err := os.WriteFile(in, []byte(within), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "openssl", "cms", "-sign", "-in", in, "-binary",
		"-signer", env["LAB_STRANGER_CERT"], "-inkey", env["LAB_STRANGER_KEY"]).Output()
	if err != nil {
		t.Fatal(err)
	}
	signed := strings.ReplaceAll(strings.ReplaceAll(string(out), "\r\n", "\n"), "\n", "\r\n")
	head := fmt.Sprintf("From: %s\r\nTo: %s\r\nCc: %s\r\nSubject: Richiesta di prova\r\nDate: %s\r\nMessage-ID: %s\r\nX-TipoRicevuta: breve\r\n",
		from, to, cc, time.Now().Format(time.RFC1123Z), ref)
	return &letter{ref: ref, raw: []byte(head + signed), from: from, to: []string{to, cc}}
}

const nestedMail = "From: x@y.example\r\nSubject: Fwd\r\nMIME-Version: 1.0\r\nContent-Type: application/pdf; name=dentro.pdf\r\n" +
	"Content-Transfer-Encoding: base64\r\n\r\nYWJj"

// base64Lines is base64 as mail programs write it.
func base64Lines(b []byte) string {
	text := base64.StdEncoding.EncodeToString(b)
	var lines []string
	for len(text) > 76 {
		lines, text = append(lines, text[:76]), text[76:]
	}
	return strings.Join(append(lines, text), "\r\n")
}

func bytesOf(t *testing.T, s pec.Source) []byte {
	t.Helper()
	b, err := io.ReadAll(section(s))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// hashFiles are the files of an original by name, as another parser sees it, and its last part, all below a multipart/signed.
func hashFiles(t *testing.T, original []byte) (files map[string]string, signature string) {
	t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(original))
	if err != nil {
		t.Fatal(err)
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/signed" {
		t.Fatalf("the original is %q: %v", kind, err)
	}
	files = map[string]string{}
	outer := multipart.NewReader(m.Body, params["boundary"])
	first, err := outer.NextRawPart()
	if err != nil {
		t.Fatal(err)
	}
	_, params, _ = mime.ParseMediaType(first.Header.Get("Content-Type"))
	for inner := multipart.NewReader(first, params["boundary"]); ; {
		p, err := inner.NextRawPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(p)
		if err != nil {
			t.Fatal(err)
		}
		files[p.FileName()] = string(text)
	}
	second, err := outer.NextRawPart()
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(second)
	if err != nil || second.FileName() != "smime.p7s" {
		t.Fatalf("the second part is %q: %v", second.FileName(), err)
	}
	return files, string(text)
}

// TestBriefReceipt: a message that its writer signed, with a file and a message within, asks for brief receipts. What
// sha1sum says of the file stands in the receipt, the signature within is as it was, and copy recipients get no original.
func TestBriefReceipt(t *testing.T) {
	conformance.Covers(t, "C168", "C170", "C171", "C172", "C173", "C174", "C175", "C177", "C189")
	mario, to, cc := env.Users("ALFA")[0], env.Users("BETA")[0].Address, env.Users("BETA")[1].Address
	file := bytes.Repeat([]byte("una fattura \xff\x00\r\n"), 20000)
	l := signedLetter(t, mario.Address, to, cc, file)
	login(t, "ALFA", mario).mustSend(l)
	found := settle(t, l.ref, map[string][]pec.Kind{
		mario.Address: {pec.KindAcceptance, pec.KindDelivery, pec.KindDelivery}, to: {pec.KindTransport}, cc: {pec.KindTransport},
		env.Login("ALFA_SERVICE_USER").Address: {pec.KindTakeCharge},
	})
	envelope, _ := sealed(t, found[to][0])
	whole := bytesOf(t, envelope.Original)
	_, signature := hashFiles(t, whole)
	receipts := 0
	for _, m := range found[mario.Address] {
		if m.Kind() != pec.KindDelivery {
			continue
		}
		parts, data := sealed(t, m)
		if data.Receipt != pec.ReceiptBrief {
			t.Errorf("the receipt for %s states the kind %q", data.Delivery, data.Receipt)
		}
		receipts++
		if data.Delivery.String() == cc {
			if parts.Original != nil || !strings.Contains(plain(t, parts.Text), "Ricevuta sintetica") {
				t.Error("a copy recipient's receipt is not the concise one")
			}
			continue
		}
		if !strings.HasPrefix(plain(t, parts.Text), "Ricevuta breve di avvenuta consegna") {
			t.Errorf("the text is:\n%s", plain(t, parts.Text))
		}
		original := bytesOf(t, parts.Original)
		files, kept := hashFiles(t, original)
		if kept != signature {
			t.Error("the signature within has changed")
		}
		for name, content := range map[string][]byte{"fattura n. 7.pdf.hash": file, "messaggio.eml.hash": []byte(nestedMail)} {
			if got, want := files[name], sha1sum(t, content); got != want {
				t.Errorf("%s holds %q, sha1sum says %q", name, got, want)
			}
		}
		if len(files) != 3 || files[""] != "Perch\xc3\xa9 s\xc3\xac." || len(original) > 8<<10 {
			t.Errorf("%d parts, the text is %q, %d bytes in all", len(files), files[""], len(original))
		}
		if !innerHolds(t, whole) || innerHolds(t, original) {
			t.Error("the signature within should hold in the envelope, and not over the hashes")
		}
		verified(t, m.Raw, l.raw)
	}
	if receipts != 2 {
		t.Errorf("%d receipts", receipts)
	}
}

// sha1sum asks the tool that a user has.
func sha1sum(t *testing.T, content []byte) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), "sha1sum")
	c.Stdin = bytes.NewReader(content)
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	sum, _, _ := strings.Cut(string(out), " ")
	return sum
}

// innerHolds asks OpenSSL of the signature that the writer made, over lines that end with CRLF; -binary would take them
// for LF.
func innerHolds(t *testing.T, original []byte) bool {
	t.Helper()
	c := exec.CommandContext(t.Context(), "openssl", "cms", "-verify", "-noverify")
	c.Stdin = bytes.NewReader(original)
	return c.Run() == nil
}

// verified asks ceralacca verify to compare a receipt with what was submitted.
func verified(t *testing.T, receipt, original []byte) {
	t.Helper()
	dir := t.TempDir()
	one, other := filepath.Join(dir, "receipt.eml"), filepath.Join(dir, "original.eml")
	for path, text := range map[string][]byte{one: receipt, other: original} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.CommandContext(t.Context(), filepath.Join(world.Runtime(), "bin", "ceralacca"), "verify", one, "--ca", env["LAB_CA"], "--original", other).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "ok  original: all 2 files") {
		t.Errorf("%v\n%s", err, out)
	}
}
