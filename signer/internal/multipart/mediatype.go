package multipart

import (
	"errors"
	"fmt"
	"strings"
)

// MediaType is a Content-Type that was read as others write it: parameters bare or quoted, in any case, folded.
type MediaType struct {
	Name   string            // type and subtype, lower case
	Params map[string]string // by name in lower case; values as written
}

// MediaTypeName returns the type and subtype in lower case, whatever follows; it is all that is asked of a message
// that is not ours to judge.
func MediaTypeName(value string) string {
	name, _, _ := strings.Cut(Unfold(value), ";")
	return strings.ToLower(strings.Trim(name, " \t"))
}

// ParseMediaType reads the raw value of a Content-Type. What two readers could take for two things is an error:
// parameters given twice, escapes, comments, continuations.
//
// QUIRK: bare values with characters that must be quoted are read up to the next semicolon, for providers write
// protocol=application/pkcs7-signature so (against RFC 2045 section 5.1).
func ParseMediaType(value string) (MediaType, error) {
	m := MediaType{Name: MediaTypeName(value), Params: map[string]string{}}
	_, rest, _ := strings.Cut(Unfold(value), ";")
	for {
		rest = strings.TrimLeft(rest, " \t;")
		if rest == "" {
			return m, nil
		}
		name, after, found := strings.Cut(rest, "=")
		name = strings.ToLower(strings.Trim(name, " \t"))
		if !found || !IsToken(name) {
			return m, fmt.Errorf("parameter %q cannot be read", name)
		}
		if strings.Contains(name, "*") {
			return m, fmt.Errorf("parameter %q is continued or encoded", name)
		}
		if _, twice := m.Params[name]; twice {
			return m, fmt.Errorf("parameter %q is there twice", name)
		}
		var err error
		m.Params[name], rest, err = parameterValue(strings.TrimLeft(after, " \t"))
		if err != nil {
			return m, fmt.Errorf("parameter %q: %w", name, err)
		}
	}
}

func parameterValue(s string) (value, rest string, err error) {
	if !strings.HasPrefix(s, `"`) {
		value, rest, _ = strings.Cut(s, ";")
		value = strings.TrimRight(value, " \t")
		if value == "" || strings.ContainsAny(value, "\"\\() \t") {
			return "", "", errors.New("the value cannot be read")
		}
		return value, rest, nil
	}
	value, rest, found := strings.Cut(s[1:], `"`)
	if !found || strings.Contains(value, `\`) {
		return "", "", errors.New("the quoted value cannot be read")
	}
	rest = strings.TrimLeft(rest, " \t")
	if rest != "" && rest[0] != ';' {
		return "", "", errors.New("text follows the quoted value")
	}
	return value, rest, nil
}

// IsToken reports whether s is a token of RFC 2045, as field names and parameter names are.
func IsToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`()<>@,;:\"/[]?=`, r)
	})
}

// Unfold undoes the folding of a raw header value, whose line ends are CRLF, and trims white space.
func Unfold(value string) string {
	return strings.Trim(strings.ReplaceAll(value, "\r\n", ""), " \t")
}

// maxBoundary is the length, in bytes, that RFC 2046 allows.
const maxBoundary = 70

// ValidBoundary holds a boundary to RFC 2046 section 5.1.1: 1 to 70 characters that need no escape, no space last.
func ValidBoundary(b string) bool {
	return b != "" && len(b) <= maxBoundary && b[len(b)-1] != ' ' && !strings.ContainsFunc(b, func(r rune) bool {
		letter := r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z'
		return !letter && !strings.ContainsRune(`'()+_,-./:=? `, r)
	})
}
