package lda

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// What undotted makes of a message does not depend on how it comes in pieces.
func TestUndotted(t *testing.T) {
	for name, c := range map[string]struct{ wire, want, beyond string }{
		"empty":           {".\r\n", "", ""},
		"plain":           {"a\r\nb\r\n.\r\n", "a\r\nb\r\n", ""},
		"dots":            {"..\r\n..a\r\n...\r\n.\r\n", ".\r\n.a\r\n..\r\n", ""},
		"a dot in a line": {"a.\r\nb\n.\r\nc\r.\r\n.\r\n", "a.\r\nb\n.\r\nc\r.\r\n", ""},
		"empty lines":     {"\r\n\r\n..\r\n\r\n.\r\n", "\r\n\r\n.\r\n\r\n", ""},
		"a command after": {"a\r\n.\r\nQUIT\r\n", "a\r\n", "QUIT\r\n"},
		"long":            {strings.Repeat("..x\r\n", 50_000) + ".\r\n", strings.Repeat(".x\r\n", 50_000), ""},
	} {
		for pieces, reader := range map[string]io.Reader{
			"at once": strings.NewReader(c.wire), "by bytes": iotest.OneByteReader(strings.NewReader(c.wire)),
			"by halves": iotest.HalfReader(strings.NewReader(c.wire)),
		} {
			var got bytes.Buffer
			beyond, err := undotted(&got, reader, make([]byte, 4096))
			rest, _ := io.ReadAll(reader)
			if err != nil || got.String() != c.want || string(beyond)+string(rest) != c.beyond || beyond == nil {
				t.Errorf("%s %s: %.60q beyond %q, %v; want %.60q beyond %q", name, pieces, got.String(), beyond, err, c.want, c.beyond)
			}
		}
	}
}

func TestUndottedFails(t *testing.T) {
	if beyond, err := undotted(io.Discard, strings.NewReader("a\r\n."), make([]byte, 64)); beyond != nil || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a connection that ends: %q, %v", beyond, err)
	}
	full := errors.New("disk full")
	r := strings.NewReader(strings.Repeat("line\r\n", 100) + ".\r\nQUIT\r\n")
	beyond, err := undotted(failing{full}, r, make([]byte, 64))
	rest, _ := io.ReadAll(r)
	if !errors.Is(err, full) || string(beyond)+string(rest) != "QUIT\r\n" {
		t.Errorf("a writer that fails: %q, %v", beyond, err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// Only what waits for the answer to DATA is taken from the connection itself.
func TestCommandsEndInData(t *testing.T) {
	for name, c := range map[string]struct {
		reads []string
		want  bool
	}{
		"alone":                 {[]string{"LHLO x\r\n", "DATA\r\n"}, true},
		"after others":          {[]string{"LHLO x\r\n", "MAIL FROM:<data@x>\r\nRCPT TO:<y@x>\r\ndata\r\n"}, true},
		"with content":          {[]string{"LHLO x\r\n", "DATA\r\nSubject: x\r\n"}, false},
		"content that ends so":  {[]string{"LHLO x\r\n", "DATA\r\nDATA\r\n"}, false},
		"in two pieces":         {[]string{"LHLO x\r\n", "DA", "TA\r\n"}, false},
		"pieces, and content":   {[]string{"LHLO x\r\n", "DA", "TA\r\nx\r\nDATA\r\n"}, false},
		"at the very beginning": {[]string{"DATA\r\n"}, true},
	} {
		var got commands
		for _, read := range c.reads {
			got = got.then([]byte(read))
		}
		if got.endInData != c.want {
			t.Errorf("%s: %t, want %t", name, got.endInData, c.want)
		}
	}
}
