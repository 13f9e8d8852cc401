package compose

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"mime/quotedprintable"
	"strings"

	"golang.org/x/text/encoding/charmap"

	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/pec/internal/rfc822"
	"github.com/ceralacca/ceralacca/pec/texts"
)

// assembler puts a signed entity together: bytes of ours, and pieces of others that are not copied.
type assembler struct {
	pieces []pec.Source
	buffer bytes.Buffer // what follows the last piece
}

// lines writes lines that end in CRLF.
func (a *assembler) lines(lines ...string) {
	for _, line := range lines {
		a.buffer.WriteString(line + "\r\n")
	}
}

func (a *assembler) source(s pec.Source) {
	a.flush()
	a.pieces = append(a.pieces, s)
}

func (a *assembler) flush() {
	if a.buffer.Len() > 0 {
		a.pieces = append(a.pieces, pec.Bytes(bytes.Clone(a.buffer.Bytes())))
		a.buffer.Reset()
	}
}

// boundaries of one message: of the multipart/signed, the multipart/mixed and the multipart/alternative. They are
// made of what identifies the message, so that a message composed again has the same; the signer checks that they do
// not occur within the parts. "=_" cannot occur in quoted-printable or base64.
type boundaries struct{ signed, mixed, alternative string }

func makeBoundaries(identity ...string) boundaries {
	make := func(level string) string {
		sum := sha256.Sum256([]byte(strings.Join(append([]string{level}, identity...), "\n")))
		return "=_" + hex.EncodeToString(sum[:16])
	}
	return boundaries{signed: make("signed"), mixed: make("mixed"), alternative: make("alternative")}
}

// parts are what a message of ours is made of. [C190]
type parts struct {
	text     string       // in lines that end in LF
	original []pec.Source // nil: none
	certData []byte       // nil: none
}

// assemble makes the signed entity. Its parts are 7-bit, but for the original.
func (p parts) assemble(b boundaries) ([]pec.Source, error) {
	a := &assembler{}
	a.lines(`Content-Type: multipart/mixed; boundary="`+b.mixed+`"`, "", "--"+b.mixed)
	if err := a.text(p.text, b.alternative); err != nil {
		return nil, err
	}
	if p.original != nil {
		a.lines("", "--"+b.mixed)
		a.original(p.original)
	}
	if p.certData != nil {
		a.lines("", "--"+b.mixed)
		a.certData(p.certData)
	}
	a.lines("", "--"+b.mixed+"--")
	a.flush()
	return a.pieces, nil
}

// text writes the readable part, twice. [C189] [C191] [C192] [C193]
func (a *assembler) text(text, boundary string) error {
	a.lines("Content-Type: multipart/alternative;", ` boundary="`+boundary+`"`, "")
	for _, form := range []struct{ subtype, text string }{{"plain", text}, {"html", texts.HTML(text)}} {
		a.lines("--" + boundary)
		if err := a.quotedPrintable(form.subtype, form.text, charsetOf(text)); err != nil {
			return err
		}
	}
	a.lines("--" + boundary + "--")
	return nil
}

// charsetOf is that of the rules, or UTF-8 when a subject does not fit into it. [C191]
func charsetOf(text string) string {
	if _, err := charmap.ISO8859_1.NewEncoder().String(text); err != nil {
		return "utf-8"
	}
	return "iso-8859-1"
}

func (a *assembler) quotedPrintable(subtype, text, charset string) error {
	if charset != "utf-8" {
		latin, err := charmap.ISO8859_1.NewEncoder().String(text)
		if err != nil {
			return fmt.Errorf("text: %w", err)
		}
		text = latin
	}
	a.lines(`Content-Type: text/`+subtype+`; charset="`+charset+`"`, "Content-Transfer-Encoding: quoted-printable", "")
	w := quotedprintable.NewWriter(&a.buffer)
	_, err := w.Write([]byte(strings.ReplaceAll(text, "\n", "\r\n")))
	if err != nil {
		return err
	}
	return w.Close()
}

// original writes the message part. Its bytes ride as they are, and without a Content-Transfer-Encoding even where
// they are not 7-bit, as providers do: "8bit" would invite a relay to encode anew what is signed. [C177] [C196]
func (a *assembler) original(pieces []pec.Source) {
	a.lines(`Content-Type: message/rfc822; name="`+pec.PartOriginal+`"`, `Content-Disposition: inline; filename="`+pec.PartOriginal+`"`, "")
	for _, s := range pieces {
		a.source(s)
	}
}

// certData writes the certification data. [C189] [C197]
func (a *assembler) certData(document []byte) {
	a.lines(`Content-Type: application/xml; name="`+pec.PartCertData+`"`, "Content-Transfer-Encoding: base64",
		`Content-Disposition: attachment; filename="`+pec.PartCertData+`"`, "")
	text := base64.StdEncoding.EncodeToString(document)
	for len(text) > rfc822.MaxLine {
		a.lines(text[:rfc822.MaxLine])
		text = text[rfc822.MaxLine:]
	}
	a.lines(text)
}
