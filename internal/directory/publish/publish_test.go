package publish_test

import (
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab/pki"
	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/internal/directory"
	"github.com/ceralacca/ceralacca/internal/directory/publish"
	"github.com/ceralacca/ceralacca/pec"
)

func address(t testing.TB, s string) pec.Address {
	t.Helper()
	a, err := pec.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// records are good: a main one and an environment, each with a certificate.
func records(t testing.TB) []publish.Record {
	t.Helper()
	ca, err := pki.NewAuthority("CA", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	cert := func(a string) []*x509.Certificate {
		p, err := ca.Signing("Alfa", a)
		if err != nil {
			t.Fatal(err)
		}
		return []*x509.Certificate{p.Cert}
	}
	return []publish.Record{
		{ProviderRecord: pec.ProviderRecord{Name: "Alfa", MailReceipt: address(t, "r@alfa.example"), Domains: []string{"alfa.example"},
			Certificates: cert("p@alfa.example"), LocationURL: "https://alfa.example/a.p7m"}},
		{ProviderRecord: pec.ProviderRecord{Name: "Alfa", Unit: "U", MailReceipt: address(t, "r@u.example"), Domains: []string{"u.example"},
			Certificates: cert("p@u.example")}},
	}
}

func anybody(publish.Record, *x509.Certificate, time.Time) error { return nil }

// Whatever a name or description is made of, who reads the file finds it as it was.
func TestNamesComeOutAsTheyWentIn(t *testing.T) {
	conformance.Covers(t, "C207", "C219", "C222")
	all := records(t)
	for _, name := range []string{"Alfa", "Società Alfa, Roma", `a"b+c;d<e>f=g\h`, "#1", "x #1", " Alfa"[1:], ": <x>", "è", "a=b", strings.Repeat("lungo ", 33) + "x", "a\\,b", "=#00"[1:]} {
		for i := range all {
			all[i].Name, all[i].Description = name, name
		}
		all[1].Unit = name
		if faults := publish.Check(all, time.Now(), anybody); len(faults) > 0 {
			t.Errorf("%q: %v", name, errors.Join(faults...))
			continue
		}
		text := publish.LDIF(all)
		for line := range strings.Lines(string(text)) {
			if len(line) > 77 || strings.ContainsFunc(line, func(r rune) bool { return r >= 0x80 }) {
				t.Errorf("%q: the line %q is long or not ASCII", name, line)
			}
		}
		s, err := directory.Parse(text)
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		if got := s.Providers(); len(got) != 2 || got[0].Name != name || got[1].Unit != name {
			t.Errorf("%q is read as %+v", name, got)
		}
	}
}

func TestCheckNamesEveryFault(t *testing.T) {
	conformance.Covers(t, "C219", "C220", "C221", "C222")
	good := records(t)
	for name, test := range map[string]struct {
		harm func(all []publish.Record) []publish.Record
		want string
	}{
		"nothing":               {func(all []publish.Record) []publish.Record { return nil }, "there is no main record"},
		"no main record":        {func(all []publish.Record) []publish.Record { return all[1:] }, "there is no main record"},
		"two main records":      {func(all []publish.Record) []publish.Record { all[1].Unit = ""; return all }, "more than one main record"},
		"two of a unit":         {func(all []publish.Record) []publish.Record { all = append(all, all[1]); all[2].Unit = "u"; return all }, `the environment "u": there are two`},
		"a URL of a unit":       {func(all []publish.Record) []publish.Record { all[1].LocationURL = all[0].LocationURL; return all }, `"U": it has an LDIFLocationURL`},
		"no URL":                {func(all []publish.Record) []publish.Record { all[0].LocationURL = ""; return all }, "the main record: its LDIFLocationURL is"},
		"a URL without TLS":     {func(all []publish.Record) []publish.Record { all[0].LocationURL = "http://a.example/a.p7m"; return all }, "not an https:// URL"},
		"no domain":             {func(all []publish.Record) []publish.Record { all[1].Domains = nil; return all }, "it has no managedDomains"},
		"a domain twice":        {func(all []publish.Record) []publish.Record { all[1].Domains = all[0].Domains; return all }, `domain "alfa.example" is claimed by both`},
		"a wrong domain":        {func(all []publish.Record) []publish.Record { all[1].Domains = []string{"*.example"}; return all }, "is not a domain"},
		"no certificate":        {func(all []publish.Record) []publish.Record { all[0].Certificates = nil; return all }, "no certificate that is good today"},
		"a control character":   {func(all []publish.Record) []publish.Record { all[0].Description = "a\x01b"; return all }, "its description"},
		"a space at an end":     {func(all []publish.Record) []publish.Record { all[1].Unit = "U "; return all }, "its providerUnit"},
		"a name without end":    {func(all []publish.Record) []publish.Record { all[0].Name = strings.Repeat("x", 201); return all }, "its providerName"},
		"no mailbox":            {func(all []publish.Record) []publish.Record { all[0].MailReceipt = pec.Address{}; return all }, "mailreceipt"},
		"a certificate for two": {func(all []publish.Record) []publish.Record { all[1].Certificates = all[0].Certificates; return all }, ""},
	} {
		faults := publish.Check(test.harm(slices.Clone(good)), time.Now(), anybody)
		said := ""
		if err := errors.Join(faults...); err != nil {
			said = err.Error()
		}
		if (said == "") != (test.want == "") || !strings.Contains(said, test.want) {
			t.Errorf("%s: %q; want %q", name, said, test.want)
		}
	}
	nobody := func(publish.Record, *x509.Certificate, time.Time) error { return errors.New("unknown") }
	if faults := publish.Check(good, time.Now(), nobody); len(faults) != 2 || !strings.HasSuffix(faults[0].Error(), ": unknown") {
		t.Errorf("certificates that nobody vouches for: %v", faults)
	}
	late := time.Now().AddDate(30, 0, 0)
	if faults := publish.Check(good, late, anybody); len(faults) != 2 {
		t.Errorf("in thirty years: %v; want that no record has a certificate", faults)
	}
}
