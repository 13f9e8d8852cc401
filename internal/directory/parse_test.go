package directory

import (
	"crypto/sha1"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/pec"
)

func parse(t testing.TB, text string) *Snapshot {
	t.Helper()
	s, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// records compare certificates by what they are, not by what Go makes of them.
var records = cmp.Options{
	cmp.Comparer(func(a, b *x509.Certificate) bool { return a.Equal(b) }),
	cmp.Comparer(func(a, b pec.Address) bool { return a == b }),
	cmpopts.IgnoreUnexported(pec.ProviderRecord{}),
}

func address(t testing.TB, text string) pec.Address {
	t.Helper()
	a, err := pec.ParseAddress(text)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestLookup(t *testing.T) {
	conformance.Covers(t, "C207", "C208", "C209", "C214", "C215", "C216", "C217", "C218")
	a1, a2, b1 := certificate(t, "a1"), certificate(t, "a2"), certificate(t, "b1")
	s := parse(t, base+record("Alfa S.p.A.", "alfa.example PEC.alfa.example", a1, a2)+record("Beta", "beta.example", b1))
	alfa := &pec.ProviderRecord{
		Name: "Alfa S.p.A.", MailReceipt: address(t, "ricevute@alfa.example"),
		Domains: []string{"alfa.example", "pec.alfa.example"}, Certificates: []*x509.Certificate{a1, a2},
	}
	beta := &pec.ProviderRecord{
		Name: "Beta", MailReceipt: address(t, "ricevute@beta.example"), Domains: []string{"beta.example"},
		Certificates: []*x509.Certificate{b1},
	}
	if diff := cmp.Diff([]*pec.ProviderRecord{alfa, beta}, s.Providers(), records); diff != "" {
		t.Errorf("Providers (-want +got):\n%s", diff)
	}
	for domain, want := range map[string]*pec.ProviderRecord{
		"alfa.example": alfa, "ALFA.Example": alfa, "pec.alfa.example": alfa, "beta.example": beta,
		"gamma.example": nil, "": nil, "example": nil, "sub.alfa.example": nil,
	} {
		got, ok := s.ByDomain(domain)
		if ok != (want != nil) || !cmp.Equal(want, got, records) {
			t.Errorf("ByDomain(%q) = %v, %v; want %v", domain, got, ok, want)
		}
	}
	for cert, want := range map[*x509.Certificate]*pec.ProviderRecord{a1: alfa, a2: alfa, b1: beta, certificate(t, "a1"): nil} {
		got, ok := s.ByCertificate(cert)
		if ok != (want != nil) || !cmp.Equal(want, got, records) {
			t.Errorf("ByCertificate(%v) = %v, %v; want %v", cert.Subject, got, ok, want)
		}
	}
	if len(s.Problems()) != 0 {
		t.Errorf("Problems = %q, want none", s.Problems())
	}
}

// Ways to write one and the same directory, of RFC 2849, of LDAP and of real life.
func TestOtherSpellings(t *testing.T) {
	conformance.Covers(t, "C207", "C214", "C218")
	cert := certificate(t, "a")
	text := base + record("Alfa", "alfa.example", cert)
	want := parse(t, text).Providers()
	base64Name := base64.StdEncoding.EncodeToString([]byte("Alfa"))
	replace := strings.NewReplacer
	for name, other := range map[string]string{
		"CRLF":                   strings.ReplaceAll(text, "\n", "\r\n"),
		"no line end at the end": strings.TrimSuffix(text, "\n"),
		"blank lines":            "\n\n" + strings.ReplaceAll(text, "\n\n", "\n\n\n\n") + "\n\n",
		"version":                "version: 1\n" + text,
		"no base record":         record("Alfa", "alfa.example", cert),
		"comments":               "# one\n  folded\n" + replace("mailReceipt", "# two: x\nmailReceipt").Replace(text),
		"hash in small letters":  replace(fmt.Sprintf("%X", hashOf(cert)), fmt.Sprintf("%x", hashOf(cert))).Replace(text),
		"hash folded":            replace("providerCertificateHash: ", "providerCertificateHash:\n ").Replace(text),
		"names folded":           replace("o=postacert\nobjectclass: top\nobjectclass: prov", "o=post\n acert\nobjectclass: top\nobject\n class: prov").Replace(text),
		"base64":                 replace("providerName: Alfa", "providerName:: "+base64Name).Replace(text),
		"base64 DN":              replace("dn: providerName=Alfa,o=postacert", "dn:: "+base64.StdEncoding.EncodeToString([]byte("providerName=Alfa,o=postacert"))).Replace(text),
		"letters of names":       replace("managedDomains", "MANAGEDDOMAINS", "providerCertificate;binary", "ProviderCertificate;Binary", "objectclass: provider", "objectClass: Provider").Replace(text),
		"letters of DN":          replace("dn: providerName=Alfa,o=postacert", "dn: PROVIDERNAME=alfa , O=PostaCert").Replace(text),
		"domain in capitals":     replace("managedDomains: alfa", "managedDomains: ALFA").Replace(text),
		"domain twice":           text + "managedDomains: alfa.example\n",
		"an empty attribute":     text + "description:\nlabel:: \n",
		"unknown attributes":     text + "description: x\nsomething;x-other: y\n",
	} {
		if other == text {
			t.Errorf("%s: the text did not change", name)
		}
		s, err := Parse([]byte(other))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(want, s.Providers(), records); diff != "" || len(s.Problems()) != 0 {
			t.Errorf("%s: problems %q, records (-want +got):\n%s", name, s.Problems(), diff)
		}
	}
}

// A name in UTF-8 and one with a comma, which LDIF and DN each write in their way.
func TestNamesOfAnyKind(t *testing.T) {
	cert := certificate(t, "a")
	text := strings.NewReplacer(
		"dn: providerName=Alfa,", "dn:: "+base64.StdEncoding.EncodeToString([]byte(`providerName=Società Alfa\, Roma,o=postacert`))+"\nx: ",
		"providerName: Alfa", "providerName:: "+base64.StdEncoding.EncodeToString([]byte("Società Alfa, Roma")),
	).Replace(record("Alfa", "alfa.example", cert))
	if got := parse(t, text).Providers()[0].Name; got != "Società Alfa, Roma" {
		t.Errorf("Name = %q", got)
	}
}

func hashOf(cert *x509.Certificate) []byte {
	sum := sha1.Sum(cert.Raw)
	return sum[:]
}

// What is wrong with one record is wrong with the file: the one in use stays.
func TestParseRefuses(t *testing.T) {
	conformance.Covers(t, "C207", "C208", "C216", "C217", "C218")
	cert, other := certificate(t, "a"), certificate(t, "b")
	alfa := record("Alfa", "alfa.example", cert)
	good := base + alfa
	secret := writeFile(t, "secret", []byte("alfa.example"))
	change := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("%q is not in the record", old)
		}
		return strings.Replace(good, old, new, 1)
	}
	for name, test := range map[string]struct{ text, want string }{
		"nothing":                              {"", "no provider"},
		"no LDIF":                              {"hello", "LDIF"},
		"only the base":                        {base, "no provider"},
		"another base":                         {change("providerName=Alfa,o=postacert", "providerName=Alfa,o=other"), "its DN"},
		"no provider name in DN":               {change("dn: providerName=Alfa", "dn: cn=Alfa"), "its DN"},
		"DN too deep":                          {change("dn: providerName=Alfa", "dn: cn=x,providerName=Alfa"), "its DN"},
		"DN of two values":                     {change("dn: providerName=Alfa", "dn: providerName=Alfa+cn=x"), "several values"},
		"DN in BER":                            {change("dn: providerName=Alfa", "dn: providerName=#0403416C66"), "DN"},
		"another name":                         {change("providerName: Alfa", "providerName: Beta"), `providerName is "Beta"`},
		"no name":                              {change("providerName: Alfa\n", ""), "0 values of providername"},
		"two names":                            {change("providerName: Alfa", "providerName: Alfa\nprovidername: Alfa"), "2 values of providername"},
		"no class":                             {change("objectclass: provider\n", ""), "not of the class provider"},
		"no hash":                              {change("providerCertificateHash", "x"), "no providerCertificateHash"},
		"hash of another kind":                 {change("providerCertificateHash: ", "providerCertificateHash: 00"), "not a SHA-1"},
		"hash is no number":                    {change("providerCertificateHash: ", "providerCertificateHash: x\nx: "), "not a SHA-1"},
		"no certificate":                       {change("providerCertificate;binary", "x"), "no providerCertificate;binary"},
		"certificate as text":                  {change("providerCertificate;binary", "providerCertificate"), "no providerCertificate;binary"},
		"no service mailbox":                   {change("mailReceipt", "x"), "0 values of mailreceipt"},
		"two service mailboxes":                {good + "mailReceipt: x@alfa.example\n", "2 values of mailreceipt"},
		"quoted mailbox":                       {change("mailReceipt: ricevute@", `mailReceipt: "ric evute"@`), "not a plain address"},
		"mailbox with brackets":                {change("mailReceipt: ricevute@alfa.example", "mailReceipt: <ricevute@alfa.example>"), "not a plain address"},
		"no domain":                            {change("managedDomains", "x"), "no managedDomains"},
		"domain literal":                       {change("managedDomains: alfa.example", "managedDomains: [192.0.2.1]"), "not a domain"},
		"domain with a dot end":                {change("managedDomains: alfa.example", "managedDomains: alfa.example."), "not a domain"},
		"domain with an at":                    {change("managedDomains: alfa.example", "managedDomains: a@alfa.example"), "not a domain"},
		"wildcard":                             {change("managedDomains: alfa.example", "managedDomains: *.example"), "not a domain"},
		"a record twice":                       {good + alfa, "it is there twice"},
		"a unit not in the DN":                 {good + "providerUnit: x\n", "its providerUnit"},
		"an environment without a main record": {base + environment("U", "Alfa", "alfa.example", cert), `record "Alfa" ("U"): its provider has no main record`},
		"an environment of another":            {good + environment("U", "Beta", "u.example", other), `record "Beta" ("U"): its provider has no main record`},
		"a domain of two": {good + record("Beta", "b.example ALFA.example", other),
			`domain "alfa.example" is claimed by both "Alfa" and "Beta"`},
		"a certificate of two": {good + record("Beta", "beta.example", cert),
			`one certificate is claimed by both "Alfa" and "Beta"`},
		"a file of this host": {change("managedDomains: alfa.example", "managedDomains:< file://"+secret), "value by URL"},
		"a file, folded":      {change("managedDomains: alfa.example", "managedDomains:\n < file://"+secret), "value by URL"},
		"a change":            {change("objectclass: top", "changetype: add\nobjectclass: top"), "a change"},
		"a control":           {change("objectclass: top", "control: 1.2.3\nobjectclass: top"), "a change"},
		"a folded beginning":  {" x" + good, "folded line"},
		"broken base64":       {change("providerName: Alfa", "providerName:: %%%"), "LDIF"},
		"control characters":  {change("providerName: Alfa", "providerName:: "+base64.StdEncoding.EncodeToString([]byte("Al\x00fa"))), "its providername"},
	} {
		s, err := Parse([]byte(test.text))
		if err == nil || s != nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: Parse = %v, %v; want an error with %q", name, s, err, test.want)
		}
	}
	if _, err := os.Stat(secret); err != nil {
		t.Fatal(err)
	}
}

