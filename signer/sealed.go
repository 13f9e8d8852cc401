package signer

import (
	"context"
	"encoding/base64"
	"io"
	"strings"

	"github.com/ceralacca/ceralacca/pec"
)

// signatureType is the type of the second part that we write; others also write it with an x.
const signatureType = "application/pkcs7-signature"

// Sealed is a signed message, ready to be written any number of times. It is immutable and safe for concurrent use as
// long as the sources of its content are.
type Sealed struct {
	artefact *pec.Artefact
	cms      []byte
	digest   [32]byte
}

// Header returns the header of the message, which the caller MUST NOT change.
func (s *Sealed) Header() pec.Header { return s.artefact.Header }

// CMS returns the DER of the signature, which the caller MUST NOT change. With [Draft.Resume] it makes the same
// message again.
func (s *Sealed) CMS() []byte { return s.cms }

// Digest returns the SHA-256 of the part that is signed.
func (s *Sealed) Digest() [32]byte { return s.digest }

// Size returns the length of the whole message in bytes: header, empty line and body.
func (s *Sealed) Size() int64 {
	n, _ := s.artefact.Header.WriteTo(io.Discard) // nothing to fail
	n += int64(len("\r\n") + len(s.opening()) + len(s.closing()))
	for _, part := range s.artefact.Content {
		n += part.Size()
	}
	return n
}

// WriteBody writes the body, what comes after the empty line, as [Draft.SealTo] wrote it. Errors are those of w and of
// reading the content.
func (s *Sealed) WriteBody(w io.Writer) error {
	if _, err := io.WriteString(w, s.opening()); err != nil {
		return err
	}
	buf := make([]byte, bufferFor(s.artefact.Content...))
	for _, part := range s.artefact.Content {
		err := stream(context.Background(), part, buf, func(p []byte) error {
			_, err := w.Write(p)
			return err
		})
		if err != nil {
			return err
		}
	}
	_, err := io.WriteString(w, s.closing())
	return err
}

func (s *Sealed) opening() string { return "--" + s.artefact.Boundary + "\r\n" }

// closing is all that follows the content: its first line end belongs to the delimiter and is not signed.
func (s *Sealed) closing() string {
	var b strings.Builder
	delimiter := "\r\n--" + s.artefact.Boundary
	b.WriteString(delimiter)
	b.WriteString("\r\nContent-Type: " + signatureType + `; name="` + pec.PartSignature + "\"\r\n" +
		"Content-Transfer-Encoding: base64\r\n" +
		`Content-Disposition: attachment; filename="` + pec.PartSignature + "\"\r\n\r\n")
	text := base64.StdEncoding.EncodeToString(s.cms)
	for len(text) > base64Line {
		b.WriteString(text[:base64Line] + "\r\n")
		text = text[base64Line:]
	}
	b.WriteString(text + delimiter + "--\r\n")
	return b.String()
}

const base64Line = 64
