package e2e

import (
	"bytes"
	"encoding/base64"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/internal/ledger"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/pec/compose"
)

// forgery is an envelope that is wrong in one way.
type forgery struct {
	name string
	make func(t *testing.T, to string) *envelope
	want pec.Problem
}

// changed is a valid envelope of delta whose bytes were changed after it was sealed.
func changed(from, to string) func(*testing.T, string) *envelope {
	return func(t *testing.T, rcpt string) *envelope {
		e := someone(t, "DELTA").envelope(t, rcpt)
		return e.replace(t, from, to)
	}
}

// replace changes the first from; TOKEN in both stands for the token.
func (e *envelope) replace(t *testing.T, from, to string) *envelope {
	t.Helper()
	fill := strings.NewReplacer("TOKEN", e.token)
	raw := bytes.Replace(e.raw, []byte(fill.Replace(from)), []byte(fill.Replace(to)), 1)
	if bytes.Equal(raw, e.raw) {
		t.Fatalf("there is no %q in the envelope", from)
	}
	e.raw = raw
	return e
}

// signedBy is an envelope that the key of these variables sealed.
func signedBy(name string) func(*testing.T, string) *envelope {
	return func(t *testing.T, to string) *envelope { return someone(t, name).envelope(t, to) }
}

// edited is an envelope that delta sealed with something wrong in it.
func edited(edit func(content string) string) func(*testing.T, string) *envelope {
	return func(t *testing.T, to string) *envelope {
		o := someone(t, "DELTA")
		e := o.draft(t, to)
		e.raw = o.sealEdited(t, o.compose(t, e), edit)
		return e
	}
}

// data is an envelope of delta with other certification data.
func data(change func(t *testing.T, c *pec.CertData)) func(*testing.T, string) *envelope {
	return func(t *testing.T, to string) *envelope {
		o := someone(t, "DELTA")
		e := o.draft(t, to)
		change(t, e.data)
		e.from = e.data.Sender.String()
		e.raw = o.seal(t, o.compose(t, e))
		return e
	}
}

// certData cuts signed content in three: before the part of daticert.xml, with its delimiter, that part, and after.
func certData(content string) (before, part, after string) {
	at := strings.Index(content, "Content-Type: application/xml")
	start := strings.LastIndex(content[:at], "\r\n--")
	length := strings.Index(content[at:], "\r\n--")
	return content[:start], content[start : at+length], content[at+length:]
}

func withoutSignature(t *testing.T, to string) *envelope {
	e := someone(t, "DELTA").envelope(t, to)
	head, body, _ := strings.Cut(string(e.raw), "\r\n\r\n")
	head, _, _ = strings.Cut(head, "\r\nMIME-Version:")
	_, content, _ := strings.Cut(body, "\r\nContent-Type: multipart/mixed")
	e.raw = []byte(head + "\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed" + content)
	return e
}

func withoutSignaturePart(t *testing.T, to string) *envelope {
	e := someone(t, "DELTA").envelope(t, to)
	head, _, _ := strings.Cut(string(e.raw), "\r\n\r\n")
	_, boundary, _ := strings.Cut(head, `boundary="`)
	boundary, _, _ = strings.Cut(boundary, `"`)
	at := strings.LastIndex(string(e.raw), "\r\n--"+boundary+"\r\n")
	e.raw = []byte(string(e.raw[:at]) + "\r\n--" + boundary + "--\r\n")
	return e
}

// anomalyOfDelta is a genuine anomaly envelope of another provider: it is no transport envelope.
func anomalyOfDelta(t *testing.T, to string) *envelope {
	o := someone(t, "DELTA")
	e := o.draft(t, to)
	a, err := compose.AnomalyEnvelope(o.provider, e.original.taken(t), compose.Anomaly{
		Sender: e.data.Sender, Recipients: []pec.Address{address(t, to)}, Reason: pec.ProblemNoSignature.Italian(),
		Time: time.Now(), ID: e.token,
	})
	if err != nil {
		t.Fatal(err)
	}
	e.raw = o.seal(t, a)
	return e
}

