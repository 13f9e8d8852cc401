package rfc822

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Range is a piece of a body, in bytes.
type Range struct{ Offset, Length int64 }

// ErrMultipart says that a body is not the multipart that it should be.
var ErrMultipart = errors.New("malformed multipart")

// maxParts guards against bodies made to exhaust us.
const maxParts = 64

// Split finds the parts of a multipart body, each with its MIME header and without the line end that precedes the next
// delimiter (RFC 2046, 5.1.1). It reads the body once and keeps none of it. Errors are ErrMultipart and those of body.
func Split(body io.Reader, boundary string) ([]Range, error) {
	s := splitter{delimiter: []byte("--" + boundary), start: -1}
	r := bufio.NewReaderSize(body, 32<<10)
	whole := true // the next piece begins a line
	for !s.closed {
		piece, err := r.ReadSlice('\n')
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
			return nil, err
		}
		if whole && !errors.Is(err, bufio.ErrBufferFull) { // no delimiter is that long
			s.line(piece)
		}
		s.offset += int64(len(piece))
		s.keepEnd(piece)
		whole = err == nil
		if errors.Is(err, io.EOF) {
			break
		}
		if len(s.parts) > maxParts {
			return nil, fmt.Errorf("%w: over %d parts", ErrMultipart, maxParts)
		}
	}
	if !s.closed {
		return nil, fmt.Errorf("%w: no last delimiter", ErrMultipart)
	}
	return s.parts, nil
}

// splitter collects the parts of a body.
type splitter struct {
	delimiter []byte
	parts     []Range
	offset    int64   // of the line
	start     int64   // of the part; -1 before the first delimiter
	before    int64   // how long the line end before offset is
	tail      [2]byte // the last bytes before offset; zero before the second
	closed    bool
}

// line looks at the beginning of a line.
func (s *splitter) line(piece []byte) {
	rest, found := bytes.CutPrefix(piece, s.delimiter)
	if !found {
		return
	}
	after, closing := bytes.CutPrefix(rest, []byte("--"))
	if closing {
		rest = after
	}
	if len(bytes.TrimSpace(rest)) > 0 {
		return // a longer line that begins in the same way
	}
	if s.start >= 0 {
		end := max(s.offset-s.before, s.start)
		s.parts = append(s.parts, Range{s.start, end - s.start})
	}
	s.start = s.offset + int64(len(piece))
	s.closed = closing
}

// keepEnd remembers the line end, which may be cut in two by the reader's buffer.
func (s *splitter) keepEnd(piece []byte) {
	switch n := len(piece); {
	case n > 1:
		s.tail = [2]byte(piece[n-2:])
	case n == 1:
		s.tail = [2]byte{s.tail[1], piece[0]}
	}
	switch {
	case s.tail == [2]byte{'\r', '\n'}:
		s.before = 2
	case s.tail[1] == '\r' || s.tail[1] == '\n':
		s.before = 1
	default:
		s.before = 0
	}
}
