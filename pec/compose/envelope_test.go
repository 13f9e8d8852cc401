package compose

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/pec"
)

func transport(t *testing.T, message string) *pec.Artefact {
	t.Helper()
	o := original(t, message)
	c := certData(t, pec.KindTransport)
	c.MessageID = o.Header.Get("Message-ID")
	a, err := TransportEnvelope(provider(t), o, c)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func anomaly(t *testing.T, message, sender string) *pec.Artefact {
	t.Helper()
	a := Anomaly{Recipients: []pec.Address{address(t, "anna@beta.example")}, Reason: "motivo", Time: testInstant, ID: "1"}
	if sender != "" {
		a.Sender = address(t, sender)
	}
	artefact, err := AnomalyEnvelope(provider(t), original(t, message), a)
	if err != nil {
		t.Fatal(err)
	}
	return artefact
}

// carried is the original within an artefact.
func carried(t *testing.T, a *pec.Artefact) string {
	t.Helper()
	parts, err := pec.ReadParts(concat(t, a))
	if err != nil {
		t.Fatal(err)
	}
	return content(t, parts.Original)
}

// without takes the field out of a message whose header has it on one line or folded with tabs.
func without(t *testing.T, message, name string) string {
	t.Helper()
	o := original(t, message)
	h, _ := written(t, &pec.Artefact{Header: o.Header.Without(name)})
	return string(h) + "\r\n" + content(t, o.Body)
}

func TestEnvelopesInherit(t *testing.T) {
	conformance.Covers(t, "C007", "C015", "C021", "C075", "C134", "C260")
	message := "Return-Path: <Mario.Rossi@alfa.example>\r\nDKIM-Signature: v=1; b=x\r\nX-REM-Subject: x\r\n" + submitted
	o := original(t, message)
	for _, a := range []*pec.Artefact{transport(t, message), anomaly(t, message, "mario.rossi@alfa.example")} {
		for _, name := range []string{"Received", "Return-Path", "To", "Cc", "Reply-To"} {
			if diff := cmp.Diff(o.Header.Values(name), a.Header.Values(name)); diff != "" {
				t.Errorf("%s: %s is not as in the original:\n%s", a.Kind, name, diff)
			}
		}
		for _, name := range []string{"DKIM-Signature", "X-REM-Subject", "X-Mailer", "Content-Transfer-Encoding"} {
			if a.Header.Has(name) {
				t.Errorf("%s: %s is not inherited by the rules", a.Kind, name)
			}
		}
	}
	if got := anomaly(t, message, "").Header.Values("Message-ID"); !cmp.Equal(got, o.Header.Values("Message-ID")) {
		t.Errorf("the anomaly envelope has the Message-ID %v", got)
	}
}

func TestTransportHeader(t *testing.T) {
	conformance.Covers(t, "C005", "C034", "C036", "C074", "C077", "C078", "C080", "C081")
	a := transport(t, submitted)
	want := map[string]string{
		"X-Trasporto":              "posta-certificata",
		"X-TipoRicevuta":           "completa",
		"X-Riferimento-Message-ID": "<1@client>",
		"Message-ID":               "<" + string(testIdentifier) + ">",
		"Subject":                  "POSTA CERTIFICATA: Fattura <n. 7> & perché",
		"From":                     `"Per conto di: Mario.Rossi@alfa.example" <posta-certificata@alfa.example>`,
	}
	for name, value := range want {
		if got := pec.DecodeText(a.Header.Get(name)); got != value || len(a.Header.Values(name)) != 1 {
			t.Errorf("%s: got %q, want %q", name, got, value)
		}
	}
	c := certData(t, pec.KindTransport)
	c.Receipt = pec.ReceiptConcise
	if a, err := TransportEnvelope(provider(t), original(t, submitted), c); err != nil || a.Header.Get(pec.FieldReceiptKind) != "sintetica" {
		t.Errorf("%v", err)
	}
}

// The original changes in the two fields that the rules name, and in nothing else.
func TestTransportCarriesTheOriginal(t *testing.T) {
	conformance.Covers(t, "C034", "C035", "C036", "C084", "C177")
	body := "\r\n8 bit: \xe8 \xff\x01\r\n" + strings.Repeat("long ", 5000) + "\r\n.\r\nFrom x\r\n\t \r\nno end"
	const id = "<" + string(testIdentifier) + ">"
	for name, tt := range map[string]struct{ header, want string }{
		"replaced in place": {
			"A: b\r\nmessage-id:\r\n\t<1@client>\r\nC:d\r\n  e\r\n",
			"A: b\r\nmessage-id: " + id + "\r\nC:d\r\n  e\r\nX-Riferimento-Message-ID: <1@client>\r\n",
		},
		"every other field stays": {
			"Return-Path: <a@x.it>\r\nReceived: a\r\nX-Mailer: b\r\nX-Ricevuta: c\r\nX-Trasporto: d\r\nX-TipoRicevuta: breve\r\nSender: e@x.it\r\n" +
				"DKIM-Signature: f\r\nBcc:\r\nReceived: g\r\nMessage-ID: <1@client>\r\n",
			"Return-Path: <a@x.it>\r\nReceived: a\r\nX-Mailer: b\r\nX-Ricevuta: c\r\nX-Trasporto: d\r\nX-TipoRicevuta: breve\r\nSender: e@x.it\r\n" +
				"DKIM-Signature: f\r\nBcc:\r\nReceived: g\r\nMessage-ID: " + id + "\r\nX-Riferimento-Message-ID: <1@client>\r\n",
		},
		"none":            {"A: b\r\n", "A: b\r\nMessage-ID: " + id + "\r\n"},
		"empty":           {"Message-ID: \r\nA: b\r\n", "Message-ID: " + id + "\r\nA: b\r\n"},
		"twice":           {"Message-ID: <1@client>\r\nMessage-ID: <2@client>\r\n", "Message-ID: " + id + "\r\nX-Riferimento-Message-ID: <1@client>\r\n"},
		"forged":          {"X-Riferimento-Message-ID: <9@x>\r\nMessage-ID: <1@client>\r\n", "Message-ID: " + id + "\r\nX-Riferimento-Message-ID: <1@client>\r\n"},
		"forged, without": {"x-riferimento-message-id: <9@x>\r\n", "Message-ID: " + id + "\r\n"},
	} {
		if got := carried(t, transport(t, tt.header+body)); got != tt.want+body {
			t.Errorf("%s: got %.300q\nwant %.300q", name, got, tt.want+body)
		}
	}
}

func TestTransportWithoutMessageID(t *testing.T) {
	conformance.Covers(t, "C038")
	a := transport(t, without(t, submitted, "Message-ID"))
	parts, err := pec.ReadParts(concat(t, a))
	if err != nil {
		t.Fatal(err)
	}
	c, err := pec.ParseCertData(parts.CertData)
	if err != nil || c.MessageID != "" || a.Header.Has(pec.FieldReference) || strings.Contains(content(t, parts.Original), pec.FieldReference) {
		t.Errorf("%v, %v", c, a.Header)
	}
}

func TestTransportNamesOrdinaryRecipientsToo(t *testing.T) {
	conformance.Covers(t, "C083", "C087")
	text := opened(t, transport(t, submitted))[0].decoded(t)
	if !strings.Contains(text, "indirizzato a:\nanna@beta.example\nbruno@gamma.example\nIl messaggio originale") {
		t.Error(text)
	}
}

func TestAcceptanceNamesTypes(t *testing.T) {
	conformance.Covers(t, "C031", "C072")
	text := opened(t, artefacts(t)["acceptance"])[0].decoded(t)
	if !strings.Contains(text, "\nanna@beta.example (\"posta certificata\")\nbruno@gamma.example (\"posta ordinaria\")\n") {
		t.Error(text)
	}
}

func TestReplyTo(t *testing.T) {
	conformance.Covers(t, "C007", "C008", "C079", "C138")
	bare := without(t, submitted, "Reply-To")
	for _, tt := range []struct{ message, sender, want string }{
		{submitted, "x@y.it", `"Ufficio" <ufficio@alfa.example>`},
		{strings.Replace(submitted, "\"Ufficio\" <uff", "\"Uff,\r\n  icio\" <uff", 1), "x@y.it", `"Uff,  icio" <ufficio@alfa.example>`},
		{bare, "x@y.it", "Mario.Rossi@alfa.example"},
		{"Reply-To: \r\n" + bare, "x@y.it", "Mario.Rossi@alfa.example"},
		{bare, "", "Mario.Rossi@alfa.example"},
		{without(t, bare, "From"), "x@y.it", "x@y.it"},
		{without(t, bare, "From"), "", ""},
		{strings.Replace(bare, "From: ", "From: a@b.it, ", 1), "x@y.it", "x@y.it"},
	} {
		if got := anomaly(t, tt.message, tt.sender).Header.Get("Reply-To"); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
	if got := transport(t, bare).Header.Get("Reply-To"); got != "Mario.Rossi@alfa.example" {
		t.Errorf("the transport envelope: %q", got)
	}
}

func TestAnomalySender(t *testing.T) {
	conformance.Covers(t, "C005", "C138", "C139")
	for _, tt := range []struct{ message, sender, want string }{
		{submitted, "x@y.it", "x@y.it"},
		{submitted, "", "Mario.Rossi@alfa.example"}, // a bounce
		{without(t, submitted, "From"), "", "mittente sconosciuto"},
		{strings.Replace(submitted, "<Mario.Rossi@alfa.example>", "\" <evil@x.it>, <", 1), "", "evil@x.it"},
	} {
		a := anomaly(t, tt.message, tt.sender)
		want := `"Per conto di: ` + tt.want + `" <posta-certificata@alfa.example>`
		if got := a.Header.Get("From"); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if text := opened(t, a)[0].decoded(t); !strings.Contains(text, `proveniente da "`+tt.want+`"`) || !strings.Contains(text, "\nmotivo\n") {
			t.Error(text)
		}
	}
}

// The anomaly envelope carries anything, unchanged.
func TestAnomalyCarriesTheMessage(t *testing.T) {
	conformance.Covers(t, "C133", "C134", "C140", "C177")
	for _, message := range []string{
		submitted,
		"Subject: \xe8\r\nTo: undisclosed-recipients:;\r\n\r\n" + strings.Repeat("\xff", 3000),
		"X-Trasporto: posta-certificata\r\nX-Riferimento-Message-ID: <1@x>\r\nMessage-ID: <2@x>\r\n\r\n",
		"\r\nno header",
		"A:b\r\n\r\n",
	} {
		if got := carried(t, anomaly(t, message, "x@y.it")); got != message {
			t.Errorf("got %.200q, want %.200q", got, message)
		}
	}
	a := anomaly(t, "Subject:\r\nX-Trasporto: posta-certificata\r\nX-Ricevuta: accettazione\r\n\r\n", "x@y.it")
	if a.Header.Has("Message-ID") || a.Header.Has("To") || a.Header.Has(pec.FieldReceipt) || len(a.Header.Values(pec.FieldTransport)) != 1 ||
		a.Header.Get("Subject") != "ANOMALIA MESSAGGIO:" {
		t.Errorf("%v", a.Header)
	}
}

// All of Received, the first of what there may be only one.
func TestRepeatedFieldsAreInheritedOnce(t *testing.T) {
	a := anomaly(t, "Received: a\r\nTo: a@x.it\r\nMessage-ID: <1@x>\r\nReply-To: b@x.it\r\nReceived: b\r\nTo: c@x.it\r\nCc: d@x.it\r\nCc: e@x.it\r\n"+
		"Message-ID: <2@x>\r\nReply-To: f@x.it\r\n\r\n", "x@y.it")
	for name, want := range map[string][]pec.Field{
		"Received": {{Name: "Received", Value: " a"}, {Name: "Received", Value: " b"}}, "To": {{Name: "To", Value: " a@x.it"}}, "Cc": {{Name: "Cc", Value: " d@x.it"}},
		"Message-ID": {{Name: "Message-ID", Value: " <1@x>"}}, "Reply-To": {{Name: "Reply-To", Value: " b@x.it"}},
	} {
		if diff := cmp.Diff(want, a.Header.Values(name)); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}

// Header values that a parser of ours would never produce still make no new fields.
func TestInheritedValuesInjectNothing(t *testing.T) {
	for value, want := range map[string]string{
		" a@x.it\nBcc: b@x.it":   " a@x.it Bcc: b@x.it",
		" a@x.it\r\nBcc: b@x.it": " a@x.it Bcc: b@x.it",
		" a@x.it\rBcc: b@x.it":   " a@x.it Bcc: b@x.it",
		" a@x.it,\n\tb@x.it":     " a@x.it,\r\n\tb@x.it",
		" a@x.it,\r\n\tb@x.it":   " a@x.it,\r\n\tb@x.it",
		" a@x.it\r\n\r\nbody":    " a@x.it  body",
		" a@x.it\x00":            " a@x.it ",
		" a@x.it\r\n":            " a@x.it ",
		" a@x.it,\r\n b\r\r\n c": " a@x.it,\r\n b \r\n c",
	} {
		o := Original{Header: pec.Header{{Name: "To", Value: value}}, Body: pec.Bytes(nil)}
		a, err := AnomalyEnvelope(provider(t), o, Anomaly{Reason: "x", Time: testInstant, ID: "1"})
		if err != nil {
			t.Fatal(err)
		}
		if got := a.Header.Values("To")[0].Value; got != want {
			t.Errorf("%q became %q, want %q", value, got, want)
		}
	}
}

func TestVirusNotices(t *testing.T) {
	conformance.Covers(t, "C062", "C063", "C064", "C065", "C146", "C148", "C149", "C151", "C154", "C156")
	for name, prefix := range map[string]string{
		"non-acceptance-virus": "AVVISO DI NON ACCETTAZIONE PER VIRUS: Fattura",
		"non-delivery-virus":   "AVVISO DI MANCATA CONSEGNA PER VIRUS: Fattura",
		"virus-detection":      "PROBLEMA DI SICUREZZA: Fattura",
	} {
		a := artefacts(t)[name]
		if got := pec.DecodeText(a.Header.Get("Subject")); !strings.HasPrefix(got, prefix) {
			t.Errorf("%s: %s", name, got)
		}
		if text := opened(t, a)[0].decoded(t); !strings.Contains(text, "\nè stato rilevato un problema di sicurezza ClamAV-Test-File.\n") {
			t.Errorf("%s: %s", name, text)
		}
		parts, err := pec.ReadParts(concat(t, a))
		if err != nil {
			t.Fatal(err)
		}
		if c, err := pec.ParseCertData(parts.CertData); err != nil || c.Error != pec.ErrorVirus || c.Detail == "" {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
}
