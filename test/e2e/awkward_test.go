package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ceralacca/ceralacca/deploy/lab/client"
	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/pec"
)

// awkward is an original that software stumbles over and that is in order all the same. In header and body SENDER, TO, REF
// and BATCH stand for what they do in a fault; stored makes of the original what Postfix makes of it, nil when nothing.
type awkward struct {
	name         string
	header, body string
	stored       func(raw string) string
	noSubject    bool
}

// typed is a header in order with a content type.
func typed(contentType string) string {
	return head + "MIME-Version: 1.0\r\nContent-Type: " + contentType + "\r\n"
}

// nested is a message as an attachment, with fields of ours in its header.
const nested = "--out\r\nContent-Type: message/rfc822\r\n\r\nFrom: a@b.example\r\nMessage-ID: <inner@b.example>\r\nX-Ceralacca-Transaction: 1/1; AAAA\r\n" +
	"X-Ricevuta: accettazione\r\nSubject: inner\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=in\r\n\r\n" +
	"--in\r\nContent-Type: message/rfc822\r\n\r\nSubject: innermost\r\n\r\n.\r\n..\r\n--in--\r\n--out--\r\n"

func awkwardOriginals(t *testing.T) []awkward {
	t.Helper()
	signedMime := func(args ...string) string { return signedByUser(t, args...) }
	return []awkward{
		{name: "8 bit body", header: typed("text/plain; charset=iso-8859-1") + "Content-Transfer-Encoding: 8bit\r\n", body: "perch\xe8 \xff\xfe\x80 \x01\x7f\r\n"},
		{name: "8 bit inside a signed part", header: typed("multipart/signed; protocol=\"application/x\"; micalg=sha-256; boundary=b"),
			body: "--b\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xc3\xa8 \r\n--b\r\nContent-Type: application/x\r\n\r\nx\r\n--b--\r\n"},
		{name: "nested messages", header: typed("multipart/mixed; boundary=out"), body: nested},
		{name: "S/MIME signed by the user", header: head + signedMime("-crlfeol")},
		{name: "opaque S/MIME", header: head + signedMime("-nodetach")},
		{name: "folded and encoded header", header: "from :SENDER\r\nTO: =?utf-8?Q?Bruno_=C3=A8?=\r\n\t<TO>\r\nSubject:\r\n =?UTF-8?B?UGVyY2jDqQ==?=\r\n =?iso-8859-1?q?_s=EC?= BATCH\r\n" +
			"dATE:Sun, 22 Nov 2026 12:00:00 +0100\r\nX-Empty:\r\nX-Space:   \r\nmessage-id:REF\r\nX-Trailing: a \t \r\n", stored: colons},
		{name: "empty body", header: head},
		{name: "body of empty lines", header: head, body: "\r\n\r\n\r\n"},
		{name: "no Message-ID", header: changedHead("Message-ID: REF\r\n", "")},
		{name: "no Subject", header: changedHead("Subject: BATCH\r\n", ""), noSubject: true},
		{name: "no Date", header: changedHead("Date: Sun, 22 Nov 2026 12:00:00 +0100\r\n", "")},
		{name: "fields of PEC by the client", header: head + "X-Trasporto: posta-certificata\r\nX-Ricevuta: avvenuta-consegna\r\nX-Mittente: x@y.example\r\n"},
		{name: "a reference by the client", header: head + "X-Riferimento-Message-ID: <mine@client.example>\r\n",
			stored: func(raw string) string {
				return strings.Replace(raw, "X-Riferimento-Message-ID: <mine@client.example>\r\n", "", 1)
			}},
		{name: "a transaction by the client", header: "X-Ceralacca-Transaction: 1/1; AAAA\r\n" + head + "x-ceralacca-transaction: 2/2; AAAA\r\n\tBBBB\r\n",
			stored: func(raw string) string {
				raw = strings.Replace(raw, "X-Ceralacca-Transaction: 1/1; AAAA\r\n", "", 1)
				return strings.Replace(raw, "x-ceralacca-transaction: 2/2; AAAA\r\n\tBBBB\r\n", "", 1)
			}},
		{name: "dots", header: head, body: ".\r\n..\r\n.a\r\n...\r\n \r\n.\r\n"},
		{name: "lines of 998", header: head + "X-Long: " + strings.Repeat("h", 990) + "\r\n", body: strings.Repeat("b", 998) + "\r\n." + strings.Repeat("c", 997) + "\r\n"},
		{name: "boundaries", header: typed("multipart/mixed; boundary=\"-\""), body: "preamble\r\n---\r\n\r\na\r\n-----\r\n--b1--\r\n--------=_Part\r\nepilogue\r\n"},
		{name: "From at the start of a line", header: head, body: "From me to you\r\n>From\r\nFrom x@y Mon Jun  1\r\n"},
		{name: "fields that Postfix likes to drop", header: head + "Return-Path: <x@y.example>\r\nContent-Length: 5\r\nBcc:\r\nDelivered-To: x@y.example\r\n"},
		{name: "Received and resent fields", header: "Received: from a by b; Sun, 22 Nov 2026 11:00:00 +0100\r\nResent-From: x@y.example\r\nResent-To: x@y.example\r\n" + head},
		{name: "upper case", header: "From: \"Mario (Rossi)\" <" + strings.ToUpper(env.Users("ALFA")[0].Address) + ">\r\n" +
			strings.TrimPrefix(changedHead("To: TO", "To: Bruno@BETA.Example"), "From: SENDER\r\n")},
		{name: "spaces round the dots", header: changedHead("To: TO", "To: bruno @ beta . example (his box)")},
		{name: "groups and comments", header: changedHead("To: TO", "To: amici: \"Bruno, detto <b>\" <TO> (a (nested) comment), luigi@alfa.example;")},
		// What Postfix alters: nothing else is on its list.
		{name: "space before the colon", header: head + "X-Test : v\r\nX-Tab\t: w\r\n", stored: colons},
		{name: "mbox line", header: "From mario Sun Nov 22 12:00:00 2026\r\n" + head, stored: func(raw string) string { return "X-Mailbox-Line: " + raw }},
		{name: "line that is no field", header: strings.TrimSuffix(head, "\r\n") + "\r\nno field at all\r\nX-Late: body\r\n",
			stored: func(raw string) string { return strings.Replace(raw, "\r\nno field", "\r\n\r\nno field", 1) }},
		{name: "NUL in a field", header: head + "X-Test: a\x00b\r\n", stored: func(raw string) string { return strings.Replace(raw, "\x00b", "", 1) }},
		{name: "bare LF", header: head, body: "one\ntwo\n\nthree\r\n", stored: func(raw string) string {
			return strings.ReplaceAll(strings.ReplaceAll(raw, "\r\n", "\n"), "\n", "\r\n")
		}},
		{name: "bare CR", header: head, body: "a\rb\r\n\r\rc\r\n", stored: func(raw string) string {
			return strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(raw, "\r\n", "\n"), "\r", " "), "\n", "\r\n")
		}},
	}
}

