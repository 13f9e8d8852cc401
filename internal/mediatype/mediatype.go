// Package mediatype reads the values of Content-Type and Content-Disposition: one reader for those who must refuse what
// two programs could read in two ways, and for those who take what they can get. It looks at no body, decodes no
// charset and judges no type.
package mediatype

import (
	"fmt"
	"strings"
)

// Value is a field such as Content-Type, taken apart.
type Value struct {
	Name   string            // type and subtype, or disposition; in lower case
	Params map[string]string // by name in lower case; of repeated ones the first
}

// Name returns the type and subtype in lower case, whatever follows; it is all that is asked of a message that is not
// ours to judge.
func Name(raw string) string {
	name, _, _ := strings.Cut(Unfold(raw), ";")
	return strings.ToLower(strings.Trim(name, " \t"))
}

// Parse reads the raw value of a field. It always gives what can be read; the error names the first thing in it that two
// readers could take for two things: parameters given twice or without a value, escapes, comments, continuations. Who
// decides by the value what a signature covers MUST heed the error; who looks for the name of a part need not.
//
// QUIRK: bare values with characters that must be quoted are read up to the next semicolon and are no error, for
// providers write protocol=application/pkcs7-signature so (against RFC 2045 section 5.1). Stray semicolons neither.
func Parse(raw string) (Value, error) {
	p := parser{value: Value{Name: Name(raw), Params: map[string]string{}}}
	_, p.rest, _ = strings.Cut(Unfold(raw), ";")
	for {
		p.rest = strings.TrimLeft(p.rest, " \t;")
		if p.rest == "" {
			return p.value, p.err
		}
		p.parameter()
	}
}

// parser walks over the parameters once; each takes at least one byte.
type parser struct {
	value Value
	rest  string
	err   error // the first ambiguity
}

func (p *parser) doubt(name, what string) {
	if p.err == nil {
		p.err = fmt.Errorf("parameter %.100q %s", name, what)
	}
}

// parameter takes one parameter, up to its semicolon.
func (p *parser) parameter() {
	end := strings.IndexAny(p.rest, "=;")
	if end < 0 {
		end = len(p.rest)
	}
	name := strings.ToLower(strings.Trim(p.rest[:end], " \t"))
	if end == len(p.rest) || p.rest[end] == ';' {
		p.rest = p.rest[end:]
		p.doubt(name, "has no value")
		return
	}
	p.rest = p.rest[end+1:]
	switch {
	case !IsToken(name):
		p.doubt(name, "has no name that can be read")
	case strings.Contains(name, "*"):
		p.doubt(name, "is continued or encoded")
	}
	value := p.parameterValue(name)
	if _, twice := p.value.Params[name]; twice {
		p.doubt(name, "is there twice")
	} else if name != "" {
		p.value.Params[name] = value
	}
}

func (p *parser) parameterValue(name string) string {
	s := strings.TrimLeft(p.rest, " \t")
	if content, n := Unquote(s); n > 0 {
		between, rest, _ := strings.Cut(s[n:], ";")
		switch {
		case strings.Contains(s[:n], `\`):
			p.doubt(name, "has an escape in its value")
		case strings.Trim(between, " \t") != "":
			p.doubt(name, "is followed by text")
		}
		p.rest = rest
		return content
	}
	value, rest, _ := strings.Cut(s, ";")
	p.rest = rest
	value = strings.TrimRight(value, " \t")
	if value == "" || strings.ContainsAny(value, "\"\\() \t") {
		p.doubt(name, "has a value that cannot be read")
	}
	return value
}

// Unquote reads the quoted string at the beginning of s, and says how many bytes it takes: 0 when there is none, or one
// that does not end.
func Unquote(s string) (content string, n int) {
	if !strings.HasPrefix(s, `"`) {
		return "", 0
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			if i++; i < len(s) {
				b.WriteByte(s[i])
			}
		case '"':
			return b.String(), i + 1
		default:
			b.WriteByte(s[i])
		}
	}
	return "", 0
}

// IsToken reports whether s is a token of RFC 2045, as field names and parameter names are.
func IsToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`()<>@,;:\"/[]?=`, r)
	})
}

// Unfold undoes the folding of a raw header value, whose line ends are CRLF, and trims white space. A bare CR or LF
// stays, to be found out.
func Unfold(value string) string {
	return strings.Trim(strings.ReplaceAll(value, "\r\n", ""), " \t")
}
