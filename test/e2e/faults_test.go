package e2e

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ceralacca/ceralacca/deploy/lab/client"
	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/internal/ledger"
	"github.com/ceralacca/ceralacca/pec"
)

// fault is a submission that is formally wrong in one way. In its header NAME stands for its own address parts: SENDER,
// TO, REF (the Message-ID with brackets), BATCH (what all of a run contain).
type fault struct {
	name   string
	header string
	body   string
	more   []string // further recipients of the envelope
	reason string   // what the notice says after "a causa di", up to its full stop
}

// head is a header in order, for faults to change.
const head = "From: SENDER\r\nTo: TO\r\nSubject: BATCH\r\nDate: Sun, 22 Nov 2026 12:00:00 +0100\r\nMessage-ID: REF\r\n"

func changedHead(from, to string) string { return strings.Replace(head, from, to, 1) }

func faults() []fault {
	hidden := env.Users("BETA")[1].Address
	return []fault{
		{name: "no From", header: changedHead("From: SENDER\r\n", ""), reason: "campo From assente o non valido"},
		{name: "empty From", header: changedHead("From: SENDER", "From: "), reason: "campo From assente o non valido"},
		{name: "two authors", header: changedHead("From: SENDER", "From: SENDER, luigi@alfa.example"), reason: "campo From assente o non valido"},
		{name: "an author and a bare name", header: changedHead("From: SENDER", "From: Luigi, SENDER"), reason: "campo From assente o non valido"},
		{name: "From is somebody else", header: changedHead("From: SENDER", "From: luigi@alfa.example"),
			reason: "mittente del messaggio (luigi@alfa.example) diverso da quello dichiarato al servizio"},
		{name: "no To", header: changedHead("To: TO", "Cc: TO"), reason: "campo To assente o privo di indirizzi validi"},
		{name: "To without addresses", header: changedHead("To: TO", "To: undisclosed-recipients:;\r\nCc: TO"),
			reason: "campo To assente o privo di indirizzi validi"},
		{name: "To with nonsense", header: changedHead("To: TO", "To: bruno rossi\r\nCc: TO"),
			reason: "campo To assente o privo di indirizzi validi"},
		{name: "hidden recipient", header: head, more: []string{hidden},
			reason: "destinatario " + hidden + " non indicato nei campi To o Cc"},
		{name: "Bcc", header: changedHead("To: TO", "To: TO\r\nBcc: "+hidden),
			reason: "campo Bcc non ammesso: i destinatari in copia nascosta non sono previsti"},
		{name: "Bcc with its recipient", header: changedHead("To: TO", "To: TO, "+hidden+"\r\nBCC: "+hidden), more: []string{hidden},
			reason: "campo Bcc non ammesso: i destinatari in copia nascosta non sono previsti"},
		{name: "Resent-Bcc", header: changedHead("To: TO", "To: TO\r\nResent-Bcc: "+hidden),
			reason: "campo Resent-Bcc non ammesso: i destinatari in copia nascosta non sono previsti"},
		{name: "two From fields", header: head + "From: SENDER\r\n", reason: "campo From presente più di una volta"},
		{name: "two To fields", header: head + "To: TO\r\n", reason: "campo To presente più di una volta"},
		{name: "two subjects", header: head + "Subject: another\r\n", reason: "campo Subject presente più di una volta"},
		{name: "line of 999", header: head, body: strings.Repeat("a", 999) + "\r\n", reason: "righe più lunghe di 998 caratteri"},
		{name: "header line of 999", header: head + "X-Long: " + strings.Repeat("a", 991) + "\r\n", reason: "righe più lunghe di 998 caratteri"},
		{name: "field of 59000", header: head + "X-Long:" + strings.Repeat(" "+strings.Repeat("a", 97)+"\r\n", 596), reason: "campo X-Long troppo lungo"},
		{name: "NUL", header: head, body: "a\x00b\r\n", reason: "caratteri nulli nel messaggio"},
		{name: "8 bit in the header", header: head + "X-Town: Citt\xc3\xa0\r\n", reason: "caratteri non ammessi nel campo X-Town"},
		{name: "wrong Date", header: changedHead("Date: Sun, 22 Nov 2026", "Date: yesterday"), reason: "campo Date non valido"},
		{name: "empty Date", header: changedHead("Date: Sun, 22 Nov 2026 12:00:00 +0100", "Date:"), reason: "campo Date non valido"},
		{name: "Reply-To without an address", header: head + "Reply-To: segreteria\r\n", reason: "campo Reply-To non valido"},
		{name: "many fields", header: head + strings.Repeat("X-More: x\r\n", 1000), reason: "più di 1000 campi nell'intestazione"},
		{name: "Reply-To in encoded words", header: head + "Reply-To: =?utf-8?Q?Segr=C3=A8?=\r\n <x@y.example>\r\nBcc: x@y.example\r\n",
			reason: "campo Bcc non ammesso: i destinatari in copia nascosta non sono previsti"},
		{name: "not a Message-ID", header: changedHead("Message-ID: REF", "Message-ID: no brackets"), reason: "campo Message-ID non valido"},
		{name: "two faults", header: changedHead("To: TO", "Cc: TO\r\nBcc: "+hidden), reason: "campo To assente o privo di indirizzi validi; " +
			"campo Bcc non ammesso: i destinatari in copia nascosta non sono previsti"},
	}
}

