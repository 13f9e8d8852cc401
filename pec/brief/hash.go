package brief

import (
	"bufio"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"mime/quotedprintable"

	"github.com/ceralacca/ceralacca/pec"
)

// hasher hashes one part after the other, with the same buffers.
type hasher struct {
	over string
	hash hash.Hash
	in   *bufio.Reader
	buf  []byte
}

func newHasher(s Settings) (*hasher, error) {
	h, err := s.newHash()
	if err != nil {
		return nil, err
	}
	return &hasher{over: s.Over, hash: h, in: bufio.NewReaderSize(nil, bufferSize), buf: make([]byte, bufferSize)}, nil
}

// sum is the hash of the body of a part. What does not decode is ErrUncertain: each program makes another file of it.
func (h *hasher) sum(encoding string, body pec.Source) (string, error) {
	src := &watched{from: io.NewSectionReader(body, 0, body.Size())}
	h.in.Reset(src)
	decoded, err := h.decoder(encoding)
	if err != nil {
		return "", err
	}
	h.hash.Reset()
	_, err = io.CopyBuffer(struct{ io.Writer }{h.hash}, struct{ io.Reader }{decoded}, h.buf)
	switch {
	case src.err != nil:
		return "", src.err
	case err != nil:
		return "", uncertain("its %s cannot be decoded: %w", encoding, err)
	case src.count != body.Size():
		return "", io.ErrUnexpectedEOF // a hash of less would be a lie
	}
	return hex.EncodeToString(h.hash.Sum(nil)), nil
}

// decoder undoes the encoding, where it is to be undone. [C173]
func (h *hasher) decoder(encoding string) (io.Reader, error) {
	if h.over == OverEncoded {
		return h.in, nil
	}
	switch encoding {
	case "", "7bit", "8bit", "binary":
		return h.in, nil
	case "quoted-printable":
		return quotedprintable.NewReader(&codes{from: h.in}), nil
	case "base64":
		plain := &digits{from: h.in}
		return drained{base64.NewDecoder(base64.StdEncoding, plain), plain}, nil
	}
	return nil, uncertain("it has the transfer encoding %.50q", encoding)
}

// watched remembers that reading the message failed, which says nothing of what is in it, and counts.
type watched struct {
	from  io.Reader
	count int64
	err   error
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.from.Read(p)
	w.count += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		w.err = err
	}
	return n, err
}
