package pec

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ceralacca/ceralacca/internal/conformance"
)

// The data from which the tests compose.
const testIdentifier = Identifier("00112233445566778899aabbccddeeff@alfa.example")

var testInstant = time.Date(2026, 7, 9, 8, 7, 6, 543_210_000, time.UTC)

func address(t testing.TB, s string) Address {
	t.Helper()
	a, err := ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func provider(t testing.TB) Provider {
	return Provider{Name: `Alfa "& Figli" S.p.A.`, Address: address(t, "posta-certificata@alfa.example")}
}

// certData is legal data of a kind; with an error that means the virus where that is possible.
func certData(t testing.TB, kind Kind) *CertData {
	subject := "Fattura <n. 7> & perché"
	c := &CertData{
		Kind: kind, Error: ErrorNone, Sender: address(t, "Mario.Rossi@alfa.example"), ReplyTo: `"Ufficio" <ufficio@alfa.example>`,
		Recipients: []Recipient{{address(t, "anna@beta.example"), Certified}, {address(t, "bruno@gamma.example"), Ordinary}},
		Subject:    &subject, Provider: provider(t).Name, Time: testInstant, Identifier: testIdentifier, MessageID: "<1@client>",
	}
	one := address(t, "anna@beta.example")
	switch kind {
	case KindTransport:
		c.Receipt = ReceiptComplete
	case KindTakeCharge:
		c.Taken = []Address{one, address(t, "carlo@beta.example")}
	case KindDelivery:
		c.Receipt, c.Delivery = ReceiptComplete, &one
	case KindNonAcceptance:
		c.Error, c.Detail = ErrorOther, "campo To assente"
	case KindNonDelivery:
		c.Error, c.Detail, c.Delivery = ErrorRecipient, "5.1.1 - Beta - indirizzo non valido", &one
	case KindTimeout:
		c.Error, c.Detail, c.Delivery = ErrorOther, "non consegnato", &one
	case KindVirusDetection:
		c.Error, c.Detail, c.Delivery = ErrorVirus, "ClamAV-Test-File", &one
	}
	return c
}

func certifiedKinds() []Kind {
	return []Kind{KindTransport, KindAcceptance, KindNonAcceptance, KindTakeCharge, KindDelivery, KindNonDelivery, KindTimeout, KindVirusDetection}
}

func encoded(t testing.TB, c *CertData) string {
	t.Helper()
	b, err := c.Encode()
	if err != nil {
		t.Fatalf("%s: %v", c.Kind, err)
	}
	return string(b)
}

// xmllint ends the test unless the document is valid against the DTD.
func xmllint(t testing.TB, document []byte) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "document.xml")
	if err := os.WriteFile(path, document, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "xmllint", "--nonet", "--noout", "--dtdvalid", "postacert.dtd", path).CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		t.Skip("xmllint is not installed")
	}
	if err != nil {
		t.Fatalf("xmllint: %v\n%s\n%s", err, out, document)
	}
}

func TestCertDataIsValidAndComesBack(t *testing.T) {
	conformance.Covers(t, "C198", "C199", "C201", "C202", "C204")
	for _, kind := range certifiedKinds() {
		for _, poor := range []bool{false, true} {
			c := certData(t, kind)
			if poor {
				c.Subject, c.MessageID, c.ReplyTo = nil, "", ""
			}
			document := encoded(t, c)
			xmllint(t, []byte(document))
			back, err := ParseCertData([]byte(document))
			if err != nil {
				t.Fatalf("%s: %v", kind, err)
			}
			c.Time = c.Time.Truncate(time.Second)
			if diff := cmp.Diff(c, back, cmp.AllowUnexported(Address{})); diff != "" {
				t.Errorf("%s came back otherwise:\n%s", kind, diff)
			}
			if strings.Contains(document, "DOCTYPE") || !strings.HasPrefix(document, `<?xml version="1.0" encoding="UTF-8"?>`) {
				t.Errorf("%s begins %.80q", kind, document)
			}
		}
	}
}

