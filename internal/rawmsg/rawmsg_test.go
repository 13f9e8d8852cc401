package rawmsg

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"runtime"
	"sync"
	"testing"
	"testing/iotest"
)

func content(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7 >> 3)
	}
	return b
}

func capture(t *testing.T, b []byte, piece int) *Message {
	t.Helper()
	w := NewWriter(t.TempDir())
	for len(b) > 0 {
		n, err := w.Write(b[:min(piece, len(b))])
		if err != nil {
			t.Fatal(err)
		}
		b = b[n:]
	}
	m, err := w.Finish()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() }) // Close has its own test
	return m
}

func TestCaptureKeepsBytesAndDigest(t *testing.T) {
	for _, size := range []int{0, 1, memory - 1, memory, memory + 1, 3*memory + 17} {
		for _, piece := range []int{1000, memory, memory + 5, 4 * memory} {
			want := content(size)
			m := capture(t, want, piece)
			got, err := io.ReadAll(io.NewSectionReader(m, 0, m.Size()))
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes in pieces of %d: %d bytes, %v", size, piece, len(got), err)
			}
			if sum, known := m.Digest(); !known || sum != sha256.Sum256(want) {
				t.Errorf("%d bytes in pieces of %d: the digest is %x, known %v", size, piece, sum, known)
			}
			if (m.file != nil) != (size > memory) {
				t.Errorf("%d bytes in pieces of %d: in a file %v", size, piece, m.file != nil)
			}
		}
	}
}

func TestMessageIsAReaderAt(t *testing.T) {
	for _, size := range []int{1000, memory + 1} { // in memory, in a file
		want := content(size)
		if err := iotest.TestReader(io.NewSectionReader(capture(t, want, 777), 0, int64(size)), want); err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

func TestFileHasNoName(t *testing.T) {
	dir := t.TempDir()
	w := NewWriter(dir)
	if _, err := w.Write(content(2 * memory)); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("the folder holds %v, %v", entries, err)
	}
	w.Discard()
	w.Discard()
	if _, err := w.Write([]byte("x")); !errors.Is(err, ErrFinished) {
		t.Errorf("writing after Discard: %v", err)
	}
}

func TestWriterEnds(t *testing.T) {
	w := NewWriter(t.TempDir())
	m, err := w.Finish()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("x")); !errors.Is(err, ErrFinished) {
		t.Errorf("writing after Finish: %v", err)
	}
	if _, err := w.Finish(); !errors.Is(err, ErrFinished) {
		t.Errorf("finishing twice: %v", err)
	}
	w.Discard()
	if err := errors.Join(m.Close(), m.Close()); err != nil {
		t.Errorf("closing twice: %v", err)
	}
}

func TestNoFolderIsAnErrorThatStays(t *testing.T) {
	w := NewWriter(t.TempDir() + "/absent")
	if _, err := w.Write(content(memory)); err != nil {
		t.Fatalf("few bytes need no file: %v", err)
	}
	if _, err := w.Write([]byte("x")); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("got %v", err)
	}
	if _, err := w.Finish(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a message that lacks bytes was finished: %v", err)
	}
}

func TestReadersDoNotDisturbEachOther(t *testing.T) {
	for _, size := range []int{1000, 2 * memory} {
		want := content(size)
		m := capture(t, want, 777)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				got, err := io.ReadAll(io.NewSectionReader(m, 0, m.Size()))
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("%d bytes: %v", len(got), err)
				}
			})
		}
		wg.Wait()
	}
}

// Memory of a capture does not grow with the message.
func TestMemoryIsBounded(t *testing.T) {
	w, piece := NewWriter(t.TempDir()), content(64<<10)
	defer w.Discard()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 320 { // 20 MiB
		if _, err := w.Write(piece); err != nil {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 4*memory {
		t.Errorf("capturing 20 MiB allocated %d bytes", got)
	}
}

func TestDigestCanBeSkipped(t *testing.T) {
	want := content(memory + 5)
	w := NewWriter(t.TempDir())
	w.SkipDigest()
	if _, err := w.Write(want); err != nil {
		t.Fatal(err)
	}
	m, err := w.Finish()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = m.Close() }()
	got, err := io.ReadAll(io.NewSectionReader(m, 0, m.Size()))
	if sum, known := m.Digest(); err != nil || !bytes.Equal(got, want) || known {
		t.Errorf("%d bytes, digest %x, %v; want the bytes and no digest", len(got), sum, err)
	}
}
