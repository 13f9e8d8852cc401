package pec

import (
	"errors"
	"runtime"
	"strings"
	"testing"
)

// repeated is a long Source that takes no memory: line over and over, between head and tail.
type repeated struct {
	head, line, tail string
	times            int64
}

func (r repeated) Size() int64 {
	return int64(len(r.head)+len(r.tail)) + r.times*int64(len(r.line))
}

func (r repeated) ReadAt(p []byte, off int64) (int, error) {
	for i := range p {
		at := off + int64(i)
		body := r.times * int64(len(r.line))
		switch {
		case at < int64(len(r.head)):
			p[i] = r.head[at]
		case at < int64(len(r.head))+body:
			p[i] = r.line[(at-int64(len(r.head)))%int64(len(r.line))]
		case at < r.Size():
			p[i] = r.tail[at-int64(len(r.head))-body]
		default:
			return i, errors.New("beyond the end")
		}
	}
	return len(p), nil
}

func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// Reading keeps nothing of the original: memory does not grow with the message.
func TestMemoryDoesNotGrowWithTheMessage(t *testing.T) {
	big := repeated{
		head: "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n--b\r\nContent-Type: message/rfc822; name=postacert.eml\r\n\r\nA: b\r\n\r\n",
		line: strings.Repeat("QUJD", 19) + "\r\n", times: 200_000, tail: "--b--\r\n",
	}
	var parts *Parts
	var err error
	got := allocated(func() { parts, err = ReadParts(big) })
	if err != nil || parts.Original.Size() < 15_000_000 {
		t.Fatalf("%+v, %v", parts, err)
	}
	if got > 1<<20 {
		t.Errorf("reading %d bytes allocated %d", big.Size(), got)
	}
}
