package signer

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/ceralacca/ceralacca/pec"
)

// bufferSize, in bytes, is what reading a message takes at a time: large enough that reading costs nothing beside
// hashing, small enough for eight messages at once.
const bufferSize = 32 << 10

// bufferFor returns a length of buffer that is no larger than what is read through it.
func bufferFor(sources ...pec.Source) int {
	largest := int64(0)
	for _, src := range sources {
		largest = max(largest, src.Size())
	}
	return int(min(bufferSize, largest))
}

// stream hands a stretch of a source to take, piece by piece in the same buffer; it stops when ctx ends.
func stream(ctx context.Context, src pec.Source, buf []byte, take func([]byte) error) error {
	for off := int64(0); off < src.Size(); {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := readAt(src, buf, off)
		if err != nil {
			return err
		}
		if err := take(buf[:n]); err != nil {
			return err
		}
		off += int64(n)
	}
	return nil
}

// readAt fills buf from an offset before the end of src, with less only when src ends.
func readAt(src pec.Source, buf []byte, off int64) (int, error) {
	want := min(int64(len(buf)), src.Size()-off)
	n, err := src.ReadAt(buf[:want], off)
	if int64(n) == want {
		return n, nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, &readError{err}
}

// readError says that the bytes could not be had, which says nothing of what they are.
type readError struct{ err error }

func (e *readError) Error() string { return fmt.Sprintf("reading the message: %v", e.err) }
func (e *readError) Unwrap() error { return e.err }

// digestSource hashes the whole of a source.
func digestSource(src pec.Source, algorithm crypto.Hash) ([]byte, error) {
	h := algorithm.New()
	err := stream(context.Background(), src, make([]byte, bufferFor(src)), writeTo(h))
	return h.Sum(nil), err
}

func writeTo(h hash.Hash) func([]byte) error {
	return func(p []byte) error {
		_, _ = h.Write(p) // a hash never fails
		return nil
	}
}
