package rfc822

import (
	"errors"
	"fmt"
	"strings"
)

// ErrCharset says that a parameter is in a character set that we do not know.
var ErrCharset = errors.New("unknown character set")

// Parameter finds a parameter such as the name of a part among those that mediatype.Parse read, in whatever form it is
// written: plain, continued or encoded (RFC 2231), or with encoded words, which mailers write although RFC 2047 forbids
// it. It is one line of UTF-8. The encoded form counts when there are several. The error is ErrCharset.
func Parameter(params map[string]string, name string) (value string, found bool, err error) {
	params = uncommented(params)
	if raw, is := params[name+"*"]; is {
		value, err = extended(raw, true)
		return OneLine(value), true, err
	}
	var all strings.Builder
	encoded := false
	for i := 0; ; i++ {
		plain, isPlain := params[fmt.Sprintf("%s*%d", name, i)]
		coded, isCoded := params[fmt.Sprintf("%s*%d*", name, i)]
		switch {
		case isCoded && (i == 0 || encoded):
			encoded = true
			all.WriteString(coded)
		case isCoded || isPlain:
			if !isPlain {
				plain = coded
			}
			if encoded {
				plain = strings.ReplaceAll(plain, "%", "%25") // only what says so is encoded
			}
			all.WriteString(plain)
		default:
			if i == 0 {
				raw, is := params[name]
				return Decode(raw), is, nil
			}
			value, err = extended(all.String(), encoded)
			return OneLine(value), true, err
		}
	}
}

// uncommented are parameters without the comments before their names.
func uncommented(params map[string]string) map[string]string {
	plain := make(map[string]string, len(params))
	for name, value := range params {
		if end := strings.LastIndexByte(name, ')'); end >= 0 {
			name = strings.TrimLeft(name[end+1:], " \t")
		}
		plain[name] = value
	}
	return plain
}

// extended decodes charset'language'text, percent-encoded; what is not encoded is read as a header is.
func extended(raw string, encoded bool) (string, error) {
	if !encoded {
		return Decode(raw), nil
	}
	charset, rest, found := strings.Cut(raw, "'")
	_, text, foundBoth := strings.Cut(rest, "'")
	if !found || !foundBoth {
		return Decode(percentDecoded(raw)), nil
	}
	charset = strings.ToLower(charset)
	switch {
	case charset == "" || charset == "us-ascii":
		return Decode(percentDecoded(text)), nil
	case !known(charset):
		return "", fmt.Errorf("%w %.50q", ErrCharset, charset)
	}
	return decodeCharset(charset, percentDecoded(text)), nil
}

// percentDecoded leaves what is no code as it is.
func percentDecoded(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '%' && i+2 < len(text) && isHex(text[i+1]) && isHex(text[i+2]) {
			b.WriteByte(unhex(text[i+1])<<4 | unhex(text[i+2]))
			i += 2
			continue
		}
		b.WriteByte(text[i])
	}
	return b.String()
}

// maxQuoted and maxSegment are lengths of a value, in bytes, that leave a line within its limits.
const (
	maxQuoted  = 200
	maxSegment = 60
)

// EncodeParameter writes a parameter as it follows a value such as "text/plain": semicolon, folding and all. What is
// plain ASCII stands in quotes; all else is encoded (RFC 2231), in several pieces when it is long.
func EncodeParameter(name, value string) string {
	if len(value) <= maxQuoted && !strings.Contains(value, "=?") && !strings.ContainsFunc(value, unquotable) {
		return ";\r\n " + name + `="` + value + `"`
	}
	segments := percentEncoded(value)
	if len(segments) == 1 {
		return ";\r\n " + name + "*=utf-8''" + segments[0]
	}
	var b strings.Builder
	for i, s := range segments {
		if i == 0 {
			s = "utf-8''" + s
		}
		fmt.Fprintf(&b, ";\r\n %s*%d*=%s", name, i, s)
	}
	return b.String()
}

func unquotable(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }

func percentEncoded(value string) []string {
	var segments []string
	var b strings.Builder
	for i := range len(value) {
		c := value[i]
		if isAlnum(c) || strings.IndexByte("-._", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
		if b.Len() >= maxSegment {
			segments = append(segments, b.String())
			b.Reset()
		}
	}
	if b.Len() > 0 || len(segments) == 0 {
		segments = append(segments, b.String())
	}
	return segments
}