func TestCertDataWords(t *testing.T) {
	conformance.Covers(t, "C031", "C037", "C073", "C085", "C203", "C205", "C206")
	transport := encoded(t, certData(t, KindTransport))
	acceptance := encoded(t, certData(t, KindAcceptance))
	for _, want := range []string{
		`<postacert tipo="posta-certificata" errore="nessuno">`, `<destinatari tipo="certificato">anna@beta.example</destinatari>`,
		`<destinatari tipo="esterno">bruno@gamma.example</destinatari>`, `<data zona="+0200">`, `<giorno>09/07/2026</giorno>`,
		`<ora>10:07:06</ora>`, `<identificativo>` + string(testIdentifier) + `</identificativo>`,
		`<msgid>&lt;1@client&gt;</msgid>`, `<ricevuta tipo="completa">`, `<oggetto>Fattura &lt;n. 7&gt; &amp; perché</oggetto>`,
	} {
		if !strings.Contains(transport, want) {
			t.Errorf("the transport envelope lacks %s:\n%s", want, transport)
		}
	}
	if strings.Contains(acceptance, "<ricevuta") || !strings.Contains(acceptance, `tipo="accettazione" errore="nessuno"`) {
		t.Errorf("the acceptance receipt:\n%s", acceptance)
	}
	taken := encoded(t, certData(t, KindTakeCharge))
	if strings.Count(taken, "<ricezione>") != 2 || strings.Contains(taken, "<consegna>") {
		t.Errorf("the take-charge:\n%s", taken)
	}
}

func TestCertDataWithoutMessageIDOrSubject(t *testing.T) {
	conformance.Covers(t, "C038")
	c := certData(t, KindAcceptance)
	c.MessageID, c.Subject = "", nil
	if document := encoded(t, c); strings.Contains(document, "msgid") || strings.Contains(document, "oggetto") {
		t.Error(document)
	}
}

func TestCertDataTimeIsItalian(t *testing.T) {
	conformance.Covers(t, "C187", "C203")
	for at, want := range map[time.Time]string{
		time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC):       `"+0100"> 01/01/2026 01:00:00`,
		time.Date(2026, 3, 29, 0, 59, 59, 0, time.UTC):    `"+0100"> 29/03/2026 01:59:59`,
		time.Date(2026, 3, 29, 1, 0, 0, 0, time.UTC):      `"+0200"> 29/03/2026 03:00:00`,
		time.Date(2026, 10, 25, 0, 59, 59, 0, time.UTC):   `"+0200"> 25/10/2026 02:59:59`,
		time.Date(2026, 10, 25, 1, 0, 0, 999e6, time.UTC): `"+0100"> 25/10/2026 02:00:00`,
	} {
		c := certData(t, KindAcceptance)
		c.Time = at
		document := strings.NewReplacer("\n", "", "  ", "", "<giorno>", " ", "</giorno>", "", "<ora>", " ").Replace(encoded(t, c))
		if !strings.Contains(document, want) {
			t.Errorf("%v: no %s in %s", at, want, document)
		}
	}
}

func TestCertDataHoldsAnything(t *testing.T) {
	for _, text := range []string{"a\x00b\x1bc", "\xff\xfe", "]]>", "&#0;<!DOCTYPE", "a\r\nb", "\uFFFE", "<oggetto>"} {
		c := certData(t, KindDelivery)
		c.Subject, c.ReplyTo = &text, text
		document := encoded(t, c)
		xmllint(t, []byte(document))
		if back, err := ParseCertData([]byte(document)); err != nil || strings.ContainsAny(*back.Subject, "\x00\x1b\r\n") {
			t.Errorf("%q: %v, %v", text, back, err)
		}
	}
}

