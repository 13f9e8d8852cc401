package mediatype

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		in, name string
		params   map[string]string
	}{
		{" text/plain", "text/plain", map[string]string{}},
		{" Text/PLAIN ;", "text/plain", map[string]string{}},
		{`multipart/signed; boundary="a b"; micalg=sha-1`, "multipart/signed", map[string]string{"boundary": "a b", "micalg": "sha-1"}},
		{"multipart/signed;\r\n\tProtocol = application/x-pkcs7-signature ;\r\n boundary=\"x\" ; ", "multipart/signed",
			map[string]string{"protocol": "application/x-pkcs7-signature", "boundary": "x"}},
		{`a/b;; c=d;;`, "a/b", map[string]string{"c": "d"}},
		{`a/b; c="d;e=f"`, "a/b", map[string]string{"c": "d;e=f"}},
		{`a/b; c=""`, "a/b", map[string]string{"c": ""}},
		{"", "", map[string]string{}},
	} {
		got, err := Parse(c.in)
		if err != nil {
			t.Errorf("Parse(%q): %v", c.in, err)
		}
		if diff := cmp.Diff(Value{c.name, c.params}, got); diff != "" {
			t.Errorf("Parse(%q) (-want +got):\n%s", c.in, diff)
		}
		if name := Name(c.in); name != c.name {
			t.Errorf("Name(%q) = %q, want %q", c.in, name, c.name)
		}
	}
}

// What two readers could take for two things is an error, and yet read as mailers mean it.
func TestParseNamesWhatIsAmbiguous(t *testing.T) {
	for in, want := range map[string]map[string]string{
		"a/b; c":                   {},
		"a/b; c; d=e":              {"d": "e"},
		"a/b; c=":                  {"c": ""},
		"a/b; =d":                  {},
		"a/b; c=d; C=e":            {"c": "d"},
		`a/b; c="d`:                {"c": `"d`},
		`a/b; c="d"e; f=g`:         {"c": "d", "f": "g"},
		`a/b; c=d"e"`:              {"c": `d"e"`},
		`a/b; c="d\"e"`:            {"c": `d"e`},
		`a/b; c="d\\"`:             {"c": `d\`},
		"a/b; c=d e":               {"c": "d e"},
		"a/b; c=(d)":               {"c": "(d)"},
		"a/b; (x) c=d":             {"(x) c": "d"},
		"a/b; c*=d":                {"c*": "d"},
		"a/b; c*0=d":               {"c*0": "d"},
		"a/b; c d=e":               {"c d": "e"},
		`a/b; c="d" (x)`:           {"c": "d"},
		`a/b; c="d;e`:              {"c": `"d`},
		`a/b; name=postacert.eml(`: {"name": "postacert.eml("},
	} {
		got, err := Parse(in)
		if err == nil {
			t.Errorf("Parse(%q) = %v, want an error", in, got)
		}
		if diff := cmp.Diff(Value{"a/b", want}, got); diff != "" {
			t.Errorf("Parse(%q) (-want +got):\n%s", in, diff)
		}
	}
}

// FuzzParse: the reader ends, the name is what Name says, and what it is sure of reads the same once it is written in
// the plainest way.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"multipart/signed; protocol=application/pkcs7-signature; micalg=sha-256; boundary=\"=_a\"", "a/b;;c=\"d;e\\\"\";F = g ;h",
		"attachment;\r\n filename*0=a; filename*1=b", "a/b; c=\"d", ";=;\"",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		got, err := Parse(raw)
		if got.Name != Name(raw) {
			t.Fatalf("the name is %q, not %q", got.Name, Name(raw))
		}
		if err != nil {
			return
		}
		plain := got.Name
		for name, value := range got.Params {
			if !IsToken(name) || strings.ContainsAny(value, `\"`) {
				t.Fatalf("sure of %q=%q", name, value)
			}
			plain += `; ` + name + `="` + value + `"`
		}
		again, err := Parse(plain)
		if diff := cmp.Diff(got, again); err != nil || diff != "" {
			t.Fatalf("%q, %v:\n%s", plain, err, diff)
		}
	})
}
