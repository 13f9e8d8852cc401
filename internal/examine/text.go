package examine

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/textproto"
	"strings"

	"github.com/ceralacca/ceralacca/pec"
)

// maxText is how much of the readable part is looked at, in bytes.
const maxText = 1 << 20

// checkText asks that the readable text names the message of the certification data. Its wording is free. [C058]
func checkText(parts *pec.Parts, c *pec.CertData) error {
	if parts.Text == nil {
		return errors.New("there is no readable text")
	}
	text, err := readText(parts.Text, maxText)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the readable text cannot be decoded: %w", err)
	}
	names := []string{string(c.Identifier), c.Sender.String()}
	for _, a := range concerned(c) {
		names = append(names, a.String())
	}
	plain := strings.ToLower(squeeze(text))
	var missing []error
	for _, name := range names {
		if !strings.Contains(plain, strings.ToLower(name)) {
			missing = append(missing, fmt.Errorf("the readable text does not name %s", name))
		}
	}
	return errors.Join(missing...)
}

// concerned are the recipients that the text speaks of: those taken in charge, the one of an outcome, or all. [C031] [C083]
func concerned(c *pec.CertData) []pec.Address {
	switch {
	case c.Delivery != nil:
		return []pec.Address{*c.Delivery}
	case len(c.Taken) > 0:
		return c.Taken
	}
	var all []pec.Address
	for _, r := range c.Recipients {
		all = append(all, r.Address)
	}
	return all
}

// readText returns the decoded text of a readable part: of the part itself, or of all parts of a multipart/alternative.
// It reads at most limit bytes, and does not care about character sets: what is looked for is ASCII.
func readText(part pec.Source, limit int64) (string, error) {
	in := bufio.NewReader(io.NewSectionReader(part, 0, min(limit, part.Size())))
	header, err := textproto.NewReader(in).ReadMIMEHeader()
	if err != nil {
		return "", err
	}
	return decodeText(header, in, 3)
}

func decodeText(header textproto.MIMEHeader, body io.Reader, depth int) (string, error) {
	kind, params, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil || !strings.HasPrefix(kind, "multipart/") {
		return decodeBody(header.Get("Content-Transfer-Encoding"), body)
	}
	if depth == 0 {
		return "", errors.New("the readable part is nested too deep")
	}
	var all strings.Builder
	parts := multipart.NewReader(body, params["boundary"])
	for {
		p, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return all.String(), nil
		}
		if err != nil {
			return all.String(), err
		}
		text, err := decodeText(p.Header, p, depth-1)
		if err != nil {
			return all.String(), err
		}
		all.WriteString(text + "\n")
	}
}

func decodeBody(encoding string, body io.Reader) (string, error) {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	}
	text, err := io.ReadAll(body)
	return string(text), err
}
