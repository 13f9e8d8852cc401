package compose

import (
	"bytes"
	"errors"
	"html"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/encoding/charmap"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/pec/internal/rfc822"
)

func isEnvelope(k pec.Kind) bool { return k == pec.KindTransport || k == pec.KindAnomaly }

// What every message has in its header, read by another parser.
func TestHeaderOfEverything(t *testing.T) {
	conformance.Covers(t, "C001", "C004", "C006", "C011", "C016", "C017", "C018", "C022", "C142")
	for name, a := range artefacts(t) {
		header, _ := written(t, a)
		m, err := mail.ReadMessage(bytes.NewReader(append(header, "\r\n"...)))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, field := range []string{"From", "Date", "Subject", "Mime-Version", "Content-Type", "To"} {
			if len(m.Header[field]) != 1 {
				t.Errorf("%s: %s is there %d times", name, field, len(m.Header[field]))
			}
		}
		from, err := m.Header.AddressList("From")
		if err != nil || len(from) != 1 || from[0].Address != "posta-certificata@alfa.example" || a.Header.Has("Sender") {
			t.Errorf("%s: From is %v, %v", name, from, err)
		}
		mine, other := pec.FieldReceipt, pec.FieldTransport
		if isEnvelope(a.Kind) {
			mine, other = other, mine
		}
		if m.Header.Get(mine) != string(a.Kind) || a.Header.Has(other) {
			t.Errorf("%s: the header does not say %s", name, a.Kind)
		}
		reference := "<1@client>"
		if a.Kind == pec.KindAnomaly || name == "acceptance-bare" { // nothing to refer to
			reference = ""
		}
		if got := m.Header.Get(pec.FieldReference); got != reference {
			t.Errorf("%s: %s is %q, want %q", name, pec.FieldReference, got, reference)
		}
		if got, want := m.Header.Get(pec.FieldSecurity), strings.Contains(name, "-virus"); (got == "errore") != want {
			t.Errorf("%s: %s is %q", name, pec.FieldSecurity, got)
		}
		media, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
		want := map[string]string{"protocol": "application/pkcs7-signature", "micalg": "sha-256", "boundary": a.Boundary}
		if err != nil || media != "multipart/signed" || !cmp.Equal(params, want) {
			t.Errorf("%s: Content-Type is %s %v, %v", name, media, params, err)
		}
		for line := range strings.SplitSeq(strings.TrimSuffix(string(header), "\r\n"), "\r\n") {
			if line == "" || len(line) > 78 || strings.ContainsFunc(line, func(r rune) bool { return r != '\t' && r < ' ' || r >= 0x7f }) {
				t.Errorf("%s: the line %q", name, line)
			}
		}
	}
}

// leaf is a part that contains no others.
type leaf struct{ media, charset, encoding, name, body string }

// leaves walks through the content with the standard library's reader.
func leaves(t *testing.T, contentType string, body io.Reader) []leaf {
	t.Helper()
	media, params, err := mime.ParseMediaType(contentType)
	if err != nil || !strings.HasPrefix(media, "multipart/") {
		t.Fatalf("%q: %v", contentType, err)
	}
	var found []leaf
	r := multipart.NewReader(body, params["boundary"])
	for {
		part, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		kind, params, err := mime.ParseMediaType(part.Header.Get("Content-Type"))
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(kind, "multipart/") {
			found = append(found, leaves(t, part.Header.Get("Content-Type"), part)...)
			continue
		}
		b, err := io.ReadAll(part)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, leaf{kind, params["charset"], part.Header.Get("Content-Transfer-Encoding"), params["name"], string(b)})
	}
}

func opened(t *testing.T, a *pec.Artefact) []leaf {
	t.Helper()
	_, b := written(t, a)
	header, body, found := strings.Cut(string(b), "\r\n\r\n")
	if !found {
		t.Fatal("no header")
	}
	return leaves(t, strings.TrimPrefix(header, "Content-Type: "), strings.NewReader(body))
}

// decoded is a text in UTF-8.
func (l leaf) decoded(t *testing.T) string {
	t.Helper()
	b, err := io.ReadAll(quotedprintable.NewReader(strings.NewReader(l.body)))
	if err == nil && l.charset == "iso-8859-1" {
		b, err = charmap.ISO8859_1.NewDecoder().Bytes(b)
	}
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(b), "\r\n", "\n")
}

