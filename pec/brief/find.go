package brief

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/ceralacca/ceralacca/pec"
)

// Guards against messages made to exhaust us, and sizes in bytes.
const (
	maxParts      = 1000
	maxDepth      = 16
	maxHeader     = 1 << 20
	maxPartHeader = 64 << 10
	maxBoundary   = 200
	maxDelimiter  = 1000 // with white space after it
	bufferSize    = 32 << 10
)

// finder walks once over a message, and looks at the lines that begin with two hyphens. Every delimiter of every
// multipart that it is within is looked for at once, so that nothing is taken for a delimiter by one reader and for text
// by another without being noticed.
type finder struct {
	message pec.Source
	levels  []level // the multiparts that the present line is within, from the outermost
	leaf    *part   // the part that the present line is in, when it is no multipart
	bodyAt  int64   // where the header ends that was read last
	count   int     // of the parts so far
	cr      bool    // a CR ended the piece before
	found   []part
}

// level is a multipart.
type level struct {
	mark     []byte // two hyphens and the boundary
	fallback string // the type of parts that do not state it
	signed   bool   // the message is a multipart/signed, and this is its
	parts    int
	closed   bool
}

// find returns the parts that are to be replaced, in order.
func find(message pec.Source) ([]part, error) {
	f := &finder{message: message}
	top, err := f.read(0, maxHeader, "text/plain")
	if err != nil {
		return nil, err
	}
	if top.isOpaque() {
		return nil, nil // [C176]
	}
	if err := f.enter(top); err != nil {
		return nil, err
	}
	if err := f.walk(); err != nil {
		return nil, err
	}
	return f.found, f.finish()
}

