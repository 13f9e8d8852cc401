package brief

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/pec"
)

// lf makes CRLF line ends.
func lf(text string) string { return strings.ReplaceAll(text, "\n", "\r\n") }

func cutOf(t *testing.T, message string, s Settings) *Original {
	t.Helper()
	o, err := Cut(pec.Bytes([]byte(message)), s)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// TestSettings: what a hash is over, to the octet.
func TestSettings(t *testing.T) {
	conformance.Covers(t, "C172", "C173")
	message := lf("Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: application/pdf; name=x.pdf\n" +
		"Content-Transfer-Encoding: base64\n\nYW\nJj\n\n--b--\n")
	one := func(b []byte) string { s := sha1.Sum(b); return hex.EncodeToString(s[:]) }
	other := func(b []byte) string { s := sha256.Sum256(b); return hex.EncodeToString(s[:]) }
	decoded, encoded := []byte("abc"), []byte("YW\r\nJj\r\n") // the last line end is that of the delimiter
	for s, want := range map[Settings]string{
		{OverDecoded, SHA1}: one(decoded), {OverDecoded, SHA256}: other(decoded),
		{OverEncoded, SHA1}: one(encoded), {OverEncoded, SHA256}: other(encoded),
	} {
		o := cutOf(t, message, s)
		if diff := cmp.Diff([]File{{"x.pdf.hash", want}}, o.Files); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", s, diff)
		}
		if got := string(joined(t, o)); !strings.Contains(got, "\r\n\r\n"+want+"\r\n--b--") {
			t.Errorf("%+v: the hash is not all that is in the file:\n%s", s, got)
		}
	}
	for _, s := range []Settings{{}, {OverDecoded, "md5"}, {"base64", SHA1}} {
		if _, err := Cut(pec.Bytes([]byte(message)), s); err == nil || errors.Is(err, ErrUncertain) {
			t.Errorf("%+v: the error is %v, want one that says that there is no such setting", s, err)
		}
	}
}

// Hashes over what stands in the message need no decoding.
func TestEncodedNeedsNoDecoding(t *testing.T) {
	conformance.Covers(t, "C173")
	for _, field := range []string{"base64\n\nno base64!", "x-unknown\n\nx", "quoted-printable\n\n=ZZ "} {
		message := lf("Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: a/b; name=x\nContent-Transfer-Encoding: " + field + "\n--b--\n")
		if o := cutOf(t, message, Settings{OverEncoded, SHA1}); len(o.Files) != 1 {
			t.Errorf("%q: %d files", field, len(o.Files))
		}
		if _, err := Cut(pec.Bytes([]byte(message)), byDefault); !errors.Is(err, ErrUncertain) {
			t.Errorf("%q, decoded: %v, want ErrUncertain", field, err)
		}
	}
}

// TestNames: the name of a hash file is that of the file, however it is written, and the suffix.
func TestNames(t *testing.T) {
	conformance.Covers(t, "C171", "C172")
	for _, c := range []struct{ header, name string }{
		{"Content-Type: a/b; name=x.pdf", "x.pdf"},
		{"Content-Type: a/b; name=\"x y.pdf\"", "x y.pdf"},
		{"Content-Type: a/b; name=x y.pdf", "x y.pdf"},
		{"Content-Type: a/b; name=\"a\\\"b\\\\c\"", `a"b\c`},
		{"Content-Type: a/b;\n\tNAME\t=\t\"x\"", "x"},
		{"Content-Type: a/b; name*=utf-8''%C3%A8.pdf", "è.pdf"},
		{"Content-Type: a/b; name*=iso-8859-15'it'%A4.pdf", "€.pdf"},
		{"Content-Type: a/b; name*=''x%20y", "x y"},
		{"Content-Type: a/b; name*0=one; name*1=\" two\"", "one two"},
		{"Content-Type: a/b; name*1=two; name*0=one", "onetwo"},
		{"Content-Type: a/b; name*0*=utf-8'it'%C3; name*1*=%A8; name*2=%41", "è%41"},
		{"Content-Type: a/b; name*0*=utf-8'it'100%25; name*1=.pdf", "100%.pdf"},
		{"Content-Type: a/b; name=plain; name*=utf-8''better", "better"},
		{"Content-Type: a/b; name=\"=?utf-8?Q?=C3=A8?=.pdf\"", "è.pdf"},
		{"Content-Type: a/b; name==?iso-8859-1?Q?=E8?=", "è"},
		{"Content-Type: a/b; name=\"=?x-unknown?Q?=E8?=\"", "=?x-unknown?Q?=E8?="},
		{"Content-Type: a/b; name=\"\xe8.pdf\"", "è.pdf"},
		{"Content-Type: a/b; name=\"è.pdf\"", "è.pdf"},
		{"Content-Type: a/b; (a (b) comment) name=x", "x"},
		{"Content-Type: a/b; name=\"\"", "allegato"},
		{"Content-Type: message/rfc822; name=\"  \"", "messaggio.eml"},
		{"Content-Type: a/b\nContent-Disposition: attachment; filename=x", "x"},
		{"Content-Disposition: INLINE; FileName*=utf-8''x%0D%0AX-Evil%3A%20y", "x  X-Evil: y"},
		{"Content-Type: a/b; name=one\nContent-Disposition: attachment; filename=two", "two"},
		{"Content-Type: a/b; name=one\nContent-Disposition: attachment; filename=\"\"", "one"},
		{"Content-Type: a/b; name=\"" + strings.Repeat("è", 200) + "\"", strings.Repeat("è", 200)},
	} {
		message := lf("Content-Type: multipart/mixed; boundary=b\n\n--b\n" + c.header + "\n\nx\n--b--\n")
		o := cutOf(t, message, byDefault)
		if len(o.Files) != 1 || o.Files[0].Name != c.name+".hash" {
			t.Errorf("%q: %+v, want %q", c.header, o.Files, c.name+".hash")
			continue
		}
		// What is written reads the same.
		text := string(joined(t, o))
		again := cutOf(t, text, byDefault)
		if again.Files[0].Name != c.name+".hash.hash" || strings.Contains(text, "\nX-Evil") {
			t.Errorf("%q: what is written reads %q:\n%s", c.header, again.Files[0].Name, text)
		}
		for line := range strings.SplitSeq(text, "\r\n") {
			if len(line) > 998 || strings.ContainsFunc(line, func(r rune) bool { return r > '~' }) {
				t.Errorf("%q: written as %q", c.header, line)
			}
		}
	}
}

