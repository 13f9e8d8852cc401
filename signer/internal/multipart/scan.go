package multipart

import (
	"bytes"
	"errors"
	"strings"
)

// maxBoundary is the length, in bytes, that RFC 2046 allows.
const maxBoundary = 70

// ValidBoundary holds a boundary to RFC 2046 section 5.1.1: 1 to 70 characters that need no escape, no space last.
func ValidBoundary(b string) bool {
	return b != "" && len(b) <= maxBoundary && b[len(b)-1] != ' ' && !strings.ContainsFunc(b, func(r rune) bool {
		letter := r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z'
		return !letter && !strings.ContainsRune(`'()+_,-./:=? `, r)
	})
}

// Delimiter is a line that separates the parts of a multipart.
type Delimiter struct {
	Start, End int64 // offsets of its first byte, and of the byte after its line end
	Closing    bool
}

// Scan looks, in a stream that is fed in pieces of any size, for the delimiter lines of one boundary and for line
// ends other than CRLF. It keeps no bytes but those of a delimiter line.
//
// A line that begins like a delimiter and goes on with anything but white space is an error, because some readers
// (OpenSSL) take it for one and some do not; bare CR and LF are errors because some take them for line ends.
type Scan struct {
	mark     []byte // two hyphens and the boundary
	state    lineState
	pos      int64  // of the next byte
	line     int64  // start of the present line
	matched  int    // how many bytes of mark the present line begins with
	rest     []byte // of a delimiter line, after the mark
	last     byte   // before pos
	returns  int    // how many CR there were
	newlines int    // how many LF, each after a CR
	found    []Delimiter
}

type lineState int

const (
	lineMatching lineState = iota // all of the line so far is the beginning of mark
	lineMarked                    // the line begins with mark
	lineOther
)

// maxPadding bounds what follows the mark in a delimiter line, in bytes.
const maxPadding = 64

// MaxUnsettled is the most, in bytes, that a Scan leaves unsettled: a line end and a delimiter line.
const MaxUnsettled = 2 + 2 + maxBoundary + maxPadding

var (
	errBareEnd   = errors.New("a line ends with a bare CR or LF")
	errAmbiguous = errors.New("a line begins like a delimiter and goes on")
	errParts     = errors.New("there are more than two parts")
)

// NewScan begins at the start of a line, which is at offset pos of the stream. The boundary MUST be a valid one.
func NewScan(boundary string, pos int64) *Scan {
	return &Scan{mark: []byte("--" + boundary), pos: pos, line: pos}
}

// Delimiters returns those that were found so far, at most three; the caller MUST NOT change them.
func (s *Scan) Delimiters() []Delimiter { return s.found }

// Feed takes the next piece, of which nothing is kept. After an error the Scan is of no use.
func (s *Scan) Feed(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	s.returns += bytes.Count(p, []byte{'\r'})
	for i := 0; i < len(p); {
		n, err := s.step(p, i)
		if err != nil {
			return err
		}
		i += n
	}
	s.pos += int64(len(p))
	s.last = p[len(p)-1]
	return nil
}

// step goes on from p[i] to the next change of state, and returns how far that was.
func (s *Scan) step(p []byte, i int) (int, error) {
	switch s.state {
	case lineMatching:
		return s.match(p[i:]), nil
	case lineMarked:
		return s.finishMarked(p, i)
	default:
		return s.skipLine(p, i)
	}
}

func (s *Scan) match(p []byte) int {
	n := 0
	for n < len(p) && s.matched < len(s.mark) && p[n] == s.mark[s.matched] {
		n++
		s.matched++
	}
	switch {
	case s.matched == len(s.mark):
		s.state = lineMarked
		s.rest = s.rest[:0]
	case n < len(p):
		s.state = lineOther
	}
	return n
}

func (s *Scan) skipLine(p []byte, i int) (int, error) {
	n := bytes.IndexByte(p[i:], '\n')
	if n < 0 {
		return len(p) - i, nil
	}
	before := s.last
	if i+n > 0 {
		before = p[i+n-1]
	}
	if before != '\r' {
		return 0, errBareEnd
	}
	s.startLine(s.pos + int64(i+n+1))
	return n + 1, nil
}

func (s *Scan) startLine(at int64) {
	s.newlines++
	s.line, s.matched, s.state = at, 0, lineMatching
}

func (s *Scan) finishMarked(p []byte, i int) (int, error) {
	n := bytes.IndexByte(p[i:], '\n')
	taken := n + 1
	if n < 0 {
		taken = len(p) - i
	}
	if len(s.rest)+taken > maxPadding {
		return 0, errAmbiguous
	}
	s.rest = append(s.rest, p[i:i+taken]...)
	if n < 0 {
		return taken, nil
	}
	if !bytes.HasSuffix(s.rest, []byte("\r\n")) {
		return 0, errBareEnd
	}
	end := s.pos + int64(i+taken)
	if err := s.addDelimiter(end); err != nil {
		return 0, err
	}
	s.startLine(end)
	return taken, nil
}

func (s *Scan) addDelimiter(end int64) error {
	rest := strings.TrimSuffix(string(s.rest), "\r\n")
	padding, closing := strings.CutPrefix(rest, "--")
	if strings.Trim(padding, " \t") != "" {
		return errAmbiguous
	}
	if len(s.found) == 3 {
		return errParts
	}
	s.found = append(s.found, Delimiter{Start: s.line, End: end, Closing: closing})
	return nil
}

// Settled returns the offset before which no byte belongs to a delimiter that is still to come, or to the line end
// before it.
func (s *Scan) Settled() int64 {
	if s.state == lineOther {
		return s.pos - 1
	}
	return s.line - 2
}

// Finish ends the stream. A closing delimiter needs no line end.
func (s *Scan) Finish() error {
	if s.state == lineMarked {
		if err := s.addDelimiter(s.pos); err != nil {
			return err
		}
		if !s.found[len(s.found)-1].Closing {
			return errors.New("the message ends in a delimiter")
		}
	}
	// Every LF came after a CR, so that any CR more stands alone.
	if s.returns != s.newlines {
		return errBareEnd
	}
	return nil
}
