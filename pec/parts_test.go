package pec

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"mime/quotedprintable"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/pec/internal/rfc822"
)

// submitted is an original that a part carries: bytes beyond ASCII, and a line that looks like a delimiter of mail.
const submitted = "Message-ID: <1@client>\r\nFrom: Mario Rossi <mario.rossi@alfa.example>\r\nTo: anna@beta.example\r\n" +
	"Subject: Fattura\r\nContent-Transfer-Encoding: 8bit\r\n\r\nBuongiorno, perché no?\r\n.\r\n\r\nFrom here\r\n"

func content(t testing.TB, s Source) string {
	t.Helper()
	if s == nil {
		return "<none>"
	}
	b, err := io.ReadAll(reader(s))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func quoted(s string) string {
	var b strings.Builder
	w := quotedprintable.NewWriter(&b)
	_, _ = w.Write([]byte(s)) // a builder does not fail
	_ = w.Close()
	return b.String()
}

// mixed is a multipart/mixed of parts, each with its own header.
func mixed(contentType, boundary string, parts ...string) string {
	b := "Content-Type: " + contentType + "\r\n\r\n"
	for i, part := range parts {
		if i > 0 {
			b += "\r\n"
		}
		b += "--" + boundary + "\r\n" + part
	}
	return b + "\r\n--" + boundary + "--\r\n"
}

func TestReadPartsOfOthers(t *testing.T) {
	conformance.Covers(t, "C057", "C058", "C190", "C259")
	document := encoded(t, certData(t, KindTransport))
	const (
		text = "Content-Type: text/plain\r\n\r\nTesto"
		mail = "Content-Type: message/rfc822; name=postacert.eml\r\nContent-Transfer-Encoding: 7bit\r\n\r\n" + submitted
	)
	b64 := base64.StdEncoding.EncodeToString([]byte(document))
	data := "Content-Type: application/xml; name=\"daticert.xml\"\r\nContent-Transfer-Encoding: "
	for name, message := range map[string]string{
		"ours":            mixed(`multipart/mixed; boundary="b"`, "b", text, mail, data+"base64\r\n\r\n"+b64),
		"data first":      mixed(`multipart/mixed; boundary="b"`, "b", text, data+"base64\r\n\r\n"+b64, mail),
		"data at the top": mixed(`multipart/mixed; boundary="b"`, "b", data+"base64\r\n\r\n"+b64, mail),
		"short lines":     mixed(`multipart/mixed; boundary="b"`, "b", text, mail, data+"Base64\r\n\r\n"+strings.Join(strings.SplitAfterN(b64, "a", 9), " \r\n")+"\r\n"),
		"quoted":          mixed(`multipart/mixed; boundary="b"`, "b", text, mail, data+"Quoted-Printable\r\n\r\n"+quoted(document)),
		"7bit":            mixed(`multipart/mixed; boundary="b"`, "b", text, mail, data+"7bit\r\n\r\n"+document),
		"8bit":            mixed(`multipart/mixed; boundary="b"`, "b", text, mail, data+"8bit\r\n\r\n"+document),
		"unencoded":       mixed(`multipart/mixed; boundary="b"`, "b", text, mail, strings.Replace(data, "Content-Transfer-Encoding: ", "X: ", 1)+"\r\n\r\n"+document),
		"inline":          mixed(`multipart/mixed; boundary="b"`, "b", text, mail, "Content-Disposition: inline; filename=DATICERT.XML\r\nContent-Type: text/xml\r\n\r\n"+document),
		"bare boundary":   mixed("multipart/mixed;\r\n\tboundary=----=_Part_1.2?; ", "----=_Part_1.2?", text, mail, data+"7bit\r\n\r\n"+document),
		"odd type":        mixed("Multipart/Mixed; x; charset=\"a;b\\\"c\"; BOUNDARY = \"b c\"", "b c", text, mail, data+"7bit\r\n\r\n"+document),
		"white space":     strings.ReplaceAll(mixed(`multipart/mixed; boundary="b"`, "b", text, mail, data+"7bit\r\n\r\n"+document), "--b\r\n", "--b \t\r\n"),
		"more parts":      mixed(`multipart/mixed; boundary="b"`, "b", text, "Content-Type: message/rfc822\r\n\r\n"+submitted, mail, "\r\nx", data+"7bit\r\n\r\n"+document),
		"preamble":        strings.Replace(mixed(`multipart/mixed; boundary="b"`, "b", text, mail, data+"7bit\r\n\r\n"+document), "\r\n\r\n--b", "\r\n\r\nThis is\r\n--bc\r\n--b", 1) + "after\r\n--b\r\n",
	} {
		parts, err := ReadParts(Bytes([]byte(message)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := content(t, parts.Original); got != submitted {
			t.Errorf("%s: the original is %q", name, got)
		}
		if c, err := ParseCertData(parts.CertData); err != nil || c.Kind != KindTransport {
			t.Errorf("%s: %v\n%q", name, err, parts.CertData)
		}
		if name != "data at the top" && content(t, parts.Text) != text {
			t.Errorf("%s: the text is %q", name, content(t, parts.Text))
		}
	}
}

func TestReadPartsSeesDirectChildrenOnly(t *testing.T) {
	document := encoded(t, certData(t, KindTransport))
	data := "Content-Type: application/xml; name=daticert.xml\r\n\r\n" + document
	inner := mixed("multipart/mixed; boundary=inner", "inner", data)
	for name, part := range map[string]string{
		"in a message":   "Content-Type: message/rfc822; name=postacert.eml\r\n\r\n" + inner,
		"in a multipart": inner,
	} {
		parts, err := ReadParts(Bytes([]byte(mixed("multipart/mixed; boundary=b", "b", "\r\ntext", part))))
		if err != nil || parts.CertData != nil {
			t.Errorf("%s: %+v, %v", name, parts, err)
		}
	}
}

func TestReadPartsRefuses(t *testing.T) {
	conformance.Covers(t, "C114")
	const data = "Content-Type: application/xml; name=daticert.xml\r\n\r\n<x/>"
	const mail = "Content-Type: message/rfc822; name=postacert.eml\r\n\r\nA: b\r\n\r\n"
	for name, message := range map[string]string{
		"nothing":          "",
		"no multipart":     "Content-Type: text/plain\r\n\r\nx",
		"another type":     mixed("multipart/related; boundary=b", "b", data),
		"no boundary":      mixed("multipart/mixed", "b", data),
		"empty boundary":   mixed(`multipart/mixed; boundary=""`, "", data),
		"no delimiter":     "Content-Type: multipart/mixed; boundary=b\r\n\r\nx",
		"not closed":       "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n",
		"data twice":       mixed("multipart/mixed; boundary=b", "b", data, data),
		"original twice":   mixed("multipart/mixed; boundary=b", "b", mail, mail),
		"original encoded": mixed("multipart/mixed; boundary=b", "b", strings.Replace(mail, "\r\n\r\n", "\r\nContent-Transfer-Encoding: base64\r\n\r\n", 1)),
		"odd encoding":     mixed("multipart/mixed; boundary=b", "b", strings.Replace(data, "\r\n\r\n", "\r\nContent-Transfer-Encoding: uuencode\r\n\r\n", 1)),
		"no base64":        mixed("multipart/mixed; boundary=b", "b", strings.Replace(data, "\r\n\r\n", "\r\nContent-Transfer-Encoding: base64\r\n\r\n", 1)),
		"huge data":        mixed("multipart/mixed; boundary=b", "b", data+strings.Repeat("\r\n", maxEncoded)),
		"many parts":       mixed("multipart/mixed; boundary=b", "b", strings.Split(strings.Repeat("\r\nx,", 200), ",")...),
		"junk for header":  mixed("multipart/mixed; boundary=b", "b", "no field\r\n\r\n"),
	} {
		if parts, err := ReadParts(Bytes([]byte(message))); !errors.Is(err, ErrParts) && !errors.Is(err, ErrHeader) {
			t.Errorf("%s: %+v, %v", name, parts, err)
		}
	}
}

func TestReadPartsReportsTroubleOfReading(t *testing.T) {
	trouble := errors.New("disk")
	if _, err := ReadParts(brokenSource{trouble}); !errors.Is(err, trouble) {
		t.Errorf("got %v", err)
	}
}

// Lines of any length and delimiters across the reader's buffer.
func TestSplitAtAnyOffset(t *testing.T) {
	for n := 32<<10 - 20; n < 32<<10+20; n++ {
		for _, end := range []string{"\r\n", "\n"} {
			body := "--b" + end + strings.Repeat("x", n) + end + end + "--b--" + end
			parts, err := rfc822.Split(strings.NewReader(body), "b")
			if err != nil || len(parts) != 1 || body[parts[0].Offset:][:parts[0].Length] != strings.Repeat("x", n)+end {
				t.Fatalf("%d, %q: %d parts, %v", n, end, len(parts), err)
			}
		}
	}
}

func FuzzReadParts(f *testing.F) {
	golden, err := filepath.Glob("compose/testdata/*.eml")
	if err != nil || len(golden) == 0 {
		f.Fatalf("no golden files: %v", err)
	}
	for _, file := range golden {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		_, content, _ := bytes.Cut(b, []byte("\r\n\r\n"))
		f.Add(content)
	}
	f.Add([]byte(mixed("multipart/mixed; boundary=b", "b", "A: b\r\n\r\nx", "\n--b\n")))
	f.Fuzz(func(t *testing.T, b []byte) {
		parts, err := ReadParts(Bytes(b))
		if err != nil {
			return
		}
		for _, s := range []Source{parts.Text, parts.Original} {
			if s != nil && !strings.Contains(string(b), content(t, s)) {
				t.Fatal("a part is no piece of the message")
			}
		}
	})
}