// A certificate that is not what its hash says is not believed; the rest of the directory is.
func TestACertificateThatDoesNotMatchItsHashIsLeftOut(t *testing.T) {
	conformance.Covers(t, "C208", "C209", "C214")
	good, bad, lost := certificate(t, "good"), certificate(t, "bad"), certificate(t, "lost")
	text := record("Alfa", "alfa.example", good, bad)
	text = strings.Replace(text, fmt.Sprintf("%X", hashOf(bad)), fmt.Sprintf("%X", hashOf(lost)), 1)
	s := parse(t, base+text+record("Beta", "beta.example", certificate(t, "b")))
	if _, ok := s.ByCertificate(good); !ok {
		t.Error("the good certificate is not found")
	}
	for _, cert := range []*x509.Certificate{bad, lost} {
		if r, ok := s.ByCertificate(cert); ok {
			t.Errorf("the certificate %v leads to %s", cert.Subject, r.Name)
		}
	}
	if r, ok := s.ByDomain("alfa.example"); !ok || len(r.Certificates) != 1 {
		t.Errorf("ByDomain = %v, %v; want the record with one certificate", r, ok)
	}
	problems := s.Problems()
	if len(problems) != 2 || !strings.Contains(problems[0], "no certificate matches its hash") ||
		!strings.Contains(problems[1], "no hash matches its certificate 2") {
		t.Errorf("Problems = %q, want one about each side", problems)
	}
}

