package pec

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/ceralacca/ceralacca/pec/internal/rfc822"
)

// Field is one header field, byte for byte.
type Field struct {
	Name  string // as written, without the colon
	Value string // the bytes after the colon: leading space and folding included, the final CRLF not
}

// Header is a header section: its fields in order. Methods do not change it.
type Header []Field

// Errors of ReadHeader.
var (
	ErrHeader       = errors.New("malformed header")
	ErrHeaderTooBig = errors.New("header over the limit")
)

// ReadHeader reads the header section at the beginning of src, of at most limit bytes, and returns the offset of the
// body, after the empty line. A line that is neither a field nor a continuation is ErrHeader. Lines may end in LF
// alone. Without an empty line all of src is header. Fields that nobody knows are fields like others. [C260]
func ReadHeader(src Source, limit int) (h Header, body int64, err error) {
	r := bufio.NewReader(io.LimitReader(reader(src), int64(limit)+1))
	var field []byte // the field so far, with its line ends
	for {
		line, err := r.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, 0, err
		}
		if body += int64(len(line)); body > int64(limit) {
			return nil, 0, ErrHeaderTooBig
		}
		if len(line) > 0 && (line[0] == ' ' || line[0] == '\t') && field != nil {
			field = append(field, line...)
			continue
		}
		if field != nil {
			f, err := parseField(trimEnd(field))
			if err != nil {
				return nil, 0, err
			}
			h = append(h, f)
		}
		if len(trimEnd(line)) == 0 {
			return h, body, nil
		}
		field = line
	}
}

// trimEnd takes one line end away.
func trimEnd(line []byte) []byte {
	line, _ = bytes.CutSuffix(line, []byte("\n"))
	line, _ = bytes.CutSuffix(line, []byte("\r"))
	return line
}

func parseField(raw []byte) (Field, error) {
	name, value, found := strings.Cut(string(raw), ":")
	f := Field{Name: name, Value: value}
	if !found || !isFieldName(f.name()) {
		return Field{}, fmt.Errorf("%w: %.60q is no field", ErrHeader, raw)
	}
	return f, nil
}

// name is Name without the space that the obsolete syntax allows before the colon.
func (f Field) name() string { return strings.TrimRight(f.Name, " \t") }

// Is says whether the field has that name, in whatever case.
func (f Field) Is(name string) bool { return strings.EqualFold(f.name(), name) }

func isFieldName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == ':' })
}

// Get is the value of the first field of that name, unfolded and without space around it; "" when there is none.
func (h Header) Get(name string) string {
	for _, f := range h {
		if f.Is(name) {
			return rfc822.Unfold(f.Value)
		}
	}
	return ""
}

// MessageID is the value of Message-ID with its brackets, without comments (RFC 5322, 3.6.4); "" when there is none. What
// is not in that form is returned as it is written.
func (h Header) MessageID() string { return rfc822.Uncommented(h.Get("Message-ID")) }

// Values are the fields of that name, in order.
func (h Header) Values(name string) []Field {
	var found []Field
	for _, f := range h {
		if f.Is(name) {
			found = append(found, f)
		}
	}
	return found
}

// Has says whether there is a field of that name.
func (h Header) Has(name string) bool {
	return slices.ContainsFunc(h, func(f Field) bool { return f.Is(name) })
}

// Without is a copy that lacks the fields of those names.
func (h Header) Without(names ...string) Header {
	rest := make(Header, 0, len(h))
	for _, f := range h {
		if !slices.ContainsFunc(names, f.Is) {
			rest = append(rest, f)
		}
	}
	return rest
}

// WriteTo writes the fields byte for byte, each followed by CRLF; it does not write the empty line that ends a header.
func (h Header) WriteTo(w io.Writer) (int64, error) {
	var total int64
	for _, f := range h {
		n, err := io.WriteString(w, f.Name+":"+f.Value+"\r\n")
		total += int64(n)
		if err != nil {
			return total, err
		}
	}
	return total, nil
}
