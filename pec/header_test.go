package pec

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadHeader(t *testing.T) {
	const text = "Received: by a\r\n\tfor b\r\nX-Odd :v\r\nSubject:  folded\r\n  twice\r\n \r\nEMPTY:\r\n\r\nbody\r\n"
	h, body, err := ReadHeader(Bytes([]byte(text)), 1000)
	if err != nil {
		t.Fatal(err)
	}
	want := Header{
		{"Received", " by a\r\n\tfor b"}, {"X-Odd ", "v"}, {"Subject", "  folded\r\n  twice\r\n "}, {"EMPTY", ""},
	}
	if diff := cmp.Diff(want, h); diff != "" {
		t.Error(diff)
	}
	if text[body:] != "body\r\n" {
		t.Errorf("the body begins at %d", body)
	}
	var b bytes.Buffer
	if n, err := h.WriteTo(&b); err != nil || b.String()+"\r\n" != text[:body] || n != int64(b.Len()) {
		t.Errorf("wrote %d bytes %q, %v", n, b.String(), err)
	}
	if got := h.Get("subject"); got != "folded  twice" {
		t.Errorf("Get = %q", got)
	}
	if h.Get("x-odd") != "v" || !h.Has("Empty") || h.Has("To") || h.Get("To") != "" || len(h.Values("received")) != 1 {
		t.Error("names are not compared without case and space")
	}
	if rest := h.Without("SUBJECT", "x-odd"); len(rest) != 2 || len(h) != 4 {
		t.Errorf("Without left %v of %v", rest, h)
	}
}

func TestReadHeaderEdges(t *testing.T) {
	for _, tt := range []struct {
		text   string
		limit  int
		fields int
		body   int64
		err    error
	}{
		{"", 100, 0, 0, nil},
		{"\r\nbody", 100, 0, 2, nil},
		{"A: b", 100, 1, 4, nil},
		{"A: b\nC: d\n\nbody", 100, 2, 11, nil},
		{"A: b\r\n\r\n", 8, 1, 8, nil},
		{"A: b\r\n\r\nbody that is long", 8, 1, 8, nil},
		{"A: b\r\n\r\n", 7, 0, 0, ErrHeaderTooBig},
		{"A: b\r\nB: c\r\n", 8, 0, 0, ErrHeaderTooBig},
		{" folded\r\n\r\n", 100, 0, 0, ErrHeader},
		{"A: b\r\njunk\r\n\r\n", 100, 0, 0, ErrHeader},
		{": b\r\n\r\n", 100, 0, 0, ErrHeader},
		{"A b: c\r\n\r\n", 100, 0, 0, ErrHeader},
	} {
		h, body, err := ReadHeader(Bytes([]byte(tt.text)), tt.limit)
		if len(h) != tt.fields || body != tt.body || !errors.Is(err, tt.err) {
			t.Errorf("ReadHeader(%q, %d) = %v, %d, %v; want %d fields, %d, %v", tt.text, tt.limit, h, body, err, tt.fields, tt.body, tt.err)
		}
	}
}

type brokenSource struct{ err error }

func (b brokenSource) ReadAt([]byte, int64) (int, error) { return 0, b.err }
func (brokenSource) Size() int64                         { return 100 }

func TestReadHeaderReportsTroubleOfReading(t *testing.T) {
	trouble := errors.New("disk")
	if _, _, err := ReadHeader(brokenSource{trouble}, 100); !errors.Is(err, trouble) {
		t.Errorf("got %v", err)
	}
}

func TestGetIsOneLine(t *testing.T) {
	h := Header{{"A", " x\r\n\r\ny\nz\rw "}}
	if got := h.Get("a"); strings.ContainsAny(got, "\r\n") {
		t.Errorf("got %q", got)
	}
}

func FuzzReadHeader(f *testing.F) {
	for _, s := range []string{"A: b\r\n c\r\n\r\nbody", "A:b\nC:d\n\n", " x", "From me\r\n", "A:\r\n\r\n", "A:\r"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, body, err := ReadHeader(Bytes(b), 1<<16)
		if err != nil {
			return
		}
		if body > int64(len(b)) {
			t.Fatalf("the body begins at %d of %d", body, len(b))
		}
		var out bytes.Buffer
		_, _ = h.WriteTo(&out) // a buffer does not fail
		again, _, err := ReadHeader(Bytes(append(out.Bytes(), "\r\n"...)), 1<<18)
		if err != nil || !cmp.Equal(h, again) {
			t.Fatalf("%q reads as %q, and that again as %q, %v", b, h, again, err)
		}
		for _, field := range h {
			if strings.ContainsAny(h.Get(field.Name), "\r\n") {
				t.Fatalf("%q is no line", h.Get(field.Name))
			}
		}
	})
}

var _ io.WriterTo = Header(nil)
