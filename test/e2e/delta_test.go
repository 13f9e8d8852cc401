package e2e

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab/client"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/pec/compose"
	"github.com/ceralacca/ceralacca/signer"
)

// outsider is somebody who has a key: delta, or who says he is.
type outsider struct {
	provider pec.Provider
	key      signer.Key
}

// someone is delta with the key of these variables: "DELTA", "LAB_REVOKED", "LAB_EXPIRED", "LAB_STRANGER".
func someone(t *testing.T, name string) *outsider {
	t.Helper()
	key, err := signer.LoadKey(env[name+"_CERT"], env[name+"_KEY"])
	if err != nil {
		t.Fatal(err)
	}
	return &outsider{pec.Provider{Name: env["DELTA_PROVIDER"], Address: address(t, env["DELTA_PEC_ADDRESS"])}, key}
}

func address(t *testing.T, s string) pec.Address {
	t.Helper()
	a, err := pec.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// envelope is a transport envelope to send. Its identifier and the Message-ID of its original contain token.
type envelope struct {
	token    string
	from     string
	data     *pec.CertData
	original *letter
	raw      []byte
}

// dora writes all mail of delta.
func dora() string { return "dora@" + env["DELTA_DOMAIN"] }

// draft is the certification data of a new message from dora, and the message.
func (o *outsider) draft(t *testing.T, to ...string) *envelope {
	t.Helper()
	l := write(t, dora(), to, nil)
	token, _, _ := strings.Cut(strings.Trim(l.ref, "<>"), "@")
	subject := "Richiesta di prova"
	e := &envelope{token: token, from: dora(), original: l, data: &pec.CertData{
		Kind: pec.KindTransport, Error: pec.ErrorNone, Sender: address(t, dora()), ReplyTo: dora(), Subject: &subject,
		Provider: o.provider.Name, Time: time.Now().Truncate(time.Second), MessageID: l.ref, Receipt: pec.ReceiptComplete,
		Identifier: pec.Identifier(token + token + "@" + env["DELTA_DOMAIN"]),
	}}
	for _, a := range to {
		e.data.Recipients = append(e.data.Recipients, pec.Recipient{Address: address(t, a), Type: pec.Certified})
	}
	return e
}

// envelope makes a valid transport envelope from dora.
func (o *outsider) envelope(t *testing.T, to ...string) *envelope {
	t.Helper()
	e := o.draft(t, to...)
	e.raw = o.seal(t, o.compose(t, e))
	return e
}

func (o *outsider) compose(t *testing.T, e *envelope) *pec.Artefact {
	t.Helper()
	a, err := compose.TransportEnvelope(o.provider, e.original.taken(t), e.data)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// taken is the letter as packages pec and signer take it.
func (l *letter) taken(t *testing.T) compose.Original {
	t.Helper()
	header, body, err := pec.ReadHeader(pec.Bytes(l.raw), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return compose.Original{Header: header, Body: pec.Bytes(l.raw[body:])}
}

// seal signs what was composed.
func (o *outsider) seal(t *testing.T, a *pec.Artefact) []byte {
	t.Helper()
	d, err := signer.NewDraft(a)
	if err != nil {
		t.Fatal(err)
	}
	s, err := d.SealTo(t.Context(), nil, o.key, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := s.Header().WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	b.WriteString("\r\n")
	if err := s.WriteBody(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// sealEdited signs an artefact whose signed part was changed.
func (o *outsider) sealEdited(t *testing.T, a *pec.Artefact, edit func(string) string) []byte {
	t.Helper()
	var b strings.Builder
	for _, s := range a.Content {
		if _, err := io.Copy(&b, section(s)); err != nil {
			t.Fatal(err)
		}
	}
	edited := edit(b.String())
	if edited == b.String() {
		t.Fatal("the edit changed nothing")
	}
	a.Content = []pec.Source{pec.Bytes([]byte(edited))}
	return o.seal(t, a)
}

// notice makes a receipt or notice about data, to somebody; change completes its certification data.
func (o *outsider) notice(t *testing.T, kind pec.Kind, about *pec.CertData, to string, change func(*pec.CertData)) []byte {
	t.Helper()
	data := *about
	data.Kind, data.Error, data.Receipt, data.Provider = kind, pec.ErrorNone, "", o.provider.Name
	data.Time = time.Now().Truncate(time.Second)
	if change != nil {
		change(&data)
	}
	n := compose.Notification{Data: data, To: address(t, to), Concise: kind == pec.KindDelivery}
	if data.Error == pec.ErrorVirus {
		n.Virus = "Eicar"
	}
	a, err := compose.NotificationMessage(o.provider, n)
	if err != nil {
		t.Fatal(err)
	}
	return o.seal(t, a)
}

// wantAnomaly checks an anomaly envelope of a host: sealed by it, nothing in it but text and message, the message as it was
// sent, the reason in the text. It returns the text.
func wantAnomaly(t *testing.T, host string, m *client.Message, sent []byte, reason pec.Problem) string {
	t.Helper()
	parts, _ := sealed(t, m)
	if parts.CertData != nil {
		t.Error("the anomaly envelope has certification data")
	}
	if got := read(t, parts.Original); got != string(sent) {
		t.Errorf("the message in the anomaly envelope is\n%q\nwant\n%q", got, sent)
	}
	content, err := client.OpenSSL(t.Context(), m.Raw, env["LAB_CA"], env["LAB_CRL"])
	if err != nil {
		t.Fatal(err)
	}
	if n := len(children(t, content)); n != 2 {
		t.Errorf("the anomaly envelope has %d parts, want 2", n)
	}
	text := plain(t, parts.Text)
	if !strings.Contains(text, reason.Italian()) {
		t.Errorf("the text does not give the reason %q:\n%s", reason.Italian(), text)
	}
	from, err := pec.ParseAddressList(m.Header.Get("From"))
	if err != nil || len(from) != 1 || from[0].String() != env[host+"_PEC_ADDRESS"] {
		t.Errorf("From of the anomaly envelope is %q (%v)", m.Header.Get("From"), err)
	}
	if got := pec.DecodeText(m.Header.Get("Subject")); !strings.HasPrefix(got, "ANOMALIA MESSAGGIO:") {
		t.Errorf("Subject of the anomaly envelope is %q", got)
	}
	return text
}

// children are the types of the direct parts of a multipart entity.
func children(t *testing.T, entity []byte) []string {
	t.Helper()
	header, body, err := pec.ReadHeader(pec.Bytes(entity), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	_, params, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	var types []string
	r := multipart.NewReader(bytes.NewReader(entity[body:]), params["boundary"])
	for {
		p, err := r.NextRawPart()
		if err == io.EOF {
			return types
		}
		if err != nil {
			t.Fatal(err)
		}
		types = append(types, p.Header.Get("Content-Type"))
	}
}

// plain is the readable text of a message of the system, as UTF-8.
func plain(t *testing.T, alternative pec.Source) string {
	t.Helper()
	if alternative == nil {
		t.Fatal("there is no text in the message")
	}
	header, body, err := pec.ReadHeader(alternative, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	_, params, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	r := multipart.NewReader(section(pec.Section(alternative, body, alternative.Size()-body)), params["boundary"])
	p, err := r.NextRawPart()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(quotedprintable.NewReader(p))
	if err != nil {
		t.Fatal(err)
	}
	return decoded(raw, p.Header)
}

func decoded(raw []byte, h textproto.MIMEHeader) string {
	if !strings.Contains(strings.ToLower(h.Get("Content-Type")), "iso-8859-1") {
		return string(raw)
	}
	runes := make([]rune, len(raw))
	for i, b := range raw {
		runes[i] = rune(b)
	}
	return string(runes)
}

// kept fails the test unless the operator of a host finds this many files about text.
func kept(t *testing.T, host, text string, want int) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(env[host+"_STATE"], "kept", "*.eml"))
	if err != nil {
		t.Fatal(err)
	}
	got := 0
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(raw, []byte(text)) {
			got++
		}
	}
	if got != want {
		t.Errorf("%s keeps %d files about %s for the operator, want %d", host, got, text, want)
	}
}

// ordinary makes a message as any mail program does, from somebody outside.
func ordinary(t *testing.T, from string, to ...string) (token string, raw []byte) {
	t.Helper()
	token = random(t)
	return token, fmt.Appendf(nil, "Received: from desk by mail.gamma.example; %[4]s\r\nFrom: Gino <%[1]s>\r\nTo: %[2]s\r\n"+
		"Subject: Un saluto %[3]s\r\nDate: %[4]s\r\nMessage-ID: <%[3]s@gamma.example>\r\n\r\nCiao.\r\n",
		from, strings.Join(to, ", "), token, time.Now().Format(time.RFC1123Z))
}