func TestPartsOfEverything(t *testing.T) {
	conformance.Covers(t, "C028", "C029", "C054", "C056", "C057", "C059", "C062", "C066", "C099", "C133", "C140", "C150", "C190", "C191", "C192", "C196", "C197")
	for name, a := range artefacts(t) {
		want := []string{"text/plain ", "text/html "}
		if isEnvelope(a.Kind) || name == "delivery" || name == "delivery-brief" {
			want = append(want, "message/rfc822 postacert.eml")
		}
		if a.Kind != pec.KindAnomaly {
			want = append(want, "application/xml daticert.xml")
		}
		var got []string
		for _, l := range opened(t, a) {
			got = append(got, l.media+" "+l.name)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}

// What we generate is 7-bit and in short lines, the original aside.
func TestSevenBit(t *testing.T) {
	conformance.Covers(t, "C189")
	for name, a := range artefacts(t) {
		for _, l := range opened(t, a) {
			if l.media == "message/rfc822" {
				continue
			}
			for line := range strings.SplitSeq(l.body, "\r\n") {
				if len(line) > 76 || strings.ContainsFunc(line, func(r rune) bool { return r != '\t' && r < ' ' || r >= 0x7f }) {
					t.Errorf("%s: the line %q of %s", name, line, l.media)
				}
			}
		}
	}
}

var (
	tags   = regexp.MustCompile(`<[^>]*>`)
	active = regexp.MustCompile(`(?i)\b(src|href|on\w+|style|background)\s*=|cid:|url\(|<\s*(script|object|embed|link|img|iframe|style|applet|form)`)
)

func TestHTMLSaysWhatTheTextSays(t *testing.T) {
	conformance.Covers(t, "C192", "C193", "C194", "C195")
	for name, a := range artefacts(t) {
		list := opened(t, a)
		text, page := list[0].decoded(t), list[1].decoded(t)
		_, body, _ := strings.Cut(page, "<p>")
		body = html.UnescapeString(tags.ReplaceAllString(body, ""))
		if diff := cmp.Diff(strings.TrimSpace(text), strings.TrimSpace(body)); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
		for _, tag := range tags.FindAllString(page, -1) {
			if active.MatchString(tag) {
				t.Errorf("%s: %s", name, tag)
			}
		}
		if got := tags.FindAllString(page, -1); len(got) < 8 {
			t.Errorf("%s: no page: %q", name, page)
		}
	}
}

// A subject cannot add anything to the page, the text, the header or the data.
func TestSubjectStaysInItsPlace(t *testing.T) {
	conformance.Covers(t, "C194", "C195")
	for _, subject := range []string{
		`<script>alert(1)</script><img src="http://x">`, "a\r\nBcc: victim@x.it\r\n\r\nbody", `"` + "\nIdentificativo messaggio: falso",
		"</oggetto><oggetto>", "{{.Sender}}", strings.Repeat("x", 70_000), strings.Repeat("è ", 20_000), "\x00\u2028\u2029\x85", "\uFFFE x \uFFFF",
	} {
		n := notification(t, pec.KindAcceptance)
		n.Data.Subject = &subject
		a := notify(t, n)
		list := opened(t, a)
		text, page := list[0].decoded(t), list[1].decoded(t)
		if lines := strings.Count(text, "\n"); lines != 7 {
			t.Errorf("%.60q: the text has %d lines more than it should", subject, lines-7)
		}
		if got := tags.FindAllString(page, -1); len(got) != len(tags.FindAllString(opened(t, notify(t, notification(t, pec.KindAcceptance)))[1].decoded(t), -1)) {
			t.Errorf("%.60q: tags %q", subject, got)
		}
		header, _ := written(t, a)
		m, err := mail.ReadMessage(bytes.NewReader(append(header, "\r\n"...)))
		if err != nil || m.Header.Get("Bcc") != "" || len(m.Header) != 9 {
			t.Errorf("%.60q: the header is %v, %v", subject, m, err)
		}
		parts, err := pec.ReadParts(concat(t, a))
		if err != nil {
			t.Fatal(err)
		}
		xmllint(t, parts.CertData)
		if c, err := pec.ParseCertData(parts.CertData); err != nil || *c.Subject != rfc822.OneLine(subject) {
			t.Errorf("%.60q: %v", subject, err)
		}
		got, want := strings.Fields(pec.DecodeText(a.Header.Get("Subject"))), strings.Fields("ACCETTAZIONE: "+*parsed(t, parts).Subject)
		if !slices.Equal(got, want) {
			t.Errorf("Subject is %.60q, the certification data say %.60q", got, want)
		}
	}
}

func parsed(t *testing.T, p *pec.Parts) *pec.CertData {
	t.Helper()
	c, err := pec.ParseCertData(p.CertData)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestOneInstant(t *testing.T) {
	conformance.Covers(t, "C051", "C069", "C076", "C136", "C186", "C187", "C188")
	for name, a := range artefacts(t) {
		if got := a.Header.Get("Date"); got != "Thu, 09 Jul 2026 10:07:06 +0200" {
			t.Errorf("%s: Date is %s", name, got)
		}
		if text := opened(t, a)[0].decoded(t); !strings.Contains(text, "Il giorno 09/07/2026 alle ore 10:07:06 (+0200)") {
			t.Errorf("%s: %s", name, text)
		}
		parts, err := pec.ReadParts(concat(t, a))
		if err != nil || parts.CertData == nil {
			continue
		}
		if c, err := pec.ParseCertData(parts.CertData); err != nil || !c.Time.Equal(testInstant.Truncate(time.Second)) {
			t.Errorf("%s: the data say %v, %v", name, c.Time, err)
		}
	}
}

func TestComposingAgainGivesTheSameBytes(t *testing.T) {
	again := artefacts(t)
	seen := map[string]string{}
	for name, a := range artefacts(t) {
		h1, c1 := written(t, a)
		h2, c2 := written(t, again[name])
		if !bytes.Equal(h1, h2) || !bytes.Equal(c1, c2) {
			t.Errorf("%s differs", name)
		}
		for _, s := range a.Content { // sources can be read more than once
			if first := content(t, s); content(t, s) != first {
				t.Errorf("%s cannot be read again", name)
			}
		}
		if bytes.Contains(c1, []byte(a.Boundary)) {
			t.Errorf("%s: the boundary is in the content", name)
		}
		if !bytes.HasSuffix(c1, []byte("--\r\n")) {
			t.Errorf("%s ends in %q", name, c1[len(c1)-10:])
		}
		seen[a.Boundary] = name
	}
	if len(seen) != 10 { // alternatives of one event share them
		t.Errorf("messages share boundaries: %v", seen)
	}
}

func TestMessageID(t *testing.T) {
	conformance.Covers(t, "C204")
	p := provider(t)
	ids := map[string]string{}
	put := func(what string, c *pec.CertData) {
		id := MessageID(p, c)
		if !regexp.MustCompile(`^<[0-9a-f]{32}@alfa\.example>$`).MatchString(id) {
			t.Errorf("%s: %s", what, id)
		}
		if before, ok := ids[id]; ok {
			t.Errorf("%s has the id of %s", what, before)
		}
		ids[id] = what
	}
	for _, kind := range certifiedKinds() {
		put(string(kind), certData(t, kind))
	}
	other := address(t, "other@beta.example")
	c := certData(t, pec.KindDelivery)
	c.Delivery = &other
	put("another recipient", c)
	c = certData(t, pec.KindTakeCharge)
	c.Taken = c.Taken[:1]
	put("fewer taken in charge", c)
	c = certData(t, pec.KindTimeout)
	c.Detail = pec.TimeoutDetail("Alfa", true)
	put("the last timeout", c)
	c = certData(t, pec.KindAcceptance)
	c.Identifier = "x@y"
	put("another identifier", c)

	a, b := certData(t, pec.KindTakeCharge), certData(t, pec.KindTakeCharge)
	b.Taken[0], b.Taken[1] = b.Taken[1], b.Taken[0]
	b.Time, b.Subject, b.MessageID = b.Time.Add(time.Hour), nil, ""
	if MessageID(p, a) != MessageID(p, b) {
		t.Error("a retry has another id")
	}
}

func TestNotificationGoesToTheSender(t *testing.T) {
	conformance.Covers(t, "C009", "C010", "C053", "C071", "C096", "C129", "C147")
	for name, a := range artefacts(t) {
		want := "Mario.Rossi@alfa.example"
		switch {
		case isEnvelope(a.Kind):
			continue
		case a.Kind == pec.KindTakeCharge || a.Kind == pec.KindVirusDetection:
			want = "servizio@alfa.example"
		}
		if got := a.Header.Get("To"); got != want || a.Header.Has("Reply-To") || a.Header.Has("Cc") {
			t.Errorf("%s goes to %s", name, got)
		}
		if got, want := a.Header.Get(pec.FieldOriginator), ""; (got != want) != (a.Kind == pec.KindVirusDetection) {
			t.Errorf("%s: %s is %q", name, pec.FieldOriginator, got)
		}
		if got := a.Header.Get(pec.FieldReference); got != "<1@client>" && name != "acceptance-bare" {
			t.Errorf("%s: the reference is %q", name, got)
		}
	}
}

func TestTakeChargeNamesWhomItCovers(t *testing.T) {
	conformance.Covers(t, "C126", "C130")
	text := opened(t, artefacts(t)["take-charge"])[0].decoded(t)
	if !strings.Contains(text, "ed indirizzato a:\nanna@beta.example\ncarlo@beta.example\nè stato accettato dal sistema.") {
		t.Error(text)
	}
}

func TestNotificationWithoutMessageID(t *testing.T) {
	conformance.Covers(t, "C019", "C038")
	a := artefacts(t)["acceptance-bare"]
	if a.Header.Has(pec.FieldReference) || a.Header.Get("Subject") != "ACCETTAZIONE:" {
		t.Errorf("%v", a.Header)
	}
	for _, odd := range []string{"<è@x>", "<" + strings.Repeat("x", 2000) + "@x>", "<a\r\nBcc: b@x.it>"} {
		n := notification(t, pec.KindAcceptance)
		n.Data.MessageID = odd
		if a := notify(t, n); a.Header.Has(pec.FieldReference) || a.Header.Has("Bcc") {
			t.Errorf("%q got into a header", odd)
		}
	}
}

func TestComposeNotificationRefuses(t *testing.T) {
	one := address(t, "anna@beta.example")
	for name, spoil := range map[string]func(*Notification){
		"transport":                  func(n *Notification) { n.Data = *certData(t, pec.KindTransport) },
		"anomaly":                    func(n *Notification) { n.Data.Kind = pec.KindAnomaly },
		"nobody":                     func(n *Notification) { n.To = pec.Address{} },
		"another provider":           func(n *Notification) { n.Data.Provider = "Beta" },
		"delivery without original":  func(n *Notification) { n.Original = nil },
		"concise with original":      func(n *Notification) { n.Concise = true },
		"acceptance with original":   func(n *Notification) { n.Data = *certData(t, pec.KindAcceptance) },
		"concise acceptance":         func(n *Notification) { n.Data, n.Concise, n.Original = *certData(t, pec.KindAcceptance), true, nil },
		"virus in a delivery":        func(n *Notification) { n.Virus = "x" },
		"virus without name":         func(n *Notification) { *n = virus(notification(t, pec.KindNonDelivery)); n.Virus = "" },
		"data that say nothing true": func(n *Notification) { n.Data.Delivery = nil },
	} {
		n := notification(t, pec.KindDelivery)
		n.To = one
		spoil(&n)
		if name != "nobody" {
			n.To = one
		}
		if a, err := NotificationMessage(provider(t), n); !errors.Is(err, ErrCompose) && !errors.Is(err, pec.ErrCertData) {
			t.Errorf("%s: %v, %v", name, a, err)
		}
	}
	if _, err := NotificationMessage(pec.Provider{Name: provider(t).Name}, notification(t, pec.KindAcceptance)); !errors.Is(err, ErrCompose) {
		t.Errorf("without an address: %v", err)
	}
	if _, err := TransportEnvelope(provider(t), original(t, submitted), certData(t, pec.KindAcceptance)); !errors.Is(err, ErrCompose) {
		t.Errorf("an envelope with data of a receipt: %v", err)
	}
	if _, err := AnomalyEnvelope(provider(t), original(t, submitted), Anomaly{}); !errors.Is(err, ErrCompose) {
		t.Errorf("an anomaly without reason: %v", err)
	}
}

func TestTimeoutsAreToldApart(t *testing.T) {
	conformance.Covers(t, "C094", "C095", "C097", "C098", "C253")
	for name, want := range map[string]bool{"timeout-12": false, "timeout-24": true} {
		a := artefacts(t)[name]
		parts, err := pec.ReadParts(concat(t, a))
		if err != nil {
			t.Fatal(err)
		}
		c, err := pec.ParseCertData(parts.CertData)
		if err != nil || strings.HasPrefix(c.Detail, "5.4.1 - Alfa - ") != want || c.Delivery == nil {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
		if text := opened(t, a)[0].decoded(t); strings.Contains(text, "ventiquattro") != want || !strings.Contains(text, `"anna@beta.example"`) {
			t.Errorf("%s: %s", name, text)
		}
		if got := pec.DecodeText(a.Header.Get("Subject")); !strings.HasPrefix(got, "AVVISO DI MANCATA CONSEGNA PER SUP. TEMPO MASSIMO: Fattura") {
			t.Errorf("%s: %s", name, got)
		}
	}
}