// signedByPerson is mail that a person signed, by OpenSSL: S/MIME, but of no provider.
func signedByPerson(t *testing.T, to string) *envelope {
	e := someone(t, "DELTA").draft(t, to)
	head, body, _ := strings.Cut(string(e.original.raw), "\r\nMIME-Version:")
	in := filepath.Join(t.TempDir(), "in")
	if err := os.WriteFile(in, []byte("MIME-Version:"+body), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "openssl", "cms", "-sign", "-in", in, "-binary", "-crlfeol",
		"-signer", env["LAB_STRANGER_CERT"], "-inkey", env["LAB_STRANGER_KEY"]).Output()
	if err != nil {
		t.Fatal(err)
	}
	signed := strings.ReplaceAll(strings.ReplaceAll(string(out), "\r\n", "\n"), "\n", "\r\n")
	e.raw = []byte(head + "\r\n" + signed)
	return e
}

var brokenXML = base64.StdEncoding.EncodeToString([]byte(`<?xml version="1.0"?><postacert tipo="posta-certificata"><intestazione>`))

// forgeries are ways in which an envelope can be wrong, one reason each.
func forgeries() []forgery {
	twice := func(c string) string { b, p, a := certData(c); return b + p + p + a }
	none := func(c string) string { b, _, a := certData(c); return b + a }
	broken := func(c string) string {
		b, p, a := certData(c)
		head, _, _ := strings.Cut(p, "\r\n\r\n")
		return b + head + "\r\n\r\n" + brokenXML + a
	}
	bodiless := func(c string) string {
		start := strings.LastIndex(c[:strings.Index(c, "Content-Type: message/rfc822")], "\r\n--")
		_, part, after := certData(c)
		return c[:start] + part + after
	}
	failing := func(c string) string {
		b, p, a := certData(c)
		head, body, _ := strings.Cut(p, "\r\n\r\n")
		xml, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(body, "\r\n", ""))
		if err != nil {
			panic(err)
		}
		xml = bytes.Replace(xml, []byte(`errore="nessuno"`), []byte(`errore="altro"`), 1)
		return b + head + "\r\n\r\n" + base64.StdEncoding.EncodeToString(xml) + a
	}
	return []forgery{
		{"body tampered with", changed("AAECAwQFBgcICQ==", "AAECAwQFBgcICg=="), pec.ProblemSignature},
		{"certification data tampered with", changed("name=\"daticert.xml\"", "name=\"daticerT.xml\""), pec.ProblemSignature},
		{"other type outside", changed("X-Trasporto: posta-certificata", "X-Trasporto: errore"), pec.ProblemMalformed},
		{"a receipt outside", changed("X-Trasporto: posta-certificata", "X-Ricevuta: accettazione"), pec.ProblemMalformed},
		{"other Message-ID outside", changed("Message-ID: <TOKENTOKEN@", "Message-ID: <XTOKEN@"), pec.ProblemMalformed},
		{"other reference outside", changed("X-Riferimento-Message-ID: <TOKEN@", "X-Riferimento-Message-ID: <xTOKEN@"), pec.ProblemMalformed},
		{"other author outside", changed("<"+env["DELTA_PEC_ADDRESS"]+">", "<"+env["BETA_PEC_ADDRESS"]+">"), pec.ProblemFrom},
		{"signature taken off", withoutSignature, pec.ProblemNoSignature},
		{"signature part taken off", withoutSignaturePart, pec.ProblemMalformed},
		{"signer not in the directory", signedBy("LAB_STRANGER"), pec.ProblemUnknownSigner},
		{"signed by a person", signedByPerson, pec.ProblemUnknownSigner},
		{"certificate revoked", signedBy("LAB_REVOKED"), pec.ProblemRevoked},
		{"certificate expired", signedBy("LAB_EXPIRED"), pec.ProblemExpired},
		{"no certification data", edited(none), pec.ProblemMalformed},
		{"certification data twice", edited(twice), pec.ProblemMalformed},
		{"no original", edited(bodiless), pec.ProblemMalformed},
		{"an error in an envelope", edited(failing), pec.ProblemMalformed},
		{"broken XML", edited(broken), pec.ProblemMalformed},
		{"anomaly envelope of another provider", anomalyOfDelta, pec.ProblemMalformed},
		{"recipient is called ordinary", data(func(_ *testing.T, c *pec.CertData) { c.Recipients[0].Type = pec.Ordinary }), pec.ProblemRouting},
		{"sender is of another provider", data(func(t *testing.T, c *pec.CertData) {
			c.Sender = address(t, env.Users("BETA")[0].Address)
		}), pec.ProblemRouting},
	}
}