// letter fills f in; its reference contains batch.
func (f *fault) letter(t *testing.T, batch, from, to string) *letter {
	t.Helper()
	l := &letter{ref: "<" + random(t) + "." + batch + "@client.example>", from: from, to: append([]string{to}, f.more...)}
	fill := strings.NewReplacer("SENDER", from, "TO", to, "REF", l.ref, "BATCH", "Prova "+batch)
	// TO must not be found in what stands for itself.
	header := strings.ReplaceAll(fill.Replace(strings.ReplaceAll(f.header, "To:", "\x01")), "\x01", "To:")
	l.raw = []byte(header + "\r\n" + f.body + "secret words of the original\r\n")
	if _, id, _ := strings.Cut(header, "Message-ID: "); !strings.HasPrefix(id, "<") {
		l.ref, _, _ = strings.Cut(id, "\r\n")
	}
	return l
}

// TestFormalFaults: each earns its sender one notice that says why, and nobody anything else.
func TestFormalFaults(t *testing.T) {
	conformance.Covers(t, "C001", "C002", "C004", "C009", "C011", "C014", "C019", "C026", "C033", "C036", "C037", "C039", "C040", "C041",
		"C042", "C043", "C044", "C047", "C048", "C050", "C051", "C052", "C053", "C054", "C055", "C056", "C057", "C059", "C185", "C186",
		"C187", "C188", "C198", "C204", "C241", "C243")
	mario, bruno := env.Users("ALFA")[0], env.Users("BETA")[0].Address
	list, batch := faults(), random(t)
	letters := make([]*letter, len(list))
	for i, f := range list {
		letters[i] = f.letter(t, batch, mario.Address, bruno)
		if got := login(t, "ALFA", mario).send(mario.Address, letters[i].to, letters[i].raw); !strings.HasPrefix(got, "250") {
			t.Fatalf("%s: %s", f.name, got)
		}
	}
	found := settle(t, batch, map[string][]pec.Kind{mario.Address: slices.Repeat([]pec.Kind{pec.KindNonAcceptance}, len(list))})
	for i, f := range list {
		t.Run(f.name, func(t *testing.T) { wantNotice(t, found[mario.Address], letters[i], &f) })
	}
}

// wantNotice looks for the notice about a faulty letter and reads all of it.
func wantNotice(t *testing.T, notices []*client.Message, l *letter, f *fault) {
	t.Helper()
	at := slices.IndexFunc(notices, func(m *client.Message) bool {
		return m.Header.Get(pec.FieldReference) == l.ref
	})
	if at < 0 {
		t.Fatalf("no notice refers to %q", l.ref)
	}
	m := notices[at]
	parts, data := sealed(t, m)
	if data.Kind != pec.KindNonAcceptance || data.Error != pec.ErrorOther || data.Detail != f.reason || data.MessageID != l.ref {
		t.Errorf("the notice states %s, %s, %q, msgid %q, want the reason %q", data.Kind, data.Error, data.Detail, data.MessageID, f.reason)
	}
	if parts.Original != nil || bytes.Contains(m.Raw, []byte("secret words")) || len(children(t, content(t, m))) != 2 {
		t.Error("there is more in the notice than a text and the certification data")
	}
	wantHeader(t, m, l, "AVVISO DI NON ACCETTAZIONE: ")
	var to strings.Builder
	for _, r := range data.Recipients {
		to.WriteString(r.Address.String() + "\n")
	}
	italian := pec.ItalianTime(data.Time)
	want := fmt.Sprintf("Errore nell'accettazione del messaggio\nIl giorno %s alle ore %s (%s) nel messaggio\n\"%s\" proveniente da \"%s\"\n"+
		"ed indirizzato a:\n%sè stato rilevato un problema che ne impedisce l'accettazione\na causa di %s.\nIl messaggio non è stato accettato.\n"+
		"Identificativo messaggio: %s\n", italian.Format("02/01/2006"), italian.Format("15:04:05"), italian.Format("-0700"),
		*data.Subject, l.from, to.String(), f.reason, data.Identifier)
	if got := strings.ReplaceAll(plain(t, parts.Text), "\r\n", "\n"); strings.TrimSpace(got) != strings.TrimSpace(want) {
		t.Errorf("the text is\n%s\nwant\n%s", got, want)
	}
	submitted, _, err := pec.ReadHeader(pec.Bytes(l.raw), len(l.raw))
	if err != nil {
		t.Fatal(err)
	}
	if want := cmp.Or(pec.DecodeText(submitted.Get("Reply-To")), l.from); data.ReplyTo != want {
		t.Errorf("the notice states the reply address %q, want %q", data.ReplyTo, want)
	}
	if len(data.Recipients) != len(l.to) {
		t.Errorf("the notice lists %v, the envelope had %v", data.Recipients, l.to)
	}
	records := records(t, "ALFA", string(data.Identifier))
	if len(records) != 1 || records[0].Event != ledger.EventNonAcceptance || !records[0].Time.Equal(data.Time) || records[0].Sender.String() != l.from {
		t.Errorf("the log says %s", jsonOf(records))
	}
}

