package signer

import (
	"context"
	"io"
	"runtime"
	"testing"

	"github.com/ceralacca/ceralacca/pec"
)

// pattern is a message text of any size that takes no memory: lines of 78 bytes.
type pattern int64

const patternLine = "this line stands for all the others of a message that is as long as it gets..\r\n"

func (p pattern) Size() int64 { return int64(p) }

func (p pattern) ReadAt(b []byte, off int64) (int, error) {
	n := 0
	for n < len(b) && off+int64(n) < int64(p) {
		at := int(off+int64(n)) % len(patternLine)
		n += copy(b[n:min(int64(len(b)), int64(p)-off)], patternLine[at:])
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// chain is several sources one after the other.
type chain []pec.Source

func (c chain) Size() (n int64) {
	for _, s := range c {
		n += s.Size()
	}
	return n
}

func (c chain) ReadAt(b []byte, off int64) (int, error) {
	read := 0
	for _, s := range c {
		if off >= s.Size() {
			off -= s.Size()
			continue
		}
		n, err := s.ReadAt(b[read:min(int64(len(b)), int64(read)+s.Size()-off)], off)
		if read += n; read == len(b) {
			return read, nil
		}
		if err != nil && err != io.EOF {
			return read, err
		}
		off = 0
	}
	return read, io.EOF
}

func bigArtefact(lines int64) *pec.Artefact {
	a := testArtefact(testContent)
	a.Content = []pec.Source{pec.Bytes([]byte("Content-Type: text/plain\r\n\r\n")), pattern(lines * int64(len(patternLine)))}
	return a
}

// bigMessage is a sealed message whose content is made while it is read.
func bigMessage(t testing.TB, p *party, lines int64) pec.Source {
	t.Helper()
	a := bigArtefact(lines)
	s, err := draft(t, a).SealTo(context.Background(), nil, p.key, now)
	if err != nil {
		t.Fatal(err)
	}
	var head countingBuffer
	if _, err := s.Header().WriteTo(&head); err != nil {
		t.Fatal(err)
	}
	head = append(head, "\r\n"+s.opening()...)
	return chain(append(append([]pec.Source{pec.Bytes(head)}, a.Content...), pec.Bytes([]byte(s.closing()))))
}

type countingBuffer []byte

func (b *countingBuffer) Write(p []byte) (int, error) {
	*b = append(*b, p...)
	return len(p), nil
}

// allocated returns how many bytes f allocates, whether or not they are free again.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestAHundredMegabytesTakeNoMemory: sealing, resuming, writing and opening stream.
func TestAHundredMegabytesTakeNoMemory(t *testing.T) {
	const lines, limit = 100_000_000 / int64(len(patternLine)), 2 << 20
	p := newParty(t)
	ctx := context.Background()
	message := bigMessage(t, p, lines)
	var s *Sealed
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"sealing", func() (err error) {
			s, err = draft(t, bigArtefact(lines)).SealTo(ctx, io.Discard, p.key, now)
			return err
		}},
		{"resuming", func() error {
			_, err := draft(t, bigArtefact(lines)).Resume(s.CMS())
			return err
		}},
		{"writing", func() error { return s.WriteBody(io.Discard) }},
		{"opening", func() error {
			_, err := Open(message)
			return err
		}},
	} {
		var err error
		if got := allocated(func() { err = step.do() }); got > limit {
			t.Errorf("%s a message of %d bytes allocates %d bytes, more than %d", step.name, message.Size(), got, limit)
		}
		if err != nil {
			t.Errorf("%s: %v", step.name, err)
		}
	}
}

func BenchmarkSeal30MB(b *testing.B) {
	p := newParty(b)
	const lines = 30_000_000 / int64(len(patternLine))
	b.SetBytes(lines * int64(len(patternLine)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := draft(b, bigArtefact(lines)).SealTo(context.Background(), io.Discard, p.key, now); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen30MB(b *testing.B) {
	p := newParty(b)
	message := bigMessage(b, p, 30_000_000/int64(len(patternLine)))
	b.SetBytes(message.Size())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Open(message); err != nil {
			b.Fatal(err)
		}
	}
}