// Nobody is made to work without end.
func TestLimits(t *testing.T) {
	deep := func(n int) string {
		var head, tail strings.Builder
		for i := range n {
			fmt.Fprintf(&head, "Content-Type: multipart/mixed; boundary=b%d.\n\n--b%d.\n", i, i)
		}
		for i := n - 1; i >= 0; i-- {
			fmt.Fprintf(&tail, "\n--b%d.--\n", i)
		}
		return head.String() + "\nx" + tail.String()
	}
	many := func(n int) string {
		return "Content-Type: multipart/mixed; boundary=b\n\n" + strings.Repeat("--b\nContent-Type: a/b; name=x\n\nx\n", n) + "--b--\n"
	}
	named := func(n int) string { return "Content-Type: a/b; name=" + strings.Repeat("x", n) + "\n\nx" }
	for name, c := range map[string]struct{ within, over string }{
		"depth": {deep(maxDepth), deep(maxDepth + 1)},
		"parts": {many(maxParts), many(maxParts + 1)},
		"names": {named(maxName), named(maxName + 1)},
		"boundary": {"Content-Type: multipart/a; boundary=" + strings.Repeat("b", 200) + "\n\n--" + strings.Repeat("b", 200) + "\n\n\n--" + strings.Repeat("b", 200) + "--\n",
			"Content-Type: multipart/a; boundary=" + strings.Repeat("b", 201) + "\n\n--" + strings.Repeat("b", 201) + "\n\n\n--" + strings.Repeat("b", 201) + "--\n"},
		"delimiter": {many(1), strings.Replace(many(1), "--b--\n", "--b--"+strings.Repeat(" ", 40<<10)+"\n", 1)},
	} {
		if _, err := Cut(pec.Bytes([]byte(lf(c.within))), byDefault); err != nil {
			t.Errorf("%s, within: %v", name, err)
		}
		if _, err := Cut(pec.Bytes([]byte(lf(c.over))), byDefault); !errors.Is(err, ErrUncertain) {
			t.Errorf("%s, over: %v, want ErrUncertain", name, err)
		}
	}
}

// repeated is a long message that takes no memory: line over and over, between head and tail.
type repeated struct {
	head, line, tail string
	times            int64
	fails            int64 // offset of a read error; 0 is none
	ends             int64 // offset at which the file is cut off; 0 is none
}

var errDisk = errors.New("the disk fails")

func (r repeated) Size() int64 {
	return int64(len(r.head)+len(r.tail)) + r.times*int64(len(r.line))
}

func (r repeated) ReadAt(p []byte, off int64) (int, error) {
	body := r.times * int64(len(r.line))
	for n := 0; n < len(p); {
		at := off + int64(n)
		switch {
		case r.fails > 0 && at >= r.fails:
			return n, errDisk
		case at >= r.Size(), r.ends > 0 && at >= r.ends:
			return n, io.EOF
		case at < int64(len(r.head)):
			n += copy(p[n:], r.head[at:])
		case at < int64(len(r.head))+body:
			n += copy(p[n:min(int64(len(p)), int64(n)+int64(len(r.head))+body-at)], r.line[(at-int64(len(r.head)))%int64(len(r.line)):])
		default:
			n += copy(p[n:], r.tail[at-int64(len(r.head))-body:])
		}
	}
	return len(p), nil
}

