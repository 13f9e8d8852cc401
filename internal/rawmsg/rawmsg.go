package rawmsg

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// memory is how many bytes of a message stay in memory. Eight messages at a time may add 8 MiB to a daemon, other
// buffers included.
const memory = 32 << 10

// ErrFinished says that a Writer has been finished or discarded.
var ErrFinished = errors.New("rawmsg: the message is complete")

// Writer captures a message. It is not safe for concurrent use.
type Writer struct {
	dir    string
	buffer []byte
	file   *os.File // holds all the bytes but those of buffer; nil while they are few
	size   int64
	digest hash.Hash // nil: nobody wants it
	err    error     // the first failure, or ErrFinished
}

// NewWriter makes a Writer that puts long messages into an unlinked file in the folder dir, which MUST NOT be in memory
// (tmpfs) where memory is what one wants to save.
func NewWriter(dir string) *Writer {
	return &Writer{dir: dir, digest: sha256.New()}
}

// SkipDigest saves the work of hashing: the digest of the Message is then not known. It MUST come before the first Write.
func (w *Writer) SkipDigest() { w.digest = nil }

// Write implements io.Writer. After an error all further calls return it.
func (w *Writer) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	if len(w.buffer)+len(p) > memory {
		if err := w.spill(p); err != nil {
			w.Discard()
			w.err = err
			return 0, err
		}
	} else {
		w.buffer = append(w.buffer, p...)
	}
	if w.digest != nil {
		w.digest.Write(p) // never fails
	}
	w.size += int64(len(p))
	return len(p), nil
}

// spill moves the buffer, and then p, to the file.
func (w *Writer) spill(p []byte) error {
	if w.file == nil {
		file, err := unlinked(w.dir)
		if err != nil {
			return err
		}
		w.file = file
	}
	for _, b := range [][]byte{w.buffer, p} {
		if _, err := w.file.Write(b); err != nil {
			return fmt.Errorf("rawmsg: %w", err)
		}
	}
	w.buffer = w.buffer[:0]
	return nil
}

// unlinked makes a file without a name: nothing remains of it, however the process ends.
func unlinked(dir string) (*os.File, error) {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("rawmsg: a file in %s: %w", dir, err)
	}
	return os.NewFile(uintptr(fd), dir), nil
}

// Size is the number of bytes written.
func (w *Writer) Size() int64 { return w.size }

// Finish ends the capture; the Message then owns the bytes and the caller MUST close it.
func (w *Writer) Finish() (*Message, error) {
	if w.err != nil {
		return nil, w.err
	}
	m := &Message{size: w.size, file: w.file, memory: w.buffer}
	if w.file != nil {
		if _, err := w.file.Write(w.buffer); err != nil {
			w.Discard()
			return nil, fmt.Errorf("rawmsg: %w", err)
		}
		m.memory = nil
	}
	if w.digest != nil {
		w.digest.Sum(m.digest[:0])
		m.hashed = true
	}
	w.buffer, w.file, w.err = nil, nil, ErrFinished
	return m, nil
}

// Discard frees what was captured. It does nothing after Finish, and may be called more than once.
func (w *Writer) Discard() {
	if w.file != nil {
		_ = w.file.Close() // an unlinked file: nothing is lost
	}
	w.buffer, w.file = nil, nil
	if w.err == nil {
		w.err = ErrFinished
	}
}

// Message is a captured message. It is immutable and safe for concurrent use.
type Message struct {
	size   int64
	digest [sha256.Size]byte
	hashed bool // digest is known
	memory []byte
	file   *os.File // nil when the bytes are in memory
	once   sync.Once
	err    error
}

var _ io.ReaderAt = (*Message)(nil)

// ReadAt implements io.ReaderAt.
func (m *Message) ReadAt(p []byte, off int64) (int, error) {
	if m.file != nil {
		return m.file.ReadAt(p, off)
	}
	if off < 0 {
		return 0, errors.New("rawmsg: negative offset")
	}
	if off >= m.size {
		return 0, io.EOF
	}
	n := copy(p, m.memory[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Size is the number of bytes.
func (m *Message) Size() int64 { return m.size }

// Digest is the SHA-256 of the bytes; known is false after SkipDigest.
func (m *Message) Digest() (sum [sha256.Size]byte, known bool) { return m.digest, m.hashed }

// Close frees the file. The message MUST NOT be read afterwards. It may be called more than once.
func (m *Message) Close() error {
	m.once.Do(func() {
		if m.file != nil {
			m.err = m.file.Close()
		}
	})
	return m.err
}
