package plugins

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// ErrShort says that the host sent less than it had announced.
var ErrShort = errors.New("the content is shorter than announced")

// Content is a message on its way to a plug-in. It is read once, from its beginning, and is good until the call returns.
// It is not safe for concurrent use.
type Content struct {
	// Metadata is empty unless the plug-in needs it.
	Metadata Metadata

	size, read int64
	file       string
	source     io.Reader
}

// NewContent makes a content of size bytes from r, for an author's own tests.
func NewContent(r io.Reader, size int64) *Content { return &Content{size: size, source: r} }

// Size is how many bytes the whole content has.
func (c *Content) Size() int64 { return c.size }

// File is the path of a file that holds the content, to be read and not changed; empty when the content is streamed.
func (c *Content) File() string { return c.file }

// Read implements io.Reader. The error is [ErrShort] where the content ends too early, never io.EOF.
func (c *Content) Read(p []byte) (int, error) {
	n, err := c.source.Read(p)
	c.read += int64(n)
	switch {
	case c.read > c.size:
		return n, fmt.Errorf("%w: it is longer, more than %d bytes", ErrShort, c.size)
	case errors.Is(err, io.EOF) && c.read < c.size:
		return n, fmt.Errorf("%w: %d of %d bytes", ErrShort, c.read, c.size)
	}
	return n, err
}

// AllRead says that an engine has read the whole [Content.File] by itself.
func (c *Content) AllRead() { c.read = c.size }

// whole says whether everything was read, looking at the end when that is where we are.
func (c *Content) whole() bool {
	if c.read < c.size {
		return false
	}
	if c.file != "" {
		return true
	}
	n, err := c.Read(make([]byte, 1))
	return n == 0 && errors.Is(err, io.EOF)
}

// openFile makes the content of a file that was handed over.
func openFile(path string, size int64) (*Content, func() error, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	return &Content{size: size, file: path, source: file}, file.Close, nil
}

// pieces reads chunks as they come.
type pieces struct {
	next func() ([]byte, error) // io.EOF at the end
	rest []byte
}

// Read implements io.Reader.
func (p *pieces) Read(b []byte) (int, error) {
	for len(p.rest) == 0 {
		chunk, err := p.next()
		if err != nil {
			return 0, err
		}
		p.rest = chunk
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}
