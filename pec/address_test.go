package pec

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ceralacca/ceralacca/internal/conformance"
)

func addresses(list []Address) []string {
	var out []string
	for _, a := range list {
		out = append(out, a.String())
	}
	return out
}

func TestParseAddress(t *testing.T) {
	for s, want := range map[string]string{
		"mario@pec.example":                     "mario@pec.example",
		"Mario.Rossi@PEC.Example":               "Mario.Rossi@pec.example",
		"a+b=c{d}@x-y.it":                       "a+b=c{d}@x-y.it",
		"a%b@c.it":                              "a%b@c.it",
		"mario@localhost":                       "mario@localhost",
		"":                                      "",
		"mario":                                 "",
		"@pec.example":                          "",
		"mario@":                                "",
		"mario@@x.it":                           "",
		"a@b@x.it":                              "",
		"@relay:a@x.it":                         "",
		"<a@x.it>":                              "",
		"a @x.it":                               "",
		`"a"@x.it`:                              "",
		".a@x.it":                               "",
		"a..b@x.it":                             "",
		"a.@x.it":                               "",
		"a@x.it.":                               "",
		"a@.x.it":                               "",
		"a@[127.0.0.1]":                         "",
		"a@x.it\r\nBcc: b@x.it":                 "",
		"perché@x.it":                           "",
		"a@città.it":                            "",
		"a\x00@x.it":                            "",
		strings.Repeat("a", 65) + "@x":          "",
		strings.Repeat("a", 64) + "@x":          strings.Repeat("a", 64) + "@x",
		"a@" + strings.Repeat("x.", 126) + "it": "",
	} {
		a, err := ParseAddress(s)
		if got := a.String(); got != want || (err == nil) != (want != "") {
			t.Errorf("ParseAddress(%q) = %q, %v; want %q", s, got, err, want)
		}
	}
}

func TestAddressesAreComparedFolded(t *testing.T) {
	conformance.Covers(t, "C030")
	a, _ := ParseAddress("Mario.Rossi@PEC.example")
	b, _ := ParseAddress("mario.rossi@pec.EXAMPLE")
	if a == b || a.Fold() != b.Fold() {
		t.Errorf("%v and %v: equal %v, folded %v", a, b, a == b, a.Fold() == b.Fold())
	}
	if a.Local() != "Mario.Rossi" || a.Domain() != "pec.example" || a.IsZero() || !(Address{}).IsZero() {
		t.Errorf("got %q, %q", a.Local(), a.Domain())
	}
	r := &ProviderRecord{Domains: []string{"PEC.example"}}
	if !r.Manages("pec.EXAMPLE") || r.Manages("x.pec.example") || r.Manages("") {
		t.Error("Manages does not compare whole domains without case")
	}
}

func TestWithoutDetail(t *testing.T) {
	for in, want := range map[string]string{
		"mario@alfa.example": "mario@alfa.example", "Mario+Atti+2@alfa.example": "Mario@alfa.example",
		"+atti@alfa.example": "+atti@alfa.example", "mario.+x@alfa.example": "mario.+x@alfa.example",
		"mario+@alfa.example": "mario@alfa.example",
	} {
		a, err := ParseAddress(in)
		if err != nil {
			t.Fatal(err)
		}
		if got := a.WithoutDetail().String(); got != want {
			t.Errorf("%s without its detail = %s, want %s", in, got, want)
		}
	}
	if !(Address{}).WithoutDetail().IsZero() {
		t.Error("the null sender became something")
	}
}

