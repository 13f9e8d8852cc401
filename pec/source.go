package pec

import (
	"bytes"
	"io"
)

// Source is an immutable sequence of bytes: a message, or a piece of one. Implementations are safe for concurrent use.
type Source interface {
	io.ReaderAt
	// Size is the number of bytes.
	Size() int64
}

var _ Source = (*io.SectionReader)(nil)

// Bytes makes a Source of b, which MUST NOT be changed afterwards.
func Bytes(b []byte) Source {
	return io.NewSectionReader(bytes.NewReader(b), 0, int64(len(b)))
}

// Section is the piece of s that begins at offset off and is n bytes long; the caller keeps it within s.
func Section(s Source, off, n int64) Source {
	return io.NewSectionReader(s, off, n)
}

// reader reads a Source from its beginning.
func reader(s Source) *io.SectionReader {
	return io.NewSectionReader(s, 0, s.Size())
}