func TestCertDataRefusesWhatItsKindCannotSay(t *testing.T) {
	conformance.Covers(t, "C200", "C205", "C206")
	one := address(t, "anna@beta.example")
	for name, spoil := range map[string]func(*CertData){
		"no kind":                  func(c *CertData) { c.Kind = KindNone },
		"anomaly has no data":      func(c *CertData) { c.Kind = KindAnomaly },
		"no error code":            func(c *CertData) { c.Error = "" },
		"error in a receipt":       func(c *CertData) { c.Error, c.Detail = ErrorOther, "x" },
		"no sender":                func(c *CertData) { c.Sender = Address{} },
		"no recipient":             func(c *CertData) { c.Recipients = nil },
		"recipient without type":   func(c *CertData) { c.Recipients = []Recipient{{Address: one}} },
		"null recipient":           func(c *CertData) { c.Recipients = []Recipient{{Type: Certified}} },
		"no provider":              func(c *CertData) { c.Provider = "" },
		"no identifier":            func(c *CertData) { c.Identifier = "" },
		"no time":                  func(c *CertData) { c.Time = time.Time{} },
		"no receipt kind":          func(c *CertData) { c.Receipt = "" },
		"unknown receipt kind":     func(c *CertData) { c.Receipt = "x" },
		"receipt in an acceptance": func(c *CertData) { c.Kind, c.Delivery = KindAcceptance, nil },
		"no delivery":              func(c *CertData) { c.Delivery = nil },
		"taken in a delivery":      func(c *CertData) { c.Taken = []Address{one} },
		"delivery in an envelope":  func(c *CertData) { c.Kind = KindTransport },
		"detail without error":     func(c *CertData) { c.Detail = "x" },
		"virus take-charge":        func(c *CertData) { *c = *certData(t, KindTakeCharge); c.Error, c.Detail = ErrorVirus, "x" },
		"nothing taken":            func(c *CertData) { *c = *certData(t, KindTakeCharge); c.Taken = nil },
		"refused without error":    func(c *CertData) { *c = *certData(t, KindNonAcceptance); c.Error, c.Detail = ErrorNone, "" },
		"wrong code for a refusal": func(c *CertData) { *c = *certData(t, KindNonAcceptance); c.Error = ErrorDomain },
		"refused without reason":   func(c *CertData) { *c = *certData(t, KindNonAcceptance); c.Detail = "" },
	} {
		c := certData(t, KindDelivery)
		spoil(c)
		if b, err := c.Encode(); !errors.Is(err, ErrCertData) {
			t.Errorf("%s: %v\n%s", name, err, b)
		}
	}
}

// swap replaces something that must be there.
func swap(t testing.TB, document, old, replacement string) string {
	t.Helper()
	if !strings.Contains(document, old) {
		t.Fatalf("no %q in\n%s", old, document)
	}
	return strings.Replace(document, old, replacement, 1)
}