func TestParseAddressList(t *testing.T) {
	conformance.Covers(t, "C043", "C261")
	for _, tt := range []struct {
		raw  string
		want []string
		bad  bool
	}{
		{raw: " a@x.it", want: []string{"a@x.it"}},
		{raw: " a@x.it,\r\n b@x.it", want: []string{"a@x.it", "b@x.it"}},
		{raw: `"Rossi, Mario" <a@x.it>, b@x.it (Bruno, (the) other \) one)`, want: []string{"a@x.it", "b@x.it"}},
		{raw: `"b@x.it" <a@x.it>`, want: []string{"a@x.it"}},
		{raw: `b@x.it <a@x.it>`, want: []string{"a@x.it"}},
		{raw: `(b@x.it) a@x.it`, want: []string{"a@x.it"}},
		{raw: "=?UTF-8?Q?Mario_=C3=A8?= <a@x.it>", want: []string{"a@x.it"}},
		{raw: "Office: a@x.it, B <b@x.it>; , c@x.it", want: []string{"a@x.it", "b@x.it", "c@x.it"}},
		{raw: "posta-certificata@pec.aruba.it", want: []string{"posta-certificata@pec.aruba.it"}},
		{raw: "Posta Certificata Legalmail <posta-certificata@legalmail.it>", want: []string{"posta-certificata@legalmail.it"}},
		{raw: "undisclosed-recipients:;"},
		{raw: "   "},
		{raw: ""},
		{raw: ",,"},
		{raw: "a@pec. x.it, b @ pec .x.it", want: []string{"a@pec.x.it", "b@pec.x.it"}},
		{raw: "<a@pec.\r\n x.it>", want: []string{"a@pec.x.it"}},
		{raw: "a@x.it>, b@x.it\\", want: []string{"a@x.it", "b@x.it"}},
		{raw: `"a"@x.it, <"b"@x.it>, <c(comment)@x.it>`, want: []string{"a@x.it", "b@x.it", "c@x.it"}},
		{raw: "<@relay,@other:a@x.it>", want: []string{"a@x.it"}},
		{raw: `"Mario <a@x.it>`, want: []string{"a@x.it"}},
		{raw: `Mario (of <a@x.it>`, want: []string{"a@x.it"}},
		{raw: "Mario <a@x.it", want: []string{"a@x.it"}},
		{raw: "Mario <a@x.it, b@x.it", want: []string{"a@x.it", "b@x.it"}},
		{raw: "Mario Rossi, a@x.it", want: []string{"a@x.it"}},
		{raw: "Mario Rossi", bad: true},
		{raw: "Mario Rossi a@x.it", bad: true},
		{raw: "<>", bad: true},
		{raw: "perché@x.it", bad: true},
		{raw: `"a b"@x.it`, bad: true},
		{raw: `"b@x.it, c"@x.it`, bad: true},
	} {
		got, err := ParseAddressList(tt.raw)
		if diff := cmp.Diff(tt.want, addresses(got)); diff != "" || (err != nil) != tt.bad {
			t.Errorf("ParseAddressList(%q): %v, error %v:\n%s", tt.raw, got, err, diff)
		}
	}
}

func TestParseAddressListIsLinear(t *testing.T) {
	for _, raw := range []string{
		strings.Repeat(`"\`, 500_000), strings.Repeat("(", 1_000_000), strings.Repeat(`\"`, 500_000),
		strings.Repeat("<", 1_000_000), strings.Repeat("<,", 500_000), strings.Repeat(" a", 500_000), strings.Repeat(`""`, 500_000),
	} {
		_, _ = ParseAddressList(raw) // quadratic time would outlast the test's deadline
	}
}

func FuzzParseAddress(f *testing.F) {
	for _, s := range []string{"mario@pec.example", "a@b@c", "a@x.it\r\nX: y", "à@x.it", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseAddress(s)
		if err != nil {
			return
		}
		if !strings.EqualFold(a.String(), s) {
			t.Fatalf("%q became %q", s, a)
		}
		mustBeBare(t, a)
	})
}

func FuzzParseAddressList(f *testing.F) {
	for _, s := range []string{`"Rossi, Mario" <a@x.it>, g: b@x.it;`, "a@pec. x.it", `("\`, "<@r:a@x.it>", `"a"@x.it`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		list, err := ParseAddressList(s)
		if err != nil && len(list) > 0 {
			t.Fatal("both addresses and an error")
		}
		for _, a := range list {
			mustBeBare(t, a)
		}
	})
}

// mustBeBare checks that an address can stand in a header, an SMTP command and a text.
func mustBeBare(t *testing.T, a Address) {
	t.Helper()
	if a.IsZero() {
		t.Fatal("the null sender came out of a parser")
	}
	if strings.ContainsFunc(a.String(), func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(`<>",;:()[]\`, r) }) {
		t.Fatalf("%q holds special characters", a)
	}
	if again, err := ParseAddress(a.String()); err != nil || again != a {
		t.Fatalf("%q does not parse again: %v", a, err)
	}
}
