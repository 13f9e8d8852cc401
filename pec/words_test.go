package pec

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/ceralacca/ceralacca/pec/internal/rfc822"
)

func TestDecodeText(t *testing.T) {
	for raw, want := range map[string]string{
		" plain  text ":                                 "plain  text",
		" folded\r\n\ttwice\r\n  over":                  "folded\ttwice  over",
		"=?UTF-8?Q?POSTA_CERTIFICATA=3A_=C3=A8?=":       "POSTA CERTIFICATA: è",
		"POSTA CERTIFICATA: =?iso-8859-1?q?perch=E9?=":  "POSTA CERTIFICATA: perché",
		"=?utf-8?B?cGVyY2jDqQ==?=":                      "perché",
		"=?utf-8?B?cGVyY2jDqQ?=":                        "perché",
		"=?utf-8?B?cGVyY2jD?=\r\n =?utf-8?B?qQ==?=":     "perché",
		"=?utf-8?Q?a?= =?utf-8?Q?b?=":                   "ab",
		"=?utf-8?Q?a?= =?iso-8859-1?Q?=E8?=":            "aè",
		"=?utf-8?Q?a?= b =?utf-8?Q?c?=":                 "a b c",
		"=?utf-8?Q?a?= =?x-unknown?Q?b?= =?utf-8?Q?c?=": "a =?x-unknown?Q?b?= c",
		"(=?utf-8?Q?a?=)":                               "(a)",
		"=?windows-1252?Q?=80?=":                        "€",
		"=?utf-8*it?Q?a?=":                              "a",
		"=?utf-8?Q?a=ZZ=?=":                             "a=ZZ=",
		"=?utf-8?B?***?=":                               "=?utf-8?B?***?=",
		"=?utf-8?Q?a=0D=0ABcc:_x?=":                     "a  Bcc: x",
		"=?utf-8?Q?=FF?=":                               "\uFFFD",
		"perch\xe9":                                     "perché",
		"perché":                                        "perché",
		"2 =? 3":                                        "2 =? 3",
		"":                                              "",
	} {
		if got := DecodeText(raw); got != strings.ReplaceAll(want, "\t", " ") {
			t.Errorf("DecodeText(%q) = %q, want %q", raw, got, want)
		}
	}
}

func TestEncodeSubject(t *testing.T) {
	long := subjectPrefix[KindTimeout]
	for _, tt := range []struct{ prefix, text, want string }{
		{"CONSEGNA: ", "Una prova", "CONSEGNA: Una prova"},
		{"CONSEGNA: ", "", "CONSEGNA:"},
		{"CONSEGNA: ", "a\r\nBcc: b@x.it", "CONSEGNA: a  Bcc: b@x.it"},
		{"CONSEGNA: ", "perché no", "CONSEGNA: =?UTF-8?Q?perch=C3=A9_no?="},
		{"CONSEGNA: ", "=?utf-8?q?a?=", "CONSEGNA: =?UTF-8?Q?=3D=3Futf=2D8=3Fq=3Fa=3F=3D?="},
		{"CONSEGNA: ", "привет", "CONSEGNA: =?UTF-8?B?0L/RgNC40LLQtdGC?="},
		{long, "perché", "AVVISO DI MANCATA CONSEGNA PER SUP. TEMPO MASSIMO:\r\n =?UTF-8?Q?perch=C3=A9?="},
	} {
		if got := EncodeSubject(tt.prefix, tt.text); got != tt.want {
			t.Errorf("EncodeSubject(%q, %q) = %q, want %q", tt.prefix, tt.text, got, tt.want)
		}
	}
}

func TestEncodeSubjectFoldsAndComesBack(t *testing.T) {
	for _, text := range []string{
		strings.Repeat("a word ", 300) + "end", strings.Repeat("x", 5000), strings.Repeat("è", 3000),
		strings.Repeat("lettera à ", 200) + "fine", strings.Repeat("漢字", 1000), "a  b   c" + strings.Repeat(" ", 2000) + "d",
	} {
		checkSubject(t, text)
	}
}

// checkSubject checks that text survives in a subject that is a legal header value.
func checkSubject(t *testing.T, text string) {
	t.Helper()
	for _, prefix := range subjectPrefix {
		value := EncodeSubject(prefix, text)
		if got, want := DecodeText(value), strings.TrimSpace(prefix+strings.TrimSpace(rfc822.OneLine(text))); got != want {
			t.Fatalf("%q came back as %q from %q", want, got, value)
		}
		for n, line := range strings.Split("Subject: "+value, "\r\n") {
			switch {
			case strings.ContainsAny(line, "\r\n"):
				t.Fatalf("a line of %q holds half a line end", value)
			case n > 0 && (line == "" || line[0] != ' '):
				t.Fatalf("line %q of %q injects a field", line, value)
			case strings.TrimSpace(line) == "":
				t.Fatalf("%q has a blank line", value)
			case len(line) > 2*rfc822.MaxLine:
				t.Fatalf("%q has a line of %d", value, len(line))
			}
		}
		if strings.ContainsFunc(value, func(r rune) bool { return r >= 0x7f }) {
			t.Fatalf("%q is beyond ASCII", value)
		}
	}
}

func FuzzDecodeText(f *testing.F) {
	for _, s := range []string{"=?utf-8?Q?a=C3?= =?utf-8?B?qQ==?=", "perch\xe9", "=?iso-2022-jp?B?GyRC?=", "=?a?b?c?=", "=?utf-16?Q?a?="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		text := DecodeText(raw)
		if !utf8.ValidString(text) || rfc822.OneLine(text) != text || strings.TrimSpace(text) != text {
			t.Fatalf("%q became %q", raw, text)
		}
		checkSubject(t, text)
	})
}