// walk reads all lines, those of the headers too.
func (f *finder) walk() error {
	r := bufio.NewReaderSize(io.NewSectionReader(f.message, 0, f.message.Size()), bufferSize)
	begins, offset := true, int64(0) // the next piece begins a line
	for {
		piece, err := r.ReadSlice('\n')
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
		if err := f.lineEnd(piece); err != nil {
			return err
		}
		if begins && bytes.HasPrefix(piece, []byte("--")) {
			if err := f.line(piece, offset); err != nil {
				return err
			}
		}
		offset += int64(len(piece))
		begins = err == nil
		if errors.Is(err, io.EOF) && offset < f.message.Size() {
			return io.ErrUnexpectedEOF
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
	}
}

// lineEnd: some take a bare CR or LF for the end of a line, and some do not.
func (f *finder) lineEnd(piece []byte) error {
	ended := bytes.HasSuffix(piece, []byte("\n"))
	if f.cr {
		f.cr = false
		if len(piece) == 1 && ended {
			return nil
		}
		return uncertain("a line ends with a bare CR")
	}
	switch cr := bytes.IndexByte(piece, '\r'); {
	case cr < 0 && !ended, ended && cr == len(piece)-2:
		return nil
	case !ended && cr == len(piece)-1:
		f.cr = true
		return nil
	}
	return uncertain("a line ends with a bare CR or LF")
}

// line looks whether a line is a delimiter, and whose.
func (f *finder) line(line []byte, start int64) error {
	depth, closing, err := f.delimiter(line)
	if depth < 0 || err != nil {
		return err
	}
	if start < f.bodyAt {
		return uncertain("a delimiter stands in a header")
	}
	for _, inner := range f.levels[depth+1:] {
		if !inner.closed {
			return uncertain("a multipart has no last delimiter")
		}
	}
	f.levels = f.levels[:depth+1]
	l := &f.levels[depth]
	if l.closed {
		return uncertain("a multipart goes on after its last delimiter")
	}
	f.leave(start)
	if closing {
		l.closed = true
		return l.check()
	}
	return f.next(l, start+int64(len(line)))
}

// delimiter says at which level a line is a delimiter; -1 when it is none. A line that begins like one and goes on is
// none, and some readers take it for one.
func (f *finder) delimiter(line []byte) (depth int, closing bool, err error) {
	depth = -1
	begun := false
	for i := len(f.levels) - 1; i >= 0; i-- {
		rest, is := bytes.CutPrefix(line, f.levels[i].mark)
		if !is {
			continue
		}
		begun = true
		after, closes := bytes.CutPrefix(rest, []byte("--"))
		if closes {
			rest = after
		}
		if len(line) <= maxDelimiter && len(bytes.Trim(rest, " \t\r\n")) == 0 {
			return i, closes, nil
		}
	}
	if begun {
		return -1, false, uncertain("a line begins like a delimiter and goes on: %.100q", line)
	}
	return -1, false, nil
}

// leave ends the part that the lines so far were in. The line end before a delimiter belongs to the delimiter.
func (f *finder) leave(delimiter int64) {
	if p := f.leaf; p != nil {
		p.end = max(delimiter-2, p.start)
		p.body = min(p.body, p.end)
		f.found = append(f.found, *p)
		f.leaf = nil
	}
}

// check: what is signed has two parts (RFC 1847), and everything else one at least.
func (l *level) check() error {
	if l.parts == 0 || l.signed && l.parts != 2 {
		return uncertain("a multipart has %d parts", l.parts)
	}
	return nil
}

// next begins a part.
func (f *finder) next(l *level, start int64) error {
	l.parts++
	if f.count++; f.count > maxParts {
		return uncertain("it has over %d parts", maxParts)
	}
	signature := l.signed && l.parts == 2
	p, err := f.read(start, maxPartHeader, l.fallback)
	if err != nil {
		return err
	}
	if !signature {
		return f.enter(p)
	}
	if !p.isSignature() {
		return uncertain("the second part of what is signed is %s", p.media.Name)
	}
	return nil // it stays, although it has a name [C175]
}

// read reads the header of a part.
func (f *finder) read(start int64, limit int, fallback string) (*part, error) {
	p := &part{start: start, end: f.message.Size()}
	header, n, err := pec.ReadHeader(pec.Section(f.message, start, f.message.Size()-start), limit)
	if errors.Is(err, pec.ErrHeader) || errors.Is(err, pec.ErrHeaderTooBig) {
		return nil, uncertain("%w", err)
	}
	if err != nil {
		return nil, err
	}
	p.header, p.body = header, start+n
	f.bodyAt = p.body
	return p, p.describe(fallback)
}

// enter goes into a multipart, or remembers a part that is to be replaced. A name makes no file of a multipart: the
// structure stays, and its parts are judged one by one.
func (f *finder) enter(p *part) error {
	if p.isMultipart() {
		return f.push(p)
	}
	if !p.name.given && !p.isMessage() {
		return nil
	}
	f.leaf = p
	return f.hasEmptyLine(p)
}

func (f *finder) push(p *part) error {
	boundary := p.media.Params["boundary"]
	if boundary == "" || len(boundary) > maxBoundary || strings.HasSuffix(boundary, " ") || strings.ContainsFunc(boundary, odd) {
		return uncertain("a multipart has the boundary %.100q", boundary)
	}
	if !slices.Contains([]string{"", "7bit", "8bit", "binary"}, p.encoding) {
		return uncertain("a multipart has the transfer encoding %.50q", p.encoding)
	}
	mark := []byte("--" + boundary)
	for _, outer := range f.levels {
		if bytes.Equal(outer.mark, mark) {
			return uncertain("a multipart has the boundary of another that it is in")
		}
	}
	if len(f.levels) == maxDepth {
		return uncertain("it is nested deeper than %d", maxDepth)
	}
	l := level{mark: mark, fallback: "text/plain", signed: len(f.levels) == 0 && p.media.Name == "multipart/signed"}
	if p.media.Name == "multipart/digest" {
		l.fallback = "message/rfc822" // RFC 2046, 5.1.5
	}
	f.levels = append(f.levels, l)
	return nil
}

func odd(r rune) bool { return r < ' ' || r > '~' }

// hasEmptyLine: without an empty line after the header there is no place for a hash.
func (f *finder) hasEmptyLine(p *part) error {
	var end [4]byte
	from := max(p.start, p.body-4)
	n, err := f.message.ReadAt(end[:p.body-from], from)
	if int64(n) < p.body-from {
		return err
	}
	if got := string(end[:n]); got != "\r\n\r\n" && got != "\r\n" {
		return uncertain("the header of a part does not end")
	}
	return nil
}

// finish is the end of the message.
func (f *finder) finish() error {
	for _, l := range f.levels {
		if !l.closed {
			return uncertain("a multipart has no last delimiter")
		}
	}
	if f.cr {
		return uncertain("the message ends with a bare CR")
	}
	if len(f.levels) == 0 && f.leaf != nil {
		f.found = append(f.found, *f.leaf)
	}
	return nil
}
