package signer

import (
	"bytes"
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/pec/compose"
)

// register is a directory of some records.
type register []*pec.ProviderRecord

func (r register) ByCertificate(c *x509.Certificate) (*pec.ProviderRecord, bool) {
	for _, record := range r {
		if slices.ContainsFunc(record.Certificates, c.Equal) {
			return record, true
		}
	}
	return nil, false
}

// judge is a verifier that knows one provider.
func judge(t testing.TB, p *party) *Verifier {
	return &Verifier{Trust: p.trust(t), Directory: func() Directory {
		return register{{Name: "Alfa S.p.A.", Domains: []string{"alfa.example", "other.example"}, Certificates: []*x509.Certificate{p.cert}}}
	}}
}

func certData(t testing.TB, kind pec.Kind) *pec.CertData {
	subject := "Prova"
	delivery := address(t, "luigi@beta.example")
	c := &pec.CertData{
		Kind: kind, Error: pec.ErrorNone, Sender: address(t, "mario@alfa.example"), ReplyTo: "mario@alfa.example", Subject: &subject,
		Recipients: []pec.Recipient{{Address: delivery, Type: pec.Certified}},
		Provider:   "Alfa S.p.A.", Time: now, Identifier: "0123456789abcdef0123456789abcdef@alfa.example", MessageID: "<1@client.example>",
	}
	switch kind {
	case pec.KindTransport:
		c.Receipt = pec.ReceiptComplete
	case pec.KindDelivery:
		c.Receipt, c.Delivery = pec.ReceiptComplete, &delivery
	case pec.KindNonDelivery:
		c.Error, c.Delivery, c.Detail = pec.ErrorRecipient, &delivery, "5.1.1 - Alfa S.p.A. - indirizzo non valido"
	}
	return c
}

func original() compose.Original {
	return compose.Original{
		Header: pec.Header{{Name: "From", Value: " mario@alfa.example"}, {Name: "To", Value: " luigi@beta.example"},
			{Name: "Subject", Value: " Prova"}, {Name: "Message-ID", Value: " <1@client.example>"}},
		Body: pec.Bytes([]byte("Buongiorno.\r\n")),
	}
}

