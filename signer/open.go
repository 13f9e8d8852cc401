package signer

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/ceralacca/ceralacca/internal/mediatype"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/signer/internal/multipart"
)

const (
	maxHeader     = 1 << 20  // of the message, in bytes
	maxPartHeader = 16 << 10 // of the signature part, in bytes
)

// Open takes a multipart/signed of S/MIME apart and verifies its signature on the bytes as they are, in one pass over
// src and a few hundred KiB of memory whatever its size; a digest other than SHA-256 takes a second pass. The parts
// that it returns read from src, which MUST stay open and unchanged.
//
// Errors are [ErrNotSigned], [ErrMalformed] and [ErrSignature], and any other is a failure to read src, which is
// temporary. The message is nil with all of them but one: an [ErrSignature] that is an [ErrExpired] says that the
// signature is one of the content, made outside of the dates of its certificate. Whether the signer is anyone is for a [Verifier]. Lines end with CRLF: a message that was saved with
// bare LF is malformed. [C104] [C109]
func Open(src pec.Source) (*pec.SignedMessage, error) {
	header, body, err := readHeader(src, maxHeader)
	if err != nil {
		return nil, err
	}
	boundary, err := signedBoundary(header)
	if err != nil {
		return nil, err
	}
	split, err := splitSigned(src, body, boundary)
	if err != nil {
		return nil, err
	}
	cms, err := readSignature(split.signature)
	if err != nil {
		return nil, err
	}
	o, err := openCMS(cms, maxCMS, func(h crypto.Hash) ([]byte, error) {
		if h == crypto.SHA256 {
			return split.digest[:], nil
		}
		return digestSource(split.content, h)
	})
	if o == nil {
		return nil, err
	}
	return &pec.SignedMessage{
		Header: header, Content: split.content, Digest: split.digest, CMS: cms,
		Signer: o.signer, Certificates: o.certificates, SigningTime: o.signingTime,
	}, err
}

// readHeader tells a header that cannot be read from bytes that cannot be had.
func readHeader(src pec.Source, limit int) (pec.Header, int64, error) {
	w := &watched{Source: src}
	header, body, err := pec.ReadHeader(w, limit)
	if w.err != nil {
		return nil, 0, &readError{w.err}
	}
	if err != nil {
		return nil, 0, fmt.Errorf("%w: header: %w", ErrMalformed, err)
	}
	return header, body, nil
}

// signedBoundary reads the boundary of a header that says multipart/signed with an S/MIME protocol. [C104]
func signedBoundary(header pec.Header) (string, error) {
	fields := header.Values("Content-Type")
	signed := false
	for _, f := range fields {
		signed = signed || mediatype.Name(f.Value) == "multipart/signed"
	}
	if !signed {
		return "", ErrNotSigned
	}
	if len(fields) > 1 {
		return "", fmt.Errorf("%w: more than one Content-Type", ErrMalformed)
	}
	if err := checkIdentity(header); err != nil {
		return "", err
	}
	m, err := mediatype.Parse(fields[0].Value)
	if err != nil {
		return "", fmt.Errorf("%w: Content-Type: %w", ErrMalformed, err)
	}
	if protocol, ok := m.Params["protocol"]; ok && !isSignatureType(strings.ToLower(protocol)) {
		return "", fmt.Errorf("%w: protocol %q", ErrNotSigned, protocol)
	}
	if !multipart.ValidBoundary(m.Params["boundary"]) {
		return "", fmt.Errorf("%w: boundary %q", ErrMalformed, m.Params["boundary"])
	}
	return m.Params["boundary"], nil
}

// checkIdentity refuses a transfer encoding that would make other bytes of a multipart.
func checkIdentity(header pec.Header) error {
	fields := header.Values("Content-Transfer-Encoding")
	if len(fields) > 1 {
		return fmt.Errorf("%w: more than one Content-Transfer-Encoding", ErrMalformed)
	}
	for _, f := range fields {
		switch encoding := strings.ToLower(mediatype.Unfold(f.Value)); encoding {
		case "7bit", "8bit", "binary":
		default:
			return fmt.Errorf("%w: a multipart in encoding %q", ErrMalformed, encoding)
		}
	}
	return nil
}

func isSignatureType(name string) bool {
	return name == "application/pkcs7-signature" || name == "application/x-pkcs7-signature"
}

// signedParts are the two parts of a multipart/signed.
type signedParts struct {
	content   pec.Source
	digest    [sha256.Size]byte // of the content
	signature pec.Source
}

// splitSigned finds the parts and hashes the first, in one pass. The line end before a delimiter belongs to the
// delimiter (RFC 2046 section 5.1.1). The header is scanned too, for its line ends.
func splitSigned(src pec.Source, body int64, boundary string) (*signedParts, error) {
	s := splitter{src: src, scan: multipart.NewScan(boundary, 0), hash: sha256.New()}
	if err := s.run(); err != nil {
		return nil, err
	}
	d := s.scan.Delimiters()
	if len(d) != 3 || d[0].Closing || d[1].Closing || !d[2].Closing || d[0].Start < body {
		return nil, fmt.Errorf("%w: it has not two parts and an end", ErrMalformed)
	}
	if d[1].Start-2 < d[0].End || d[2].Start-2 < d[1].End {
		return nil, fmt.Errorf("%w: a part is empty", ErrMalformed)
	}
	parts := &signedParts{
		content:   pec.Section(src, d[0].End, d[1].Start-2-d[0].End),
		signature: pec.Section(src, d[1].End, d[2].Start-2-d[1].End),
	}
	s.hash.Sum(parts.digest[:0])
	return parts, nil
}

// readSignature decodes the signature part: base64, as every sender writes it.
func readSignature(part pec.Source) ([]byte, error) {
	if part.Size() > maxPartHeader+2*maxCMS {
		return nil, fmt.Errorf("%w: the signature part has %d bytes", ErrMalformed, part.Size())
	}
	header, body, err := readHeader(part, maxPartHeader)
	if err != nil {
		return nil, err
	}
	types, encodings := header.Values("Content-Type"), header.Values("Content-Transfer-Encoding")
	if len(types) != 1 || !isSignatureType(mediatype.Name(types[0].Value)) {
		return nil, fmt.Errorf("%w: the second part is not one signature", ErrMalformed)
	}
	if len(encodings) != 1 || !strings.EqualFold(mediatype.Unfold(encodings[0].Value), "base64") {
		return nil, fmt.Errorf("%w: the signature is not in base64", ErrMalformed)
	}
	text := make([]byte, part.Size()-body)
	if len(text) > 0 {
		if _, err := readAt(part, text, body); err != nil {
			return nil, err
		}
	}
	return decodeBase64(text)
}

func decodeBase64(text []byte) ([]byte, error) {
	text = bytes.Map(func(r rune) rune {
		if r == ' ' || r == '\t' || r == '\r' || r == '\n' {
			return -1
		}
		return r
	}, text)
	cms := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Strict().Decode(cms, text)
	if err == nil && n == 0 {
		err = errors.New("it is empty")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: the signature: %w", ErrMalformed, err)
	}
	return cms[:n], nil
}
