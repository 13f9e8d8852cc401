package e2e

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"html"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/textproto"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab/client"
	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/internal/ledger"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/signer"
)

// onePart is a part of a multipart entity: its header and its bytes as they are.
type onePart struct {
	header textproto.MIMEHeader
	raw    []byte
}

// split takes a multipart entity apart and checks its type.
func split(t *testing.T, contentType string, body []byte, want string) []onePart {
	t.Helper()
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil || kind != want {
		t.Fatalf("Content-Type is %q (%v), want %s", contentType, err, want)
	}
	var out []onePart
	r := multipart.NewReader(bytes.NewReader(body), params["boundary"])
	for {
		p, err := r.NextRawPart()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(p)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, onePart{p.Header, raw})
	}
}

// signedParts are the parts under the signature of m, whose structure is checked, and whether the original is among them.
func signedParts(t *testing.T, m *client.Message) []onePart {
	t.Helper()
	_, at, err := pec.ReadHeader(m.Source(), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	contentType := m.Header.Get("Content-Type")
	if _, params, _ := mime.ParseMediaType(contentType); params["protocol"] != "application/pkcs7-signature" || params["micalg"] != "sha-256" {
		t.Errorf("%s has the type %q", m.Kind(), contentType)
	}
	if got := m.Header.Get("MIME-Version"); got != "1.0" {
		t.Errorf("%s has MIME-Version %q", m.Kind(), got)
	}
	outer := split(t, contentType, m.Raw[at:], "multipart/signed")
	if len(outer) != 2 || !strings.HasPrefix(outer[1].header.Get("Content-Type"), "application/pkcs7-signature") ||
		!strings.Contains(outer[1].header.Get("Content-Type"), "smime.p7s") || outer[1].header.Get("Content-Transfer-Encoding") != "base64" {
		t.Fatalf("%s has %d parts, the last %v", m.Kind(), len(outer), outer[len(outer)-1].header)
	}
	return split(t, outer[0].header.Get("Content-Type"), outer[0].raw, "multipart/mixed")
}

// TestFormats looks at one message of every kind that a submission can cause as any mail program would, without the
// packages that made them.
func TestFormats(t *testing.T) {
	conformance.Covers(t, "C001", "C002", "C004", "C006", "C009", "C011", "C015", "C016", "C017", "C019", "C028", "C029", "C032", "C033", "C050", "C051", "C052", "C053", "C054", "C055", "C059", "C068", "C069", "C070", "C071", "C072", "C073", "C076", "C083", "C085",
		"C128", "C129", "C130", "C162", "C163", "C180", "C181", "C186", "C187", "C188", "C189", "C190", "C191", "C192", "C193", "C194", "C195", "C196", "C197", "C198",
		"C201", "C202", "C203", "C204", "C205", "C206", "C241", "C243")
	mario, bruno, gino := env.Users("ALFA")[0], env.Users("BETA")[0].Address, env.Users("GAMMA")[0].Address
	token := random(t)
	l := write(t, mario.Address, []string{bruno, env["BETA_UNKNOWN"]}, []string{gino})
	l.raw = bytes.Replace(l.raw, []byte("Subject: Richiesta di prova"), []byte("Subject: =?utf-8?Q?Perch=C3=A9_=3Cb=3E_&_\"?= "+token), 1)
	login(t, "ALFA", mario).mustSend(l)
	wrong := faults()[0].letter(t, token, mario.Address, bruno)
	login(t, "ALFA", mario).mustSend(wrong)
	found := settle(t, token, map[string][]pec.Kind{
		mario.Address: {pec.KindAcceptance, pec.KindDelivery, pec.KindNonDelivery, pec.KindNonAcceptance},
		bruno:         {pec.KindTransport}, gino: {pec.KindTransport},
		env.Login("ALFA_SERVICE_USER").Address: {pec.KindTakeCharge},
	})
	all := slices.Concat(found[mario.Address], found[bruno], found[env.Login("ALFA_SERVICE_USER").Address])
	ids := map[pec.Identifier]bool{}
	for _, m := range all {
		t.Run(string(m.Kind()), func(t *testing.T) {
			data := wantForm(t, m)
			wantAddressed(t, m, data)
			ids[data.Identifier] = true
			wantInstant(t, m, data)
		})
	}
	if len(ids) != 2 {
		t.Errorf("two messages have the identifiers %v", ids)
	}
}

// wantAddressed checks who is said to have written m and to whom, and what it is called.
func wantAddressed(t *testing.T, m *client.Message, data *pec.CertData) {
	t.Helper()
	if m.Kind() == pec.KindTransport {
		return // see TestEnvelopeHeader
	}
	from, to := env[events[m.Kind()].host+"_PEC_ADDRESS"], data.Sender.String()
	if m.Kind() == pec.KindTakeCharge {
		to = env.Login("ALFA_SERVICE_USER").Address
	}
	for name, want := range map[string]string{
		"From": from, "To": to, "Return-Path": "<" + from + ">", "Sender": "", "Reply-To": "", "Cc": "", pec.FieldReference: data.MessageID,
		pec.FieldTransport: "", pec.FieldSecurity: "", pec.FieldReceipt: string(data.Kind), "Subject": prefixes[m.Kind()] + *data.Subject,
	} {
		if got := pec.DecodeText(m.Header.Get(name)); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	certificate, err := signer.Open(m.Source())
	if err != nil || !slices.Contains(certificate.Signer.EmailAddresses, from) {
		t.Errorf("the signer of %s is not %s (%v)", m.Kind(), from, err)
	}
}

// prefixes begin the subjects.
var prefixes = map[pec.Kind]string{
	pec.KindAcceptance: "ACCETTAZIONE: ", pec.KindNonAcceptance: "AVVISO DI NON ACCETTAZIONE: ", pec.KindTakeCharge: "PRESA IN CARICO: ",
	pec.KindDelivery: "CONSEGNA: ", pec.KindNonDelivery: "AVVISO DI MANCATA CONSEGNA: ", pec.KindTransport: "POSTA CERTIFICATA: ",
}

// wantForm checks structure, encodings, texts and certification data of m.
func wantForm(t *testing.T, m *client.Message) *pec.CertData {
	t.Helper()
	parts := signedParts(t, m)
	want := map[pec.Kind]int{pec.KindTransport: 3, pec.KindDelivery: 3}[m.Kind()]
	if len(parts) != max(2, want) {
		t.Fatalf("%d parts under the signature", len(parts))
	}
	if want == 3 {
		if got := parts[1].header.Get("Content-Type"); got != `message/rfc822; name="postacert.eml"` {
			t.Errorf("the type of the original is %q", got)
		}
	}
	xml := certDataPart(t, parts[len(parts)-1])
	data, err := pec.ParseCertData(xml)
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^[0-9a-f]{32}@alfa\.example$`).MatchString(string(data.Identifier)) {
		t.Errorf("the identifier is %q", data.Identifier)
	}
	wantTexts(t, parts[0], data)
	return data
}

// certDataPart checks the part of the certification data, and by xmllint the XML, and returns it.
func certDataPart(t *testing.T, p onePart) []byte {
	t.Helper()
	if got := p.header.Get("Content-Type"); got != `application/xml; name="daticert.xml"` || p.header.Get("Content-Transfer-Encoding") != "base64" {
		t.Errorf("the part of the certification data has the header %v", p.header)
	}
	xml, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(string(p.raw), "\r\n", ""))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(xml, []byte(`<?xml version="1.0" encoding="UTF-8"?>`)) || bytes.Contains(xml, []byte("<!DOCTYPE")) {
		t.Errorf("the certification data begin with %.80q", xml)
	}
	cmd := exec.CommandContext(t.Context(), "xmllint", "--noout", "--nonet", "--dtdvalid", "../../pec/postacert.dtd", "-")
	cmd.Stdin = bytes.NewReader(xml)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("xmllint: %v\n%s\n%s", err, out, xml)
	}
	return xml
}

var tags = regexp.MustCompile(`(?s)<head>.*</head>|<[^>]*>`)

// wantTexts checks that the readable part says the same in both of its forms, in seven bits, and reaches for nothing.
func wantTexts(t *testing.T, p onePart, data *pec.CertData) {
	t.Helper()
	forms := split(t, p.header.Get("Content-Type"), p.raw, "multipart/alternative")
	if len(forms) != 2 {
		t.Fatalf("the text has %d forms", len(forms))
	}
	text := make([]string, 2)
	for i, kind := range []string{"text/plain", "text/html"} {
		h := forms[i].header
		got, params, err := mime.ParseMediaType(h.Get("Content-Type"))
		if err != nil || got != kind || h.Get("Content-Transfer-Encoding") != "quoted-printable" {
			t.Errorf("form %d of the text has the header %v (%v)", i, h, err)
		}
		if slices.ContainsFunc(forms[i].raw, func(b byte) bool { return b > 127 }) {
			t.Errorf("form %d of the text has bytes over 127", i)
		}
		raw, err := io.ReadAll(quotedprintable.NewReader(bytes.NewReader(forms[i].raw)))
		if err != nil {
			t.Fatal(err)
		}
		text[i] = decoded(raw, h)
		foreign := strings.ContainsFunc(text[i], func(r rune) bool { return r > 255 })
		if want := map[bool]string{false: "iso-8859-1", true: "UTF-8"}[foreign]; !strings.EqualFold(params["charset"], want) {
			t.Errorf("the charset of form %d is %q, want %s", i, params["charset"], want)
		}
	}
	for _, tag := range tags.FindAllString(strings.ToLower(text[1]), -1) {
		for _, active := range []string{"src=", "href=", "cid:", "<link", "url(", "<script", "<object", "<embed", "<style", "<img", " on"} {
			if strings.Contains(tag, active) {
				t.Errorf("the HTML form has %q in %s", active, tag)
			}
		}
	}
	said := strings.Fields(html.UnescapeString(tags.ReplaceAllString(text[1], " ")))
	if got, want := strings.Join(said, " "), strings.Join(strings.Fields(text[0]), " "); got != want {
		t.Errorf("the HTML form says\n%s\nthe plain one\n%s", got, want)
	}
	if !strings.Contains(text[0], "\nIdentificativo messaggio: "+string(data.Identifier)) {
		t.Errorf("the text does not name the identifier:\n%s", text[0])
	}
}

// events are what the log calls the step that makes a message of each kind, and the host that makes it.
var events = map[pec.Kind]struct {
	host  string
	event ledger.Event
}{
	pec.KindAcceptance: {"ALFA", ledger.EventAcceptance}, pec.KindTransport: {"ALFA", ledger.EventEnvelope},
	pec.KindNonAcceptance: {"ALFA", ledger.EventNonAcceptance}, pec.KindTakeCharge: {"BETA", ledger.EventTakeCharge},
	pec.KindDelivery: {"BETA", ledger.EventDeliveryReceipt}, pec.KindNonDelivery: {"BETA", ledger.EventNonDelivery},
}

// wantInstant checks that Date, text, certification data and log state one instant, in the legal time of Italy.
func wantInstant(t *testing.T, m *client.Message, data *pec.CertData) {
	t.Helper()
	rome, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		t.Fatal(err)
	}
	at := data.Time.In(rome)
	parts := signedParts(t, m)
	xml := certDataPart(t, parts[len(parts)-1])
	for _, want := range []string{
		fmt.Sprintf(`<data zona="%s">`, at.Format("-0700")), at.Format("<giorno>02/01/2006</giorno>"), at.Format("<ora>15:04:05</ora>"),
	} {
		if !bytes.Contains(xml, []byte(want)) {
			t.Errorf("the certification data lack %s:\n%s", want, xml)
		}
	}
	if got, err := time.Parse(time.RFC1123Z, m.Header.Get("Date")); err != nil || !got.Equal(at) {
		t.Errorf("Date is %q (%v), the certification data say %v", m.Header.Get("Date"), err, at)
	}
	raw, err := io.ReadAll(quotedprintable.NewReader(bytes.NewReader(parts[0].raw)))
	if want := at.Format("Il giorno 02/01/2006 alle ore 15:04:05 (-0700) "); err != nil || !bytes.Contains(raw, []byte(want)) {
		t.Errorf("the text lacks %q (%v):\n%s", want, err, raw)
	}
	where := events[m.Kind()]
	list := slices.DeleteFunc(records(t, where.host, string(data.Identifier)), func(r ledger.Record) bool { return r.Event != where.event })
	if len(list) != 1 || !list[0].Time.Equal(at) || list[0].Identifier != data.Identifier {
		t.Errorf("the log of %s has of %s: %s, the certification data say %v", where.host, where.event, jsonOf(list), at)
	}
}