// colons takes the white space before the colon of each field away, as Postfix does.
func colons(raw string) string {
	head, body, _ := strings.Cut(raw, "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	for i, line := range lines {
		if name, value, found := strings.Cut(line, ":"); found && !strings.HasPrefix(line, " ") && !strings.HasPrefix(line, "\t") {
			lines[i] = strings.TrimRight(name, " \t") + ":" + value
		}
	}
	return strings.Join(lines, "\r\n") + "\r\n\r\n" + body
}

// signedByUser is a part that a person signed, by OpenSSL, as the end of a message.
func signedByUser(t *testing.T, args ...string) string {
	t.Helper()
	in := filepath.Join(t.TempDir(), "in")
	if err := os.WriteFile(in, []byte("Content-Type: text/plain\r\n\r\nmine\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	args = append([]string{"cms", "-sign", "-in", in, "-binary", "-signer", env["LAB_STRANGER_CERT"], "-inkey", env["LAB_STRANGER_KEY"]}, args...)
	out, err := exec.CommandContext(t.Context(), "openssl", args...).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(strings.ReplaceAll(string(out), "\r\n", "\n"), "\n", "\r\n")
}

// letter fills a in; what it becomes contains mark, also in every receipt.
func (a *awkward) letter(mark, from, to string) *letter {
	l := &letter{ref: "<" + mark + "@client.example>", from: from, to: []string{to}}
	fill := strings.NewReplacer("SENDER", from, "<TO>", "<"+to+">", "REF", l.ref, "BATCH", "Prova "+mark, "To: TO\r\n", "To: "+to+"\r\n")
	raw := fill.Replace(a.header) + "\r\n" + a.body
	if strings.Contains(a.header, "Content-Transfer-Encoding: base64") || strings.Contains(a.header, "This is an S/MIME signed message") {
		raw = fill.Replace(a.header) // its body is in it
	}
	l.raw = []byte(raw)
	if !strings.Contains(strings.ToLower(raw), "message-id:"+l.ref) && !strings.Contains(raw, "Message-ID: "+l.ref) {
		l.ref = ""
	}
	return l
}

// kept is what the original of l must be under the identifier id: the two fields of identity change, and nothing else.
func (l *letter) kept(stored func(string) string, id pec.Identifier) string {
	raw := string(l.raw)
	if stored != nil {
		raw = stored(raw)
	}
	head, body, _ := strings.Cut(raw, "\r\n\r\n")
	if l.ref == "" {
		return head + "\r\nMessage-ID: <" + string(id) + ">\r\n\r\n" + body
	}
	for _, spelled := range []string{"Message-ID: ", "message-id:"} {
		head = strings.Replace(head, "\r\n"+spelled+l.ref, "\r\n"+strings.TrimSpace(spelled)+" <"+string(id)+">", 1)
	}
	return head + "\r\n" + pec.FieldReference + ": " + l.ref + "\r\n\r\n" + body
}

// TestAwkwardOriginals: each is delivered, and what lies in the envelope and comes back in the complete delivery receipt is
// what was sent, byte for byte, but for the two fields of identity and what the postfix facts list.
func TestAwkwardOriginals(t *testing.T) {
	conformance.Covers(t, "C001", "C019", "C025", "C034", "C035", "C036", "C037", "C038", "C043", "C080", "C084", "C161", "C167", "C177",
		"C189", "C196", "C204")
	mario, bruno := env.Users("ALFA")[0], env.Users("BETA")[0].Address
	list, batch := awkwardOriginals(t), random(t)
	letters, d := make([]*letter, len(list)), login(t, "ALFA", mario)
	for i, a := range list {
		letters[i] = a.letter(fmt.Sprintf("%s-%02d", batch, i), mario.Address, bruno)
		d.mustSend(letters[i])
	}
	each := func(k pec.Kind) []pec.Kind { return slices.Repeat([]pec.Kind{k}, len(list)) }
	found := settle(t, batch, map[string][]pec.Kind{
		mario.Address: append(each(pec.KindAcceptance), each(pec.KindDelivery)...), bruno: each(pec.KindTransport),
		env.Login("ALFA_SERVICE_USER").Address: each(pec.KindTakeCharge),
	})
	for i, a := range list {
		t.Run(a.name, func(t *testing.T) { wantKept(t, found, letters[i], fmt.Sprintf("%s-%02d", batch, i), &a) })
	}
}

// wantKept reads all five messages about a letter that mark names.
func wantKept(t *testing.T, found map[string][]*client.Message, l *letter, mark string, a *awkward) {
	t.Helper()
	about := func(address string) (out []*client.Message) {
		for _, m := range found[address] {
			if bytes.Contains(m.Raw, []byte(mark)) {
				out = append(out, m)
			}
		}
		return out
	}
	envelope := pick(t, about(l.to[0]), pec.KindTransport)
	parts, data := sealed(t, envelope)
	want := l.kept(a.stored, data.Identifier)
	if got := read(t, parts.Original); got != want {
		t.Errorf("the original in the envelope is\n%q\nwant\n%q", got, want)
	}
	delivery := pick(t, about(l.from), pec.KindDelivery)
	returned, _ := sealed(t, delivery)
	if got := read(t, returned.Original); got != want {
		t.Errorf("the original in the delivery receipt is\n%q\nwant\n%q", got, want)
	}
	all := append([]*client.Message{envelope, delivery, pick(t, about(l.from), pec.KindAcceptance)},
		pick(t, about(env.Login("ALFA_SERVICE_USER").Address), pec.KindTakeCharge))
	for _, m := range all {
		parts, d := sealed(t, m)
		if d.Identifier != data.Identifier || d.MessageID != l.ref || len(m.Header.Values(pec.FieldReference)) != min(1, len(l.ref)) ||
			m.Header.Get(pec.FieldReference) != l.ref || bytes.Contains(parts.CertData, []byte("<msgid>")) != (l.ref != "") {
			t.Errorf("%s states identifier %s, msgid %q, reference %q", m.Kind(), d.Identifier, d.MessageID, m.Header.Get(pec.FieldReference))
		}
		if bytes.Contains(parts.CertData, []byte("<oggetto")) == a.noSubject {
			t.Errorf("%s: <oggetto> is there: %v", m.Kind(), !a.noSubject)
		}
		if len(m.Header.Values(pec.FieldTransport))+len(m.Header.Values(pec.FieldReceipt)) != 1 || len(m.Header.Values("X-Ceralacca-Transaction")) > 0 {
			t.Errorf("%s has the header\n%v", m.Kind(), m.Header)
		}
	}
}
