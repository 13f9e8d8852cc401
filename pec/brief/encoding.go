package brief

import (
	"errors"
	"io"
)

// drained reads to the end of what a decoder may leave unread, so that faults there are seen.
type drained struct{ decoder, from io.Reader }

func (d drained) Read(p []byte) (int, error) {
	n, err := d.decoder.Read(p)
	if errors.Is(err, io.EOF) {
		if _, fault := io.Copy(io.Discard, d.from); fault != nil {
			return n, fault
		}
	}
	return n, err
}

// digits takes white space out of base64, and holds it to what all programs read alike: no other characters, complete
// groups of four, nothing after the padding.
type digits struct {
	from    io.Reader
	count   int
	padding int
}

var errDigits = errors.New("not plain base64")

func (d *digits) Read(p []byte) (int, error) {
	n, err := d.from.Read(p)
	kept := 0
	for _, c := range p[:n] {
		switch {
		case c == '\r' || c == '\n' || c == ' ' || c == '\t':
			continue
		case c == '=':
			d.padding++
		case d.padding > 0 || !isDigit(c):
			return 0, errDigits
		}
		p[kept] = c
		kept++
	}
	d.count = (d.count + kept) % 4
	if errors.Is(err, io.EOF) && (d.count != 0 || d.padding > 2) {
		return 0, errDigits
	}
	return kept, err
}

func isDigit(c byte) bool {
	return 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '+' || c == '/'
}

// codes holds quoted-printable to what all programs read alike: each = begins a code or ends a line, and no line ends
// with white space, before or behind a =, which some take away and some do not.
type codes struct {
	from  io.Reader
	state int
}

// States of codes: what came before the next byte.
const (
	codeNone  = iota
	codeBlank // white space
	codeBegun // a =
	codeHalf  // a = and a digit
	codeEnd   // a = and a CR
)

var errCodes = errors.New("not plain quoted-printable")

func (c *codes) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	for _, b := range p[:n] {
		if !c.next(b) {
			return 0, errCodes
		}
	}
	if errors.Is(err, io.EOF) && (c.state == codeBlank || c.state == codeHalf) {
		return 0, errCodes
	}
	return n, err
}

// next takes a byte, and says whether it may stand there.
func (c *codes) next(b byte) bool {
	blank := b == ' ' || b == '\t'
	switch c.state {
	case codeNone, codeBlank:
		bad := c.state == codeBlank && b == '\r'
		switch c.state = codeNone; {
		case b == '=':
			c.state = codeBegun
		case blank:
			c.state = codeBlank
		}
		return !bad
	case codeBegun:
		if c.state = codeEnd; isHex(b) {
			c.state = codeHalf
		}
		return isHex(b) || b == '\r'
	case codeHalf:
		c.state = codeNone
		return isHex(b)
	}
	c.state = codeNone
	return b == '\n'
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}