func TestParseCertDataTolerates(t *testing.T) {
	conformance.Covers(t, "C258")
	c := certData(t, KindDelivery)
	document := encoded(t, c)
	const prolog = `<?xml version="1.0" encoding="UTF-8"?>`
	latin, _ := strings.CutPrefix(document, prolog)
	for name, variant := range map[string]string{
		"doctype":         swap(t, document, prolog, prolog+"\n"+`<?xml-stylesheet type="text/xsl" href="x.xsl"?><!DOCTYPE postacert PUBLIC "posta certificata" "https://absent.invalid/postacert.dtd">`),
		"mark":            "\uFEFF" + document,
		"CRLF":            strings.ReplaceAll(document, "\n", "\r\n") + "\n\r\n",
		"no indent":       strings.ReplaceAll(strings.ReplaceAll(document, "  ", ""), "\n", ""),
		"no prolog":       strings.TrimPrefix(document, prolog),
		"leading space":   "\r\n " + document,
		"comments":        swap(t, document, "<dati>", "<!-- x --><dati>"),
		"empty element":   swap(t, document, `<ricevuta tipo="completa"></ricevuta>`, `<ricevuta tipo="completa"/>`),
		"defaults":        swap(t, swap(t, document, ` errore="nessuno"`, ""), ` tipo="certificato"`, ""),
		"colon in zone":   swap(t, document, `"+0200"`, `"+02:00"`),
		"brackets":        swap(t, document, "<identificativo>"+string(testIdentifier), "<identificativo>&lt;"+string(testIdentifier)+"&gt;"),
		"spaces":          swap(t, document, "<mittente>Mario", "<mittente>\n Mario"),
		"other charset":   `<?xml version="1.0" encoding="ISO-8859-1"?>` + strings.ReplaceAll(latin, "é", "\xe9"),
		"CDATA":           swap(t, document, "Fattura &lt;n. 7&gt; &amp; perché", "<![CDATA[Fattura <n. 7> & perché]]>"),
		"namespace":       swap(t, document, "<postacert ", `<postacert xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:noNamespaceSchemaLocation="x" `),
		"spaced sender":   swap(t, document, "<consegna>anna@beta.example", "<consegna>anna@beta. example"),
		"number for char": swap(t, document, "perché", "perch&#233;"),
	} {
		got, err := ParseCertData([]byte(variant))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want := *c
		want.Time = want.Time.Truncate(time.Second)
		if diff := cmp.Diff(&want, got, cmp.AllowUnexported(Address{})); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}

func TestVirusNoticeMayNameItsRecipientInEitherWay(t *testing.T) {
	conformance.Covers(t, "C149")
	document := encoded(t, certData(t, KindVirusDetection))
	c, err := ParseCertData([]byte(strings.ReplaceAll(document, "consegna>", "ricezione>")))
	if err != nil || c.Delivery == nil || c.Delivery.String() != "anna@beta.example" || c.Taken != nil {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestParseCertDataRefuses(t *testing.T) {
	conformance.Covers(t, "C114", "C198", "C199", "C200", "C201", "C202")
	document := encoded(t, certData(t, KindDelivery))
	for name, variant := range map[string]string{
		"empty":                "",
		"other root":           "<x/>",
		"two roots":            document + document[strings.Index(document, "<postacert"):],
		"text after the root":  document + "x",
		"unfinished":           document[:len(document)-20],
		"too long":             strings.Replace(document, "Fattura", strings.Repeat("a", maxCertData), 1),
		"too deep":             strings.Replace(document, "Fattura", strings.Repeat("<a>", 5000), 1),
		"entity":               swap(t, document, "Fattura", "&eacute;"),
		"own entity":           swap(t, swap(t, document, "<postacert", `<!DOCTYPE postacert [<!ENTITY e "x">]><postacert`), "Fattura", "&e;"),
		"file entity":          swap(t, swap(t, document, "<postacert", `<!DOCTYPE postacert [<!ENTITY e SYSTEM "file:///etc/hostname">]><postacert`), "Fattura", "&e;"),
		"bare msgid":           swap(t, document, "&lt;1@client&gt;", "<1@client>"),
		"unknown element":      swap(t, document, "<dati>", "<dati><altro>x</altro>"),
		"unknown attribute":    swap(t, document, "<postacert ", `<postacert x="y" `),
		"repeated attribute":   swap(t, document, "<postacert ", `<postacert tipo="accettazione" `),
		"order":                swap(t, swap(t, document, "<mittente>Mario.Rossi@alfa.example</mittente>", ""), "</intestazione>", "<mittente>Mario.Rossi@alfa.example</mittente></intestazione>"),
		"two senders":          swap(t, document, "<mittente>", "<mittente>a@x.it</mittente><mittente>"),
		"no recipients":        swap(t, swap(t, document, `<destinatari tipo="certificato">anna@beta.example</destinatari>`, ""), `<destinatari tipo="esterno">bruno@gamma.example</destinatari>`, ""),
		"two deliveries":       swap(t, document, "<consegna>", "<consegna>a@x.it</consegna><consegna>"),
		"markup in text":       swap(t, document, "Fattura", "<b>Fattura</b>"),
		"text among elements":  swap(t, document, "<dati>", "<dati>x"),
		"unknown kind":         swap(t, document, "avvenuta-consegna", "mancata-consegna"),
		"kind of the anomaly":  swap(t, document, "avvenuta-consegna", "errore"),
		"no kind":              swap(t, document, `tipo="avvenuta-consegna" `, ""),
		"unknown error":        swap(t, document, `errore="nessuno"`, `errore="x"`),
		"unknown type":         swap(t, document, `"certificato"`, `"x"`),
		"unknown receipt kind": swap(t, document, `"completa"`, `"x"`),
		"bad day":              swap(t, document, "09/07/2026", "2026-07-09"),
		"impossible day":       swap(t, document, "09/07/2026", "31/02/2026"),
		"old":                  swap(t, document, "09/07/2026", "09/07/1026"),
		"bad hour":             swap(t, document, "10:07:06", "25:07:06"),
		"bad zone":             swap(t, document, `"+0200"`, `"CEST"`),
		"bad sender":           swap(t, document, "Mario.Rossi@alfa.example", "Mario Rossi"),
		"bad recipient":        swap(t, document, "bruno@gamma.example", "bruno"),
		"empty delivery":       swap(t, document, "<consegna>anna@beta.example", "<consegna>"),
		"bad identifier":       swap(t, document, string(testIdentifier), "x y@z"),
	} {
		if c, err := ParseCertData([]byte(variant)); !errors.Is(err, ErrCertData) {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
}

// Any two neighbours that change places make another document than the DTD allows, unless they are of one name.
func TestParseCertDataKeepsTheOrderOfTheDTD(t *testing.T) {
	conformance.Covers(t, "C201", "C202")
	element := regexp.MustCompile(`^ +<([a-z-]+)( [^>]*)?>.*</([a-z-]+)>$`)
	for kind, least := range map[Kind]int{KindTransport: 6, KindDelivery: 7, KindNonDelivery: 7, KindTakeCharge: 6} {
		document := encoded(t, certData(t, kind))
		lines := strings.Split(document, "\n")
		swapped := 0
		for i := range len(lines) - 1 {
			this, next := element.FindStringSubmatch(lines[i]), element.FindStringSubmatch(lines[i+1])
			if this == nil || next == nil || this[1] == next[1] {
				continue
			}
			swapped++
			other := slices.Clone(lines)
			other[i], other[i+1] = other[i+1], other[i]
			if c, err := ParseCertData([]byte(strings.Join(other, "\n"))); !errors.Is(err, ErrCertData) {
				t.Errorf("%s, %s before %s: %+v, %v", kind, next[1], this[1], c, err)
			}
		}
		if swapped < least {
			t.Errorf("%s: only %d neighbours changed places, want %d:\n%s", kind, swapped, least, document)
		}
	}
}

func FuzzParseCertData(f *testing.F) {
	for _, kind := range certifiedKinds() {
		f.Add([]byte(encoded(f, certData(f, kind))))
	}
	f.Add([]byte(`<?xml version="1.0" encoding="iso-8859-1"?><!DOCTYPE postacert [<!ENTITY a "b">]><postacert tipo="x"/>`))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseCertData(b)
		if err != nil {
			if !errors.Is(err, ErrCertData) {
				t.Fatal(err)
			}
			return
		}
		again, err := c.Encode()
		if err != nil {
			return // kinds are judged when we write, not when we read
		}
		back, err := ParseCertData(again)
		if err != nil {
			t.Fatalf("%v\n%s", err, again)
		}
		third, err := back.Encode()
		if err != nil || !bytes.Equal(again, third) {
			t.Fatalf("%v\n%s\n%s", err, again, third)
		}
	})
}
