package rfc822

import (
	"strings"

	"github.com/ceralacca/ceralacca/internal/mediatype"
)

// Addresses finds the entries of the value of a field such as To or From (RFC 5322): without names, comments, groups,
// folding, quotes that a local part does not need, routes, and spaces round the dots and the @. Only what mailers take
// for an address counts, never what stands in a name or a comment. What an entry holds may be no address: the caller
// judges. An empty value and an empty group have no entries.
//
// QUIRK: real traffic has unbalanced quotes and parentheses, names that are addresses, and a stray > or backslash after
// an address; all are read for what they are meant to be.
func Addresses(raw string) []string {
	p := listParser{rest: raw}
	for p.rest != "" {
		p.step()
	}
	p.endEntry()
	return p.found
}

// listParser walks over a list once; each step takes at least one byte, so that time is linear.
type listParser struct {
	rest  string
	found []string

	outside strings.Builder // of this entry: what is neither comment, name in quotes nor <…>
	inside  string          // of this entry: between < and >
	angle   bool            // this entry has <…>

	noQuote, noComment, noAngle bool // what follows has no closing one
}

func (p *listParser) step() {
	c := p.rest[0]
	switch {
	case c == '(' && p.comment():
	case c == '"' && p.quoted():
	case c == '<':
		p.bracket()
	case c == ',' || c == ';':
		p.rest = p.rest[1:]
		p.endEntry()
	case c == ':' && !p.angle:
		p.rest = p.rest[1:]
		p.outside.Reset() // the name of a group
	default:
		p.outside.WriteByte(c)
		p.rest = p.rest[1:]
	}
}

// comment takes a comment, which may hold others.
func (p *listParser) comment() bool {
	if p.noComment {
		return false
	}
	depth := 0
	for i := 0; i < len(p.rest); i++ {
		switch p.rest[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				p.rest = p.rest[i+1:]
				return true
			}
		}
	}
	p.noComment = true
	return false
}

// quoted takes a quoted string: a local part when it stands before an @, otherwise a name.
func (p *listParser) quoted() bool {
	if p.noQuote {
		return false
	}
	content, n := mediatype.Unquote(p.rest)
	if n == 0 {
		p.noQuote = true
		return false
	}
	p.rest = p.rest[n:]
	if strings.HasPrefix(strings.TrimLeft(p.rest, " \t\r\n"), "@") {
		p.outside.WriteString(content)
	}
	return true
}

// bracket takes <…>; the last one of an entry counts, as in "a@x.it <b@x.it>". Without an end it reaches to the comma.
func (p *listParser) bracket() {
	body := p.rest[1:]
	end, skip := -1, 1
	if !p.noAngle {
		end = strings.IndexByte(body, '>')
	}
	if end < 0 {
		p.noAngle = true
		if end, skip = strings.IndexAny(body, ",;"), 0; end < 0 {
			end = len(body)
		}
	}
	p.inside, p.angle = body[:end], true
	p.rest = body[end+skip:]
}

// endEntry judges what stands between two commas.
func (p *listParser) endEntry() {
	text := p.outside.String()
	if p.angle {
		text = inAngle(p.inside)
	}
	blank := !p.angle && strings.TrimSpace(text) == ""
	p.outside.Reset()
	p.inside, p.angle = "", false
	if blank {
		return
	}
	p.found = append(p.found, tidy(text))
}

// inAngle takes route, quotes and comments out of what stands between < and >.
func inAngle(s string) string {
	s = strings.TrimSpace(s)
	if strings.HasPrefix(s, "@") {
		s = s[strings.IndexByte(s, ':')+1:] // a source route
	}
	p := listParser{rest: s}
	for p.rest != "" {
		if c := p.rest[0]; c == '(' && p.comment() || c == '"' && p.quoted() {
			continue
		}
		p.outside.WriteByte(p.rest[0])
		p.rest = p.rest[1:]
	}
	return p.outside.String()
}

// Uncommented is a value without the comments before and behind an entry in angle brackets, such as a Message-ID.
func Uncommented(value string) string {
	p := listParser{rest: strings.TrimSpace(value)}
	for strings.HasPrefix(p.rest, "(") && p.comment() {
		p.rest = strings.TrimSpace(p.rest)
	}
	end := strings.LastIndexByte(p.rest, '>') + 1
	if behind := strings.TrimSpace(p.rest[end:]); end > 0 && strings.HasPrefix(behind, "(") && Uncommented(behind) == "" {
		return p.rest[:end]
	}
	return p.rest
}

// tidy removes space round dots and the @ (obs-domain), and what is stray at the end.
func tidy(s string) string {
	s = strings.TrimRight(strings.TrimSpace(s), " \t\r\n>\\")
	var b strings.Builder
	for word := range strings.FieldsSeq(s) {
		joined := b.Len() == 0 || strings.HasPrefix(word, ".") || strings.HasPrefix(word, "@") || endsOpen(b.String())
		if !joined {
			b.WriteByte(' ') // no address has a space
		}
		b.WriteString(word)
	}
	return b.String()
}

func endsOpen(s string) bool { return strings.HasSuffix(s, ".") || strings.HasSuffix(s, "@") }