// The certificate is found by all its bytes: another with the same hash attribute is another.
func TestACertificateThatCannotBeReadIsLeftOut(t *testing.T) {
	junk := &x509.Certificate{Raw: []byte("not a certificate")}
	s := parse(t, record("Alfa", "alfa.example", junk, certificate(t, "a")))
	if len(s.Problems()) != 1 || len(s.Providers()[0].Certificates) != 1 {
		t.Errorf("problems %q, certificates %d; want one and one", s.Problems(), len(s.Providers()[0].Certificates))
	}
}

func TestSecondaryEnvironments(t *testing.T) {
	conformance.Covers(t, "C207", "C209")
	cert, own, beta := certificate(t, "shared"), certificate(t, "own"), certificate(t, "beta")
	// The secondary record stands first: order does not count. Its name differs, as in the example of the RFC.
	unit := strings.Replace(environment("Uffici", "Alfa", "uffici.example", cert, own), "\nproviderName: Alfa", "\nproviderName: Alfa Uffici", 1)
	s := parse(t, base+unit+record("Alfa", "alfa.example", cert)+record("Beta", "beta.example", beta))
	if r, ok := s.ByDomain("uffici.example"); !ok || r.Unit != "Uffici" || r.Name != "Alfa Uffici" ||
		r.MailReceipt != address(t, "ricevute@uffici.example") {
		t.Errorf("ByDomain of the secondary environment = %+v, %v", r, ok)
	}
	// What both sign with: the main record answers, and manages the domains of both.
	r, ok := s.ByCertificate(cert)
	if !ok || r.Name != "Alfa" || r.Unit != "" || !r.Manages("alfa.example") || !r.Manages("uffici.example") {
		t.Errorf("ByCertificate of the shared certificate = %+v, %v", r, ok)
	}
	if r, ok := s.ByCertificate(own); !ok || r.Unit != "Uffici" || r.Manages("alfa.example") {
		t.Errorf("ByCertificate of the environment's own certificate = %+v, %v", r, ok)
	}
	if r, ok := s.ByCertificate(beta); !ok || r.Manages("uffici.example") {
		t.Errorf("ByCertificate of Beta = %+v, %v", r, ok)
	}
	if _, err := Parse([]byte(base + record("Alfa", "alfa.example", cert) + environment("U", "Alfa", "alfa.example", own))); err == nil ||
		!strings.Contains(err.Error(), `claimed by both "Alfa" and "Alfa" ("U")`) {
		t.Errorf("a domain of main and secondary environment: %v; want an error that names them", err)
	}
}

