package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/pec"
)

// TestAwkwardHeaders: whatever a subject, a Message-ID or a Reply-To contains, what we write about it is well formed, says it,
// and has no field that we did not write.
func TestAwkwardHeaders(t *testing.T) {
	conformance.Covers(t, "C036", "C037", "C070", "C077", "C189", "C191", "C193", "C195", "C198", "C201", "C202")
	mario, bruno := env.Users("ALFA")[0], env.Users("BETA")[0].Address
	long := strings.Repeat("=?utf-8?Q?=C3=A8=E2=82=AC_parola_=C3=A0?=\r\n ", 200)
	list := []struct{ name, subject, id, more, says string }{
		{name: "other alphabets", subject: "=?utf-8?B?8J+YgCDwn4e54oKsIM6pINCW?=", says: "😀"},
		{name: "markup", subject: "<script>alert(1)</script> &amp; ]]> \"'\\ {{.}} %s", says: "<script>alert(1)</script> &amp; ]]> \"'\\ {{.}} %s"},
		{name: "line ends inside", subject: "=?utf-8?Q?a=0D=0AX-Injected:_1=0D=0A=0D=0Abody?=", says: "X-Injected: 1"},
		{name: "control characters", subject: "=?utf-8?Q?a=00b=01c=1B=7F?= d\x0be", says: "a"},
		{name: "unknown charset", subject: "=?x-unknown?Q?abc=E8?= plain", says: "plain"},
		{name: "broken encoding", subject: "=?utf-8?B?!!!?= =?utf-8?Q?=ZZ?= =?utf-8?Q?", says: ""},
		{name: "broken UTF-8", subject: "=?utf-8?Q?=C3_=ED=A0=80_=FF?= end", says: "end"},
		{name: "long", subject: long, says: "è€ parola à"},
		{name: "one long word", subject: strings.Repeat("x", 900), says: strings.Repeat("x", 900)},
		{name: "empty", subject: "", says: ""},
		{name: "blank", subject: "  \t ", says: ""},
		{name: "as a receipt", subject: "ACCETTAZIONE: x", says: "ACCETTAZIONE: x"},
		{name: "Message-ID with signs", id: "<a&b'c\"d%s{{.}}!$=MARK@[IPv6:::1]>", subject: "id", says: "id"},
		{name: "Message-ID between comments", id: "(mine (really)) <MARK@client.example>\r\n\t(so it is)", subject: "id", says: "id"},
		{name: "long Message-ID", id: "<" + strings.Repeat("i", 800) + "MARK@client.example>", subject: "id", says: "id"},
		{name: "Reply-To with markup", more: "Reply-To: \"<b>&\" <x@y.example>,\r\n\t=?utf-8?B?8J+YgA==?= <z@y.example>\r\n", subject: "reply", says: "reply"},
		{name: "thousand recipients in To", more: "Cc: nobody@beta.example" + strings.Repeat(",\r\n somebody.with.a.long.name@department.example.org", 900) + "\r\n",
			subject: "many", says: "many"},
	}
	batch, d := random(t), login(t, "ALFA", mario)
	letters := make([]*letter, len(list))
	for i, one := range list {
		mark := fmt.Sprintf("%s-%02d", batch, i)
		if one.id == "" {
			one.id = "<MARK@client.example>"
		}
		f := fault{header: "From: SENDER\r\nTo: TO\r\nSubject: " + one.subject + "\r\nMessage-ID: " + strings.ReplaceAll(one.id, "MARK", mark) + "\r\n" + one.more}
		letters[i] = f.letter(t, batch, mario.Address, bruno)
		letters[i].ref = strings.ReplaceAll(strings.TrimSuffix(strings.TrimPrefix(one.id, "(mine (really)) "), "\r\n\t(so it is)"), "MARK", mark)
		d.mustSend(letters[i])
	}
	each := func(k pec.Kind) []pec.Kind { return slices.Repeat([]pec.Kind{k}, len(list)) }
	service := env.Login("ALFA_SERVICE_USER").Address
	found := settle(t, batch, map[string][]pec.Kind{
		mario.Address: append(each(pec.KindAcceptance), each(pec.KindDelivery)...), bruno: each(pec.KindTransport), service: each(pec.KindTakeCharge),
	})
	for i, one := range list {
		t.Run(one.name, func(t *testing.T) {
			for _, m := range slices.Concat(found[mario.Address], found[bruno], found[service]) {
				if m.Header.Get(pec.FieldReference) != letters[i].ref {
					continue
				}
				data := wantForm(t, m)
				sealed(t, m)
				subject := pec.DecodeText(m.Header.Get("Subject"))
				if !strings.HasPrefix(subject, strings.TrimSpace(prefixes[m.Kind()])) || !strings.Contains(subject, one.says) || data.Subject == nil ||
					!strings.Contains(*data.Subject, one.says) || data.MessageID != letters[i].ref {
					t.Errorf("%s: Subject is %.300q, the data say %.300q, msgid %q", m.Kind(), subject, *data.Subject, data.MessageID)
				}
				head, _, _ := strings.Cut(string(m.Raw), "\r\n\r\n")
				for _, line := range strings.Split(head, "\r\n") {
					if len(line) > 998 || strings.ContainsFunc(line, func(r rune) bool { return r > 126 }) {
						t.Errorf("%s: a line of the header is %d long: %.100q", m.Kind(), len(line), line)
					}
				}
				if m.Header.Get("X-Injected") != "" {
					t.Errorf("%s: the subject became a field", m.Kind())
				}
				letters[i].to = append(letters[i].to, string(m.Kind()))
			}
			if len(letters[i].to) != 5 {
				t.Errorf("found %v", letters[i].to[1:])
			}
		})
	}
}
