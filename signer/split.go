package signer

import (
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/signer/internal/multipart"
)

// splitter runs a multipart.Scan over a message and hashes what lies between its first two delimiters.
type splitter struct {
	src    pec.Source
	scan   *multipart.Scan
	hash   hash.Hash
	hashed int64 // offset up to which the content was hashed
}

// run keeps what is not settled yet at the front of the buffer, so that nothing is read twice.
func (s *splitter) run() error {
	buf := make([]byte, multipart.MaxUnsettled+bufferFor(s.src))
	kept := 0
	for pos := int64(0); pos < s.src.Size(); {
		n, err := readAt(s.src, buf[kept:], pos)
		if err != nil {
			return err
		}
		window := buf[:kept+n]
		base := pos - int64(kept)
		if err := s.scan.Feed(window[kept:]); err != nil {
			return fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		s.hashWindow(window, base)
		pos += int64(n)
		kept = copy(buf, window[max(s.scan.Settled(), base, 0)-base:])
	}
	if err := s.scan.Finish(); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return nil
}

// hashWindow hashes the settled part of the content within a window that begins at offset base.
func (s *splitter) hashWindow(window []byte, base int64) {
	d := s.scan.Delimiters()
	if len(d) == 0 {
		return
	}
	from, to := max(s.hashed, d[0].End), s.scan.Settled()
	if len(d) > 1 {
		to = d[1].Start - 2
	}
	if from < to {
		_, _ = s.hash.Write(window[from-base : to-base]) // a hash never fails
		s.hashed = to
	}
}

// watched remembers that a source failed.
type watched struct {
	pec.Source
	err error
}

func (w *watched) ReadAt(p []byte, off int64) (int, error) {
	n, err := w.Source.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		w.err = err
	}
	return n, err
}