func TestChanges(t *testing.T) {
	a, a2, b, c := certificate(t, "a"), certificate(t, "a2"), certificate(t, "b"), certificate(t, "c")
	old := parse(t, record("Alfa", "alfa.example", a)+record("Beta", "beta.example", b)+record("Gamma", "gamma.example", c))
	now := parse(t, record("Alfa", "alfa.example", a, a2)+record("Gamma", "gamma.example", c)+record("Delta", "delta.example x.example", b))
	want := []string{`"Alfa" has changed: 1 certificates more`, `"Beta" is gone, with 1 domains and 1 certificates`,
		`"Delta" is new, with 2 domains and 1 certificates`}
	if diff := cmp.Diff(want, now.Changes(old)); diff != "" {
		t.Errorf("Changes (-want +got):\n%s", diff)
	}
	if got := now.Changes(now); len(got) != 0 {
		t.Errorf("Changes to itself = %q", got)
	}
	if got := now.Changes(nil); len(got) != 3 {
		t.Errorf("Changes from nothing = %q, want three", got)
	}
}

// A value folded into very many lines costs time in proportion to its size.
func TestAVeryLongValueIsReadInTime(t *testing.T) {
	text := base + record("Alfa", "alfa.example", certificate(t, "a")) + "description: x\n" + strings.Repeat(" xxxxxxxx\n", 1_000_000)
	if s := parse(t, text); len(s.Providers()) != 1 {
		t.Errorf("%d providers, want one", len(s.Providers()))
	}
}