// TestForged brings envelopes to alfa that are wrong in one way each. Each reaches its recipient inside an anomaly envelope
// that says why and holds what came byte for byte; there is no take-charge, no receipt, and nothing for anybody else.
func TestForged(t *testing.T) {
	conformance.Covers(t, "C011", "C022", "C103", "C104", "C105", "C108", "C109", "C111", "C112", "C114",
		"C118", "C119", "C132", "C133", "C135", "C137", "C138", "C139", "C140", "C141", "C142", "C158", "C160")
	to := env.Users("ALFA")[0].Address
	list := forgeries()
	sent := make([]*envelope, len(list))
	for i, f := range list {
		sent[i] = f.make(t, to)
		deliver(t, "ALFA", sent[i].from, []string{to}, sent[i].raw)
	}
	for i, f := range list {
		t.Run(f.name, func(t *testing.T) {
			found := settle(t, sent[i].token, map[string][]pec.Kind{to: {pec.KindAnomaly}})
			m := found[to][0]
			wantAnomaly(t, "ALFA", m, sent[i].raw, f.want)
			if got := m.Header.Get("Return-Path"); got != "<"+sent[i].from+">" {
				t.Errorf("the envelope sender became %s", got)
			}
			list := records(t, "ALFA", sent[i].token)
			if len(list) != 1 || list[0].Event != ledger.EventAnomaly || list[0].Detail != string(f.want) {
				t.Errorf("the log says %s, want one anomaly for %s", jsonOf(list), f.want)
			}
		})
	}
}

// TestRedirected sends good envelopes along other ways than certified: to others, by others, and one of alfa's own back to it.
func TestRedirected(t *testing.T) {
	conformance.Covers(t, "C118", "C141", "C160")
	alfa, beta := env.Users("ALFA"), env.Users("BETA")
	o := someone(t, "DELTA")

	e := o.envelope(t, alfa[0].Address)
	deliver(t, "ALFA", e.from, []string{alfa[1].Address}, e.raw)
	found := settle(t, e.token, map[string][]pec.Kind{alfa[1].Address: {pec.KindAnomaly}})
	wantAnomaly(t, "ALFA", found[alfa[1].Address][0], e.raw, pec.ProblemRouting)

	// One recipient whom it does not name spoils it for all.
	e = o.envelope(t, alfa[0].Address)
	deliver(t, "ALFA", e.from, []string{alfa[0].Address, alfa[1].Address}, e.raw)
	found = settle(t, e.token, map[string][]pec.Kind{alfa[0].Address: {pec.KindAnomaly}, alfa[1].Address: {pec.KindAnomaly}})
	wantAnomaly(t, "ALFA", found[alfa[0].Address][0], e.raw, pec.ProblemRouting)

	for _, sender := range []string{"", "dino@" + env["DELTA_DOMAIN"], beta[0].Address} {
		e = o.envelope(t, alfa[0].Address)
		deliver(t, "ALFA", sender, []string{alfa[0].Address}, e.raw)
		found = settle(t, e.token, map[string][]pec.Kind{alfa[0].Address: {pec.KindAnomaly}})
		wantAnomaly(t, "ALFA", found[alfa[0].Address][0], e.raw, pec.ProblemRouting)
	}

	// What alfa sealed itself comes back from the network.
	l := write(t, alfa[0].Address, []string{dora()}, nil)
	submit(t, "ALFA", alfa[0], l)
	want := map[string][]pec.Kind{alfa[0].Address: {pec.KindAcceptance}, dora(): {pec.KindTransport}}
	own := settle(t, l.ref, want)[dora()][0]
	deliver(t, "ALFA", alfa[0].Address, []string{alfa[1].Address}, own.Raw)
	want[alfa[1].Address] = []pec.Kind{pec.KindAnomaly}
	found = settle(t, l.ref, want)
	wantAnomaly(t, "ALFA", found[alfa[1].Address][0], own.Raw, pec.ProblemRouting)
}
