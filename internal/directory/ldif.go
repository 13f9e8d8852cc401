package directory

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/go-ldap/ldap/v3"
	"github.com/go-ldap/ldif"
)

// ErrLDIF says that the file is not the LDIF of a directory of providers.
var ErrLDIF = errors.New("not the LDIF of a directory of providers")

// attributes are those of an LDAP entry, by name in lower case: LDAP does not tell cases apart, the library does.
type attributes map[string][]string

// object is an LDAP entry.
type object struct {
	dn         *ldap.DN
	text       string // of the DN, as written
	attributes attributes
}

// readLDIF takes an LDIF file apart: RFC 2849, content only. Folded lines, comments and base64 are understood.
func readLDIF(data []byte) ([]object, error) {
	lines, err := unfold(data)
	if err != nil {
		return nil, err
	}
	parsed, err := ldif.Parse(lines)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrLDIF, err)
	}
	objects := make([]object, 0, len(parsed.Entries))
	for _, e := range parsed.Entries {
		if e.Entry == nil {
			return nil, fmt.Errorf("%w: a change where an entry should stand", ErrLDIF)
		}
		o, err := newObject(e.Entry)
		if err != nil {
			return nil, err
		}
		objects = append(objects, o)
	}
	return objects, nil
}

func newObject(e *ldap.Entry) (object, error) {
	o := object{text: e.DN, attributes: attributes{}}
	// The library would decode BER here, without a limit to its depth. No DN of ours is written so.
	if strings.Contains(e.DN, "=#") || !utf8.ValidString(e.DN) {
		return o, fmt.Errorf("%w: DN %.100q", ErrLDIF, e.DN)
	}
	dn, err := ldap.ParseDN(e.DN)
	if err != nil {
		return o, fmt.Errorf("%w: DN %.100q: %v", ErrLDIF, e.DN, err)
	}
	o.dn = dn
	for _, a := range e.Attributes {
		name := strings.ToLower(a.Name)
		o.attributes[name] = append(o.attributes[name], a.Values...)
	}
	return o, nil
}

// unfold joins folded lines and drops comments, which the library would do in quadratic time; and refuses what the
// library would act upon: values by URL, for which it opens files of this host, and changes.
func unfold(data []byte) (string, error) {
	var text strings.Builder
	text.Grow(len(data))
	comment, started := false, false
	for line := range bytes.Lines(data) {
		line = bytes.TrimRight(line, "\r\n")
		switch {
		case len(line) > 0 && line[0] == ' ':
			if !started {
				return "", fmt.Errorf("%w: it begins with a folded line", ErrLDIF)
			}
			if !comment {
				text.Write(line[1:])
			}
			continue
		case len(line) > 0 && line[0] == '#':
			comment, started = true, true
			continue
		}
		if started {
			text.WriteByte('\n')
		}
		text.Write(line)
		comment, started = false, true
	}
	return clean(text.String())
}

// clean drops attributes without a value, which the library takes for a fault, and refuses what it must not see.
func clean(text string) (string, error) {
	var kept strings.Builder
	kept.Grow(len(text))
	for line := range strings.Lines(text) {
		name, value, found := strings.Cut(line, ":")
		switch {
		case strings.HasPrefix(value, "<"):
			return "", fmt.Errorf("%w: a value by URL: %.100q", ErrLDIF, line)
		case strings.EqualFold(name, "changetype"), strings.EqualFold(name, "control"):
			return "", fmt.Errorf("%w: a change: %.100q", ErrLDIF, line)
		case found && strings.TrimSpace(strings.TrimPrefix(value, ":")) == "" && name != "dn":
		default:
			kept.WriteString(line)
		}
	}
	return kept.String(), nil
}