// No mail depends on where a file is published: a wrong URL is a fault that is said, and the record is good.
func TestLocations(t *testing.T) {
	conformance.Covers(t, "C219", "C220", "C221")
	cert, own := certificate(t, "a"), certificate(t, "b")
	const location = "LDIFLocationURL: https://alfa.example/alfa.ldif.p7m\n"
	alfa, unit := record("Alfa", "alfa.example", cert), environment("U", "Alfa", "u.example", own)
	s := parse(t, base+alfa+location+unit)
	if got := s.LocationURL(); got != "https://igpec.example/igpec.ldif.p7m" {
		t.Errorf("the whole directory is at %q", got)
	}
	providers := s.Providers()
	if providers[0].LocationURL != "https://alfa.example/alfa.ldif.p7m" || providers[1].LocationURL != "" || providers[1].Unit != "U" || len(s.Problems()) != 0 {
		t.Errorf("the records are at %q and %q, problems %q", providers[0].LocationURL, providers[1].LocationURL, s.Problems())
	}
	for name, test := range map[string]struct{ text, want string }{
		"without TLS":        {base + alfa + strings.Replace(location, "https", "http", 1), `"providerName=Alfa,o=postacert": its LDIFLocationURL is "http://`},
		"no URL":             {base + alfa + "LDIFLocationURL: alfa.ldif.p7m\n", "its LDIFLocationURL is"},
		"no host":            {base + alfa + "LDIFLocationURL: https:///alfa.ldif.p7m\n", "its LDIFLocationURL is"},
		"two":                {base + alfa + location + location, "it has 2 values of LDIFLocationURL"},
		"of an environment":  {base + alfa + unit + location, `"providerUnit=U,providerName=Alfa,o=postacert": it is of a secondary environment and has an LDIFLocationURL`},
		"of the whole":       {strings.Replace(base, "https", "ftp", 1) + alfa, `"o=postacert": its LDIFLocationURL is "ftp://`},
		"not UTF-8":          {base + alfa + "description: Societ\xe0\n", fmt.Sprintf("directory: line %d is not UTF-8", strings.Count(base+alfa, "\n")+1)},
		"a password in it":   {base + alfa + strings.Replace(location, "//", "//a:b@", 1), "its LDIFLocationURL is"},
		"a control in it":    {base + alfa + "LDIFLocationURL:: aHR0cHM6Ly9hLmV4YW1wbGUvAQ==\n", "which is no URL"},
		"it has no end":      {base + alfa + "LDIFLocationURL: https://a.example/" + strings.Repeat("x", maxLocation) + "\n", "which is no URL"},
		"an empty one is no": {base + alfa + "LDIFLocationURL: \n", ""},
	} {
		s := parse(t, test.text)
		problems := strings.Join(s.Problems(), "\n")
		if test.want == "" && problems != "" || !strings.Contains(problems, test.want) || test.want != "" && len(s.Problems()) != 1 {
			t.Errorf("%s: problems %q, want one with %q", name, problems, test.want)
		}
		if r, ok := s.ByCertificate(cert); !ok || r.LocationURL != "" || !r.Manages("alfa.example") {
			t.Errorf("%s: the record is %+v, %v", name, r, ok)
		}
	}
}

// Main and secondary environments, each with the certificates of a renewal, are all good for lookups.
func TestEveryCertificateOfEveryEnvironment(t *testing.T) {
	conformance.Covers(t, "C209", "C210", "C221")
	main, next, unit, unitNext := certificate(t, "a"), certificate(t, "a2"), certificate(t, "u"), certificate(t, "u2")
	s := parse(t, base+record("Alfa", "alfa.example", main, next)+environment("U", "Alfa", "u.example", unit, unitNext))
	for cert, want := range map[*x509.Certificate][2]string{main: {"", "alfa.example"}, next: {"", "alfa.example"}, unit: {"U", "u.example"}, unitNext: {"U", "u.example"}} {
		if r, ok := s.ByCertificate(cert); !ok || r.Unit != want[0] || !r.Manages(want[1]) || r.Name != "Alfa" || len(r.Certificates) != 2 {
			t.Errorf("ByCertificate(%v) = %+v, %v; want the record %q of two certificates", cert.Subject, r, ok, want[0])
		}
	}
	if got := s.Counts(); got != (Counts{Records: 2, Domains: 2, Certificates: 4}) {
		t.Errorf("Counts = %v", got)
	}
}

func TestErrLDIF(t *testing.T) {
	if _, err := Parse([]byte("x")); !errors.Is(err, ErrLDIF) {
		t.Errorf("Parse: %v; want %v", err, ErrLDIF)
	}
}

// FuzzParse: whatever was signed, it is a directory that agrees with itself, or an error.
func FuzzParse(f *testing.F) {
	cert := certificate(f, "a")
	f.Add(base + record("Alfa", "alfa.example", cert) + environment("U", "Alfa", "u.example", cert))
	f.Add("dn: providerName=\\41,o=postacert\nobjectClass: provider\n")
	f.Add("version: 1\ndn:: bz1wb3N0YWNlcnQ=\nchangetype: delete\n")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse([]byte(text))
		if err != nil {
			return
		}
		for _, r := range s.Providers() {
			for _, domain := range r.Domains {
				if got, ok := s.ByDomain(domain); !ok || got != r {
					t.Errorf("ByDomain(%q) = %v, not the record that claims it", domain, got)
				}
			}
			for _, cert := range r.Certificates {
				if got, ok := s.ByCertificate(cert); !ok || !got.Manages(r.Domains[0]) {
					t.Errorf("ByCertificate of a certificate of %q = %v", r.Name, got)
				}
			}
		}
	})
}
