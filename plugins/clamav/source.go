package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"github.com/ceralacca/ceralacca/plugins"
)

// source is the content of one call. A file can be opened several times, a stream once.
type source struct {
	content *plugins.Content
	opened  bool
}

// errSpent says that a stream was read already.
var errSpent = errors.New("the content came as a stream, which cannot be read twice")

// more says whether open can succeed.
func (s *source) more() bool { return s.content.File() != "" || !s.opened }

func (s *source) open() (*reading, error) {
	if !s.more() {
		return nil, errSpent
	}
	s.opened = true
	r := &reading{content: s.content}
	var from io.Reader = s.content
	if name := s.content.File(); name != "" {
		file, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		r.file, from = file, file
	}
	r.from = asMail(&counter{from, &r.read})
	return r, nil
}

// reading is one time that the content is read.
type reading struct {
	content *plugins.Content
	file    *os.File // nil for a stream
	from    io.Reader
	read    int64
}

// Read implements io.Reader.
func (r *reading) Read(p []byte) (int, error) { return r.from.Read(p) }

func (r *reading) close() {
	if r.file != nil {
		_ = r.file.Close() // it was only read
	}
}

// finish says whether the whole content was read.
func (r *reading) finish() error {
	if r.read != r.content.Size() {
		return fmt.Errorf("%d of %d bytes of the message were read", r.read, r.content.Size())
	}
	if r.file != nil {
		r.content.AllRead()
	}
	return nil
}

// counter counts what is read.
type counter struct {
	io.Reader
	read *int64
}

// Read implements io.Reader.
func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	*c.read += int64(n)
	return n, err
}

// field is the beginning of a header field.
var field = regexp.MustCompile(`^[!-9;-~]+[ \t]*:`)

// mark makes clamd see a message.
const mark = "Received: by ceralacca\r\n"

// asMail makes sure that clamd takes a message for one: it knows it by the names of some fields, and where none of them
// stands at the beginning it looks at the text and decodes nothing. What does not begin with a field is no message.
func asMail(from io.Reader) io.Reader {
	const enough = 4 << 10
	buffered := bufio.NewReaderSize(from, enough)
	begin, _ := buffered.Peek(enough) // the error comes again when it is read
	if !field.Match(begin) {
		return buffered
	}
	return io.MultiReader(strings.NewReader(mark), buffered)
}
