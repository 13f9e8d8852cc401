package pec

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime/quotedprintable"
	"strings"

	"github.com/ceralacca/ceralacca/internal/mediatype"
	"github.com/ceralacca/ceralacca/pec/internal/rfc822"
)

// Parts are the parts of a signed message of the system that have a meaning; further ones are ignored. [C057] [C190]
type Parts struct {
	Text     Source // the readable part, with its MIME header; nil when there is none
	CertData []byte // the content of daticert.xml, decoded; nil when there is none
	Original Source // the content of postacert.eml, byte for byte; nil when there is none
}

// ErrParts says that a signed entity is no multipart/mixed, or that its parts contradict each other.
var ErrParts = errors.New("malformed multipart/mixed")

// Guards against messages made to exhaust us.
const (
	maxPartHeader = 64 << 10
	maxEncoded    = 4 * maxCertData // of daticert.xml as it stands in the message
)

// ReadParts takes the signed multipart/mixed apart. Only its direct children count, so that a message within the
// original cannot speak for the envelope; they are known by their names, stand in any order and have any encoding, and
// two of one name are refused. Nothing ever looks into the text. Errors are ErrParts, ErrHeader and those of reading
// content. [C058] [C190] [C259]
func ReadParts(content Source) (*Parts, error) {
	header, start, err := ReadHeader(content, maxPartHeader)
	if err != nil {
		return nil, err
	}
	media, _ := mediatype.Parse(header.Get("Content-Type")) // it is signed: all that is asked is what it means
	if media.Name != "multipart/mixed" || media.Params["boundary"] == "" {
		return nil, fmt.Errorf("%w: the type is %.100q", ErrParts, media.Name)
	}
	body := Section(content, start, content.Size()-start)
	children, err := rfc822.Split(reader(body), media.Params["boundary"])
	if errors.Is(err, rfc822.ErrMultipart) {
		return nil, fmt.Errorf("%w: %w", ErrParts, err)
	}
	if err != nil {
		return nil, err
	}
	found := &Parts{}
	for i, child := range children {
		if err := found.take(Section(body, child.Offset, child.Length), i == 0); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// take puts a part where it belongs.
func (p *Parts) take(child Source, first bool) error {
	header, start, err := ReadHeader(child, maxPartHeader)
	if err != nil {
		return err
	}
	body := Section(child, start, child.Size()-start)
	switch name := partName(header); {
	case strings.EqualFold(name, PartCertData):
		if p.CertData != nil {
			return fmt.Errorf("%w: %s is there twice", ErrParts, PartCertData)
		}
		p.CertData, err = decodeBody(header, body)
		return err
	case strings.EqualFold(name, PartOriginal):
		if p.Original != nil {
			return fmt.Errorf("%w: %s is there twice", ErrParts, PartOriginal)
		}
		if encoding := transferEncoding(header); encoding == "base64" || encoding == "quoted-printable" {
			return fmt.Errorf("%w: %s is encoded", ErrParts, PartOriginal) // RFC 2046, 5.2.1 forbids it
		}
		p.Original = body
	case first:
		p.Text = child
	}
	return nil
}

// partName is the name of a part, wherever it stands.
func partName(h Header) string {
	media, _ := mediatype.Parse(h.Get("Content-Type")) // what cannot be read is no name of ours
	if name := media.Params["name"]; name != "" {
		return name
	}
	disposition, _ := mediatype.Parse(h.Get("Content-Disposition"))
	return disposition.Params["filename"]
}

func transferEncoding(h Header) string {
	return strings.ToLower(strings.TrimRight(h.Get("Content-Transfer-Encoding"), "; \t"))
}

// decodeBody undoes the encoding of a small part. What it returns is not nil.
func decodeBody(h Header, body Source) ([]byte, error) {
	if body.Size() > maxEncoded {
		return nil, fmt.Errorf("%w: %s has %d bytes", ErrParts, PartCertData, body.Size())
	}
	raw, err := io.ReadAll(reader(body))
	if err != nil {
		return nil, err
	}
	var decoded []byte
	switch encoding := transferEncoding(h); encoding {
	case "", "7bit", "8bit", "binary":
		return raw, nil
	case "quoted-printable":
		decoded, err = io.ReadAll(quotedprintable.NewReader(bytes.NewReader(raw)))
	case "base64":
		decoded, err = base64.RawStdEncoding.AppendDecode([]byte{}, bytes.TrimRight(bytes.Join(bytes.Fields(raw), nil), "="))
	default:
		err = fmt.Errorf("encoding %.50q", encoding)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrParts, PartCertData, err)
	}
	return decoded, nil
}
