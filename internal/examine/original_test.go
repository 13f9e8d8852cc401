package examine

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/pec/brief"
	"github.com/ceralacca/ceralacca/pec/compose"
)

// withFiles is an original with two files. Its body follows the header of the message that was sent.
var withFiles = strings.ReplaceAll("Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: application/pdf; name=x.pdf\n"+
	"Content-Transfer-Encoding: base64\n\nYWJj\n--b\n\nciao\n--b\nContent-Type: message/rfc822\n\nSubject: dentro\n\nciao\n\n--b--\n", "\n", "\r\n")

// brief seals the brief receipt of an original.
func (p *provider) brief(t testing.TB, original []pec.Source) []byte {
	t.Helper()
	c := p.data(t, pec.KindDelivery)
	c.Receipt = pec.ReceiptBrief
	a, err := compose.NotificationMessage(p.Provider, compose.Notification{Data: c, To: c.Sender, Original: original})
	return p.seal(t, a, err, now)
}

func shorten(t testing.TB, message string, s brief.Settings) []pec.Source {
	t.Helper()
	o, err := brief.Cut(pec.Bytes([]byte(message)), s)
	if err != nil {
		t.Fatal(err)
	}
	return o.Pieces
}

// TestBriefReceiptAgainstItsOriginal: a brief receipt holds, and its hashes are compared with whatever has the files.
func TestBriefReceiptAgainstItsOriginal(t *testing.T) {
	conformance.Covers(t, "C170", "C172", "C173", "C176")
	w := newWorld(t)
	sent := "From: Mario Rossi <" + sender + ">\r\nMessage-ID: <1@client.example>\r\n" + withFiles
	cut := func(over, algorithm string) []byte {
		return w.beta.brief(t, shorten(t, sent, brief.Settings{Over: over, Algorithm: algorithm}))
	}
	one := cut(brief.OverDecoded, brief.SHA1)
	data := w.alfa.data(t, pec.KindTransport)
	header, body, err := pec.ReadHeader(pec.Bytes([]byte(sent)), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	whole := compose.Original{Header: header, Body: pec.Section(pec.Bytes([]byte(sent)), body, int64(len(sent))-body)}
	a, err := compose.TransportEnvelope(w.alfa.Provider, whole, &data)
	envelope := w.alfa.seal(t, a, err, now)
	opaque := "Content-Type: application/pkcs7-mime; name=smime.p7m\r\n\r\nx\r\n"
	for name, c := range map[string]struct {
		receipt, original []byte
		want, says        string
	}{
		"as sent":          {one, []byte(sent), "tttttttt", "all 2 files"},
		"saved with LF":    {one, bytes.ReplaceAll([]byte(sent), []byte("\r\n"), []byte("\n")), "tttttttt", "sha1 over the decoded content"},
		"another header":   {one, []byte("X: y\r\n" + withFiles), "tttttttt", "all 2 files"},
		"an envelope":      {one, envelope, "tttttttt", "all 2 files"},
		"encoded, SHA-256": {cut(brief.OverEncoded, brief.SHA256), []byte(sent), "tttttttt", "sha256 over the encoded content"},
		"another file":     {one, []byte(strings.Replace(sent, "YWJj", "YWJk", 1)), "tttttttf", `"x.pdf.hash" holds a9993e364706816aba3e25717850c26c9cd0d89d`},
		"a file less":      {one, []byte(strings.Replace(sent, "; name=x.pdf", "", 1)), "tttttttf", "the receipt has 2, the original 1"},
		"no message":       {one, []byte("junk\r\n"), "tttttttf", "cannot be cut"},
		"no hash files":    {w.beta.brief(t, []pec.Source{pec.Bytes([]byte(sent))}), []byte(sent), "tttttttf", "is no hash file"},
		"opaque S/MIME":    {w.beta.brief(t, shorten(t, opaque, brief.Settings{Over: brief.OverDecoded, Algorithm: brief.SHA1})), []byte(opaque), "ttttttt-", "no hash file"},
		"another kind":     {w.beta.message(t, pec.KindDelivery), []byte(sent), "ttttttt-", "no brief delivery receipt"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "original.eml")
			if err := os.WriteFile(path, c.original, 0o600); err != nil {
				t.Fatal(err)
			}
			if r := report(t, w.everything(), c.receipt); !r.OK || results(r) != "ttttttt" {
				t.Errorf("without the original:\n%s", r.Text())
			}
			o := w.everything()
			o.Original = path
			r := report(t, o, c.receipt)
			if results(r) != c.want || r.OK != !strings.Contains(c.want, "f") || !strings.Contains(detail(r, CheckOriginal), c.says) {
				t.Errorf("%s, want %s with %q:\n%s", results(r), c.want, c.says, r.Text())
			}
		})
	}
	o := w.everything()
	o.Original = filepath.Join(t.TempDir(), "nothing.eml")
	if _, err := New(o); err == nil || !strings.Contains(err.Error(), "nothing.eml") {
		t.Errorf("an original that is not there: %v", err)
	}
}