// composedAs makes the message of a kind as the product does.
func composedAs(t testing.TB, kind pec.Kind) *pec.Artefact {
	t.Helper()
	var a *pec.Artefact
	var err error
	switch kind {
	case pec.KindTransport:
		a, err = compose.TransportEnvelope(alfa(t), original(), certData(t, kind))
	case pec.KindAnomaly:
		a, err = compose.AnomalyEnvelope(alfa(t), original(), compose.Anomaly{Sender: address(t, "mario@alfa.example"),
			Recipients: []pec.Address{address(t, "luigi@beta.example")}, Reason: "firma assente", Time: now, ID: "0123456789abcdef0123456789abcdef"})
	default:
		a, err = compose.NotificationMessage(alfa(t), compose.Notification{Data: *certData(t, kind), To: address(t, "mario@alfa.example"),
			Concise: kind == pec.KindDelivery})
	}
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestVerifyAcceptsWhatWeSend(t *testing.T) {
	conformance.Covers(t, "C001", "C004", "C103", "C104", "C105", "C107", "C108", "C109", "C110", "C111", "C112", "C114")
	p := newParty(t)
	for _, kind := range []pec.Kind{pec.KindTransport, pec.KindAcceptance, pec.KindDelivery, pec.KindNonDelivery, pec.KindAnomaly} {
		message, _ := sealed(t, p, composedAs(t, kind))
		got, err := judge(t, p).Verify(pec.Bytes(message), now)
		if err != nil || got.Problem != "" {
			t.Errorf("Verify of %s = %+v, %v, want no problem", kind, got, err)
			continue
		}
		if got.Kind != kind || got.Provider == nil || got.Message == nil || got.Parts == nil || (got.Data == nil) != (kind == pec.KindAnomaly) {
			t.Errorf("Verify of %s fills in too little: %+v", kind, got)
		}
		if _, err := openssl(t, "cms", "-verify", "-in", writeFile(t, "m", message), "-inform", "SMIME", "-CAfile", withCRL(t, p.caFile, p.crlFile), "-crl_check"); err != nil {
			t.Errorf("openssl of %s: %v", kind, err)
		}
	}
}

// verifies asserts what Verify finds wrong with a message.
func verifies(t *testing.T, v *Verifier, name string, message []byte, at time.Time, want pec.Problem) {
	t.Helper()
	got, err := v.Verify(pec.Bytes(message), at)
	if err != nil {
		t.Errorf("Verify of a message %s: %v", name, err)
	} else if got.Problem != want || (got.Detail == "") != (want == "") {
		t.Errorf("Verify of a message %s = %q (%s), want %q", name, got.Problem, got.Detail, want)
	}
}

func TestVerifyTellsWhatIsWrongWithTheSignature(t *testing.T) {
	conformance.Covers(t, "C104", "C105", "C106", "C107", "C109", "C110", "C111", "C112")
	p := newParty(t)
	message, _ := sealed(t, p, composedAs(t, pec.KindTransport))
	v := judge(t, p)
	verifies(t, v, "in order", message, now, "")
	verifies(t, v, "without signature", []byte("From: a@b.example\r\n\r\nx\r\n"), now, pec.ProblemNoSignature)
	verifies(t, v, "taken apart", bytes.Replace(message, []byte("\r\n--"), []byte("\r\n\r\n-"), 3), now, pec.ProblemMalformed)
	verifies(t, v, "with other content", bytes.Replace(message, []byte("Buongiorno"), []byte("Buonasera!"), 1), now, pec.ProblemSignature)
	verifies(t, v, "after its end", message, now.AddDate(1, 0, 1), pec.ProblemExpired)
	verifies(t, v, "before its beginning", message, now.AddDate(-2, 0, 0), pec.ProblemExpired)

	// The same names and number, another key: a stranger's certificate is not the one in the directory.
	stranger := newParty(t)
	forged, _ := sealed(t, stranger, composedAs(t, pec.KindTransport))
	verifies(t, v, "by a stranger", forged, now, pec.ProblemUnknownSigner)
	broken := bytes.Replace(forged, []byte("Buongiorno"), []byte("Buonasera!"), 1)
	verifies(t, v, "by a stranger, with other content", broken, now, pec.ProblemUnknownSigner)
	listed := &Verifier{Trust: p.trust(t), Directory: judge(t, stranger).Directory}
	verifies(t, listed, "by one listed without a chain", forged, now, pec.ProblemChain)

	revoking := &Verifier{Trust: trustOf(t, pemCerts(p.root.cert), p.root.revoke(t, nil, p.cert)), Directory: v.Directory}
	verifies(t, revoking, "by one that was revoked", message, now, pec.ProblemRevoked)
	verifies(t, revoking, "by one not yet revoked", message, now.Add(-time.Hour), "")
}

// A signature that does not hold comes from the system when it names a certificate of the directory, and only then.
func TestVerifyTellsWhoseBrokenSignatureItIs(t *testing.T) {
	conformance.Covers(t, "C105", "C118", "C119")
	p, stranger := newParty(t), newParty(t)
	v := judge(t, p)
	message, _ := sealed(t, p, composedAs(t, pec.KindTransport))
	forged, _ := sealed(t, stranger, composedAs(t, pec.KindTransport))
	other := func(b []byte) []byte { return bytes.Replace(b, []byte("Buongiorno"), []byte("Buonasera!"), 1) }
	for name, test := range map[string]struct {
		message []byte
		ours    bool
	}{
		"a provider's, whole":         {message, true},
		"a provider's, other content": {other(message), true},
		"a stranger's, whole":         {forged, false},
		"a stranger's, other content": {other(forged), false},
		"nobody's, taken apart":       {bytes.Replace(message, []byte("\r\n--"), []byte("\r\n\r\n-"), 3), false},
	} {
		got, err := v.Verify(pec.Bytes(test.message), now)
		if err != nil || (got.Provider != nil) != test.ours {
			t.Errorf("%s: it names the provider %v (problem %q), %v; want one: %v", name, got.Provider, got.Problem, err, test.ours)
		}
	}
}

func TestVerifyTellsTroubleFromProblems(t *testing.T) {
	conformance.Covers(t, "C111")
	p := newParty(t)
	message, _ := sealed(t, p, composedAs(t, pec.KindTransport))
	v := judge(t, p)
	check := func(name string, v *Verifier, src pec.Source, at time.Time, want error) {
		t.Helper()
		got, err := v.Verify(src, at)
		if kind, ok := errors.AsType[*pec.Error](err); !ok || kind.Kind != pec.ErrorTemporary || !errors.Is(err, want) || got != nil {
			t.Errorf("Verify with %s = %+v, %v, want a temporary error %v", name, got, err, want)
		}
	}
	check("an old list", v, pec.Bytes(message), now.Add(49*time.Hour), ErrNoCRL)
	for good := range int64(100) {
		src := &unreliable{Source: pec.Bytes(message), good: good}
		if _, err := v.Verify(src, now); err == nil && src.good >= 0 {
			if good < 5 {
				t.Errorf("it was read %d times only: this test proves nothing", good)
			}
			return
		}
		check("reading that fails", v, &unreliable{Source: pec.Bytes(message), good: good}, now, errBroken)
	}
	t.Error("Verify never came to an end")
}

func TestVerifyHoldsTheHeaderToTheCertificationData(t *testing.T) {
	conformance.Covers(t, "C004", "C011", "C022", "C108", "C114")
	p := newParty(t)
	message, _ := sealed(t, p, composedAs(t, pec.KindTransport))
	receipt, _ := sealed(t, p, composedAs(t, pec.KindDelivery))
	v := judge(t, p)
	change := func(m []byte, old, with string) []byte {
		t.Helper()
		head, body, _ := strings.Cut(string(m), "\r\n\r\n")
		if !strings.Contains(head, old) {
			t.Fatalf("the header has no %q:\n%s", old, head)
		}
		return []byte(strings.Replace(head, old, with, 1) + "\r\n\r\n" + body)
	}
	from := "<" + providerAddress + ">"
	for _, c := range []struct {
		name    string
		message []byte
		want    pec.Problem
	}{
		{"of another domain of the provider", change(message, from, "<x@other.example>"), ""},
		{"of another provider", change(message, from, "<posta-certificata@beta.example>"), pec.ProblemFrom},
		{"of a domain that ends alike", change(message, from, "<x@notalfa.example>"), pec.ProblemFrom},
		{"of two authors", change(message, from, from+", <x@alfa.example>"), pec.ProblemFrom},
		{"of no author", change(message, "From:", "X-From:"), pec.ProblemFrom},
		{"with two From", change(message, "MIME-Version:", "From: <posta-certificata@alfa.example>\r\nMIME-Version:"), pec.ProblemFrom},
		{"called a receipt", change(message, "X-Trasporto: posta-certificata", "X-Ricevuta: avvenuta-consegna"), pec.ProblemMalformed},
		{"called a receipt of its kind", change(message, "X-Trasporto:", "X-Ricevuta:"), pec.ProblemMalformed},
		{"called an anomaly", change(message, "X-Trasporto: posta-certificata", "X-Trasporto: errore"), pec.ProblemMalformed},
		{"called both", change(message, "MIME-Version:", "X-Ricevuta: accettazione\r\nMIME-Version:"), pec.ProblemMalformed},
		{"called twice", change(message, "MIME-Version:", "X-Trasporto: posta-certificata\r\nMIME-Version:"), pec.ProblemMalformed},
		{"called nothing", change(message, "X-Trasporto:", "X-Y:"), pec.ProblemMalformed},
		{"with another identifier", change(message, "<0123", "<1123"), pec.ProblemMalformed},
		{"without its identifier", change(message, "Message-ID: <0", "X-ID: <0"), pec.ProblemMalformed},
		{"with two identifiers", change(message, "MIME-Version:", "Message-ID: <0@x.example>\r\nMIME-Version:"), pec.ProblemMalformed},
		{"with another reference", change(message, "<1@client", "<2@client"), pec.ProblemMalformed},
		{"without its reference", change(message, "X-Riferimento-Message-ID:", "X-Y:"), pec.ProblemMalformed},
		{"with fields in other case", change(message, "X-Trasporto: posta-certificata", "x-trasporto: POSTA-CERTIFICATA"), ""},
		{"with further fields", change(message, "MIME-Version:", "DKIM-Signature: v=1\r\nX-REM-Subject: x\r\nX-CrmlId: y\r\nMIME-Version:"), ""},
		{"that is a receipt", receipt, ""},
		{"that is a receipt, called another", change(receipt, "avvenuta-consegna", "accettazione"), pec.ProblemMalformed},
		{"that is a receipt, called an envelope", change(receipt, "X-Ricevuta: avvenuta-consegna", "X-Trasporto: posta-certificata"), pec.ProblemMalformed},
		{"that is a receipt with its own id", change(receipt, "\r\nMessage-ID: <", "\r\nMessage-ID: <9"), ""},
	} {
		verifies(t, v, c.name, c.message, now, c.want)
	}
}

// TestVerifyReadsOnlyWhatIsSigned: a good signature over something that is no message of the system.
func TestVerifyReadsOnlyWhatIsSigned(t *testing.T) {
	conformance.Covers(t, "C108", "C114")
	p := newParty(t)
	for name, content := range map[string]string{
		"of a text":                   "Content-Type: text/plain\r\n\r\nciao\r\n",
		"of parts without their data": testContent,
		"of data that are none":       strings.Replace(testContent, `message/rfc822; name="postacert.eml"`, `application/xml; name="daticert.xml"`, 1),
	} {
		message, _ := sealed(t, p, testArtefact(content))
		verifies(t, judge(t, p), name, message, now, pec.ProblemMalformed)
	}
	inner := newFixture("", nil)
	nested, _ := sealed(t, p, composedAs(t, pec.KindTransport)) // a whole envelope, within an envelope, is not one
	wrapped, _ := sealed(t, p, testArtefact(strings.Replace(testContent, "trailing space", inner.fields+string(nested), 1)))
	verifies(t, judge(t, p), "that only contains one", wrapped, now, pec.ProblemMalformed)
}

// TestTheAddressOfTheCertificateMayStandInFrom: the domain of a provider's own address need not be a certified one.
func TestTheAddressOfTheCertificateMayStandInFrom(t *testing.T) {
	conformance.Covers(t, "C108")
	p := newParty(t)
	message, _ := sealed(t, p, composedAs(t, pec.KindTransport))
	v := &Verifier{Trust: p.trust(t), Directory: func() Directory {
		return register{{Name: "Alfa S.p.A.", Domains: []string{"customers.example"}, Certificates: []*x509.Certificate{p.cert}}}
	}}
	verifies(t, v, "from the provider's own domain", message, now, "")
}