// content is the signed part of m.
func content(t *testing.T, m *client.Message) []byte {
	t.Helper()
	signed, err := client.OpenSSL(t.Context(), m.Raw, env["LAB_CA"], env["LAB_CRL"])
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// wantHeader reads the header of a receipt or notice about l, made by alfa for the sender.
func wantHeader(t *testing.T, m *client.Message, l *letter, prefix string) {
	t.Helper()
	_, data := sealed(t, m)
	subject := prefix
	if data.Subject != nil {
		subject += *data.Subject
	}
	for name, want := range map[string]string{
		"From": env["ALFA_PEC_ADDRESS"], "To": l.from, pec.FieldReference: l.ref, "Sender": "", "Reply-To": "", pec.FieldTransport: "",
		"Subject": subject, "Return-Path": "<" + env["ALFA_PEC_ADDRESS"] + ">",
		"Date": pec.ItalianTime(data.Time).Format("Mon, 02 Jan 2006 15:04:05 -0700"),
	} {
		if got := pec.DecodeText(m.Header.Get(name)); strings.TrimSpace(got) != strings.TrimSpace(want) {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if m.Header.Get("Message-ID") == "<"+string(data.Identifier)+">" {
		t.Error("the notice has the identifier of the message as its own Message-ID")
	}
}

// TestTooBig: over either limit the sender is told; at the limit the message is accepted.
func TestTooBig(t *testing.T) {
	conformance.Covers(t, "C045", "C046", "C047", "C048", "C049")
	mario := env.Users("ALFA")[0]
	tidy(t, []string{"larger", "1M"}, client.Mailbox{Host: "ALFA", Login: mario}, client.Mailbox{Host: "BETA", Login: env.Users("BETA")[0]})
	reconfigure(t, "ALFA", "[antivirus]", "[limits]\nsize = 31457280\nproduct = 62914560\nhard_size = 40000000\n\n[antivirus]")
	batch, d := random(t), login(t, "ALFA", mario)
	beta := []string{env.Users("BETA")[0].Address, env.Users("BETA")[1].Address, env.Users("BETA")[2].Address}
	sized := func(size int, to ...string) *letter {
		f := fault{header: changedHead("To: TO", "To: "+strings.Join(to, ", ")), more: to[1:]}
		l := f.letter(t, batch, mario.Address, to[0])
		missing := size - len(l.raw)
		l.raw = append(l.raw, bytes.Repeat([]byte(strings.Repeat("x", 98)+"\r\n"), missing/100-9)...)
		l.raw = append(append(l.raw, strings.Repeat("x", size-len(l.raw)-2)...), "\r\n"...)
		d.mustSend(l)
		return l
	}
	exact := sized(31457280, beta[0])
	over := sized(31457282, beta[0])
	product := sized(20971522, beta...)
	found := settle(t, batch, map[string][]pec.Kind{
		mario.Address: {pec.KindNonAcceptance, pec.KindNonAcceptance, pec.KindAcceptance, pec.KindDelivery},
		beta[0]:       {pec.KindTransport}, env.Login("ALFA_SERVICE_USER").Address: {pec.KindTakeCharge},
	})
	var notices []*client.Message
	for _, m := range found[mario.Address] {
		if m.Kind() == pec.KindNonAcceptance {
			notices = append(notices, m)
		} else if got := m.Header.Get(pec.FieldReference); got != exact.ref {
			t.Errorf("%s was accepted, want %s", got, exact.ref)
		}
	}
	wantNotice(t, notices, over, &fault{reason: "superamento della dimensione massima del messaggio"})
	wantNotice(t, notices, product, &fault{reason: "superamento del limite al prodotto tra dimensione e numero dei destinatari"})
}