func long(encoding, line string, times int64) repeated {
	return repeated{head: lf("From: a@b.example\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\ntesto\n--b\nContent-Type: a/b; name=x\n" +
		"Content-Transfer-Encoding: " + encoding + "\n\n"), line: line, times: times, tail: "\r\n--b--\r\n"}
}

// TestAHundredMegabytesTakeNoMemory: finding and hashing stream, whatever is hashed.
func TestAHundredMegabytesTakeNoMemory(t *testing.T) {
	conformance.Covers(t, "C171")
	const limit = 1 << 20
	for _, encoding := range []string{"base64", "quoted-printable", "binary"} {
		for _, s := range []Settings{byDefault, {OverEncoded, SHA256}} {
			line := strings.Repeat("QUJD", 19) + "\r\n"
			message := long(encoding, line, 100_000_000/int64(len(line)))
			var o *Original
			var err error
			got := allocated(func() { o, err = Cut(message, s) })
			if err != nil || len(o.Files) != 1 {
				t.Fatalf("%s: %v", encoding, err)
			}
			if got > limit {
				t.Errorf("%s, %+v: cutting %d bytes allocates %d, more than %d", encoding, s, message.Size(), got, limit)
			}
		}
	}
}

// One line without end takes no memory either.
func TestALongLineTakesNoMemory(t *testing.T) {
	message := long("base64", "QUJD", 10_000_000)
	var err error
	if got := allocated(func() { _, err = Cut(message, byDefault) }); err != nil || got > 1<<20 {
		t.Errorf("%v, %d bytes allocated", err, got)
	}
}

func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestReadErrorsAreNoFindings: a message that cannot be read says nothing of what is in it, and a file that is shorter
// than it should be has no hash.
func TestReadErrorsAreNoFindings(t *testing.T) {
	whole := long("base64", strings.Repeat("QUJD", 19)+"\r\n", 2000)
	for at := int64(1); at < whole.Size(); at += 7001 {
		fails, ends := whole, whole
		fails.fails, ends.ends = at, at
		if _, err := Cut(fails, byDefault); !errors.Is(err, errDisk) || errors.Is(err, ErrUncertain) {
			t.Errorf("a read error at %d: %v", at, err)
		}
		if _, err := Cut(ends, byDefault); err == nil {
			t.Errorf("a message that ends at %d of %d was cut", at, whole.Size())
		}
	}
}

func BenchmarkCut100MB(b *testing.B) {
	line := strings.Repeat("QUJD", 19) + "\r\n"
	message := long("base64", line, 100_000_000/int64(len(line)))
	b.SetBytes(message.Size())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Cut(message, byDefault); err != nil {
			b.Fatal(err)
		}
	}
}

// shrinking is a message whose file is cut off once it was read to its end.
type shrinking struct {
	repeated
	seen *bool
}

func (s shrinking) ReadAt(p []byte, off int64) (int, error) {
	if *s.seen && off+int64(len(p)) > s.Size()/2 {
		n, _ := s.repeated.ReadAt(p[:max(0, s.Size()/2-off)], off) // it does not fail
		return n, io.EOF
	}
	*s.seen = *s.seen || off+int64(len(p)) >= s.Size()
	return s.repeated.ReadAt(p, off)
}

// A file that is shorter when it is hashed than when it was found has no hash either.
func TestAShrinkingFileHasNoHash(t *testing.T) {
	message := shrinking{long("base64", strings.Repeat("QUJD", 19)+"\r\n", 2000), new(bool)}
	if o, err := Cut(message, Settings{OverEncoded, SHA1}); err == nil || errors.Is(err, ErrUncertain) {
		t.Errorf("%+v, %v", o, err)
	}
}

// A line may end anywhere in the buffer, also between CR and LF.
func TestLineEndsAtTheEndOfTheBuffer(t *testing.T) {
	for n := bufferSize - 4; n < bufferSize+4; n++ {
		message := lf("Content-Type: multipart/mixed; boundary=b\n\n--b\n\n" + strings.Repeat("x", n) +
			"\n--b\nContent-Type: a/b; name=x\n\nabc\n--b--\n")
		if o := cutOf(t, message, byDefault); len(o.Files) != 1 || o.Files[0].Sum != "a9993e364706816aba3e25717850c26c9cd0d89d" {
			t.Errorf("a line of %d bytes: %+v", n, o.Files)
		}
		bare := strings.Replace(message, "x\r\n--b\r\n", "x\r--b\r\n", 1)
		if _, err := Cut(pec.Bytes([]byte(bare)), byDefault); !errors.Is(err, ErrUncertain) {
			t.Errorf("a bare CR after %d bytes: %v", n, err)
		}
	}
}
