package ber

import (
	"errors"
	"fmt"
)

// A message of some megabytes that is nested deep enough overflows the stack of a decoder that calls itself, which
// kills the process: depth is judged here, without recursion, before any decoder sees the bytes.
const (
	maxDepth    = 32
	maxElements = 1 << 16
	maxLength   = 1 << 28 // of one element, in bytes; far below what an int holds
)

const (
	tagOctets       = 0x04
	tagConstructed  = 0x20
	tagOctetsChunks = tagOctets | tagConstructed
)

// element is one tag-length-value of BER. An indefinite one has its end set when its end-of-contents is met.
type element struct {
	tag        []byte
	start, end int // of the content
	parent     int // index, -1 for the outermost
	size       int // of the content once it is DER
	indefinite bool
	joined     bool // its content is part of the parent's octet string: it has no tag of its own
}

func (e *element) constructed() bool { return e.tag[0]&tagConstructed != 0 }
func (e *element) chunks() bool      { return e.tag[0] == tagOctetsChunks }

// ToDER writes BER with definite, shortest lengths, and octet strings in one piece; DER comes out as it went in.
// Values are not judged, and the order of sets is kept. limit is in bytes.
// The error says what is wrong, and that is never cured by trying again. [C257]
func ToDER(ber []byte, limit int) ([]byte, error) {
	if len(ber) > limit {
		return nil, fmt.Errorf("%d bytes, more than %d", len(ber), limit)
	}
	elements, err := scanBER(ber)
	if err != nil {
		return nil, err
	}
	return writeDER(ber, elements), nil
}

// scanBER lists the elements, parents before their children.
func scanBER(ber []byte) ([]element, error) {
	s := berScan{ber: ber}
	for {
		s.closeFinished()
		if len(s.open) == 0 && len(s.elements) > 0 {
			break
		}
		if s.closeIndefinite() {
			continue
		}
		if err := s.next(); err != nil {
			return nil, fmt.Errorf("at byte %d: %w", s.pos, err)
		}
	}
	if s.pos != len(ber) {
		return nil, fmt.Errorf("%d bytes follow the outermost element", len(ber)-s.pos)
	}
	return s.elements, nil
}

type berScan struct {
	ber      []byte
	pos      int
	elements []element
	open     []int // indexes of the elements that enclose pos
}

func (s *berScan) innermost() *element {
	if len(s.open) == 0 {
		return nil
	}
	return &s.elements[s.open[len(s.open)-1]]
}

func (s *berScan) closeFinished() {
	for e := s.innermost(); e != nil && !e.indefinite && s.pos == e.end; e = s.innermost() {
		s.open = s.open[:len(s.open)-1]
	}
}

// closeIndefinite reports whether an end-of-contents was met.
func (s *berScan) closeIndefinite() bool {
	e := s.innermost()
	if e == nil || !e.indefinite || s.pos+2 > e.end || s.ber[s.pos] != 0 || s.ber[s.pos+1] != 0 {
		return false
	}
	s.open = s.open[:len(s.open)-1]
	s.pos += 2
	return true
}

// next takes one tag and length, and the content of a primitive.
func (s *berScan) next() error {
	outer, limit := s.innermost(), len(s.ber)
	if outer != nil {
		limit = outer.end
	}
	e, err := readElement(s.ber[:limit], s.pos)
	if err != nil {
		return err
	}
	e.parent = -1
	if outer != nil {
		e.parent = s.open[len(s.open)-1]
		e.joined = outer.chunks()
	}
	if e.joined && e.tag[0]&^tagConstructed != tagOctets {
		return errors.New("an octet string is made of something else")
	}
	if len(s.elements) == maxElements {
		return fmt.Errorf("more than %d elements", maxElements)
	}
	s.elements = append(s.elements, e)
	s.pos = e.end
	if !e.constructed() {
		return nil
	}
	if len(s.open) == maxDepth {
		return fmt.Errorf("nested deeper than %d", maxDepth)
	}
	s.open = append(s.open, len(s.elements)-1)
	s.pos = e.start
	return nil
}

// readElement reads the tag and length at pos; all of a definite content lies within ber. The end of an indefinite
// one is the end of ber, until it is known.
func readElement(ber []byte, pos int) (element, error) {
	start, err := skipTag(ber, pos)
	if err != nil {
		return element{}, err
	}
	e := element{tag: ber[pos:start]}
	length, start, err := readLength(ber, start)
	if err != nil {
		return element{}, err
	}
	e.start, e.end = start, start+length
	if length < 0 {
		e.indefinite, e.end = true, len(ber)
	}
	if e.indefinite && !e.constructed() {
		return element{}, errors.New("a primitive without a length")
	}
	if e.end > len(ber) {
		return element{}, errors.New("an element ends after what encloses it")
	}
	return e, nil
}

var errShort = errors.New("it ends within a tag or a length")

func skipTag(ber []byte, pos int) (int, error) {
	if pos >= len(ber) {
		return 0, errShort
	}
	first := ber[pos]
	if first == 0 {
		return 0, errors.New("an end-of-contents out of place")
	}
	pos++
	if first&0x1f != 0x1f {
		return pos, nil
	}
	for n := 0; n < 4 && pos < len(ber); n++ {
		pos++
		if ber[pos-1] < 0x80 {
			return pos, nil
		}
	}
	return 0, errors.New("a tag is too long")
}

// readLength returns -1 for an indefinite length.
func readLength(ber []byte, pos int) (length, next int, err error) {
	if pos >= len(ber) {
		return 0, 0, errShort
	}
	first := int(ber[pos])
	pos++
	if first < 0x80 {
		return first, pos, nil
	}
	if first == 0x80 {
		return -1, pos, nil
	}
	n := first & 0x7f
	if n > 4 {
		return 0, 0, errors.New("a length is too long")
	}
	if pos+n > len(ber) {
		return 0, 0, errShort
	}
	for _, b := range ber[pos : pos+n] {
		if length > maxLength>>8 { // before it can overflow
			return 0, 0, errors.New("a length is too large")
		}
		length = length<<8 | int(b)
	}
	return length, pos + n, nil
}

func writeDER(ber []byte, elements []element) []byte {
	total := 0
	for i := len(elements) - 1; i >= 0; i-- {
		e := &elements[i]
		if !e.constructed() {
			e.size = e.end - e.start
		}
		size := e.size
		if !e.joined {
			size += len(e.tag) + len(appendLength(nil, e.size))
		}
		if e.parent < 0 {
			total = size
		} else {
			elements[e.parent].size += size
		}
	}
	der := make([]byte, 0, total)
	for i := range elements {
		der = elements[i].appendDER(der, ber)
	}
	return der
}

// appendDER appends the tag and length, and the content of a primitive.
func (e *element) appendDER(der, ber []byte) []byte {
	switch {
	case e.joined:
	case e.chunks():
		der = appendLength(append(der, tagOctets), e.size)
	default:
		der = appendLength(append(der, e.tag...), e.size)
	}
	if e.constructed() {
		return der
	}
	return append(der, ber[e.start:e.end]...)
}

func appendLength(der []byte, n int) []byte {
	if n < 0x80 {
		return append(der, byte(n))
	}
	bytes := 0
	for m := n; m > 0; m >>= 8 {
		bytes++
	}
	der = append(der, 0x80|byte(bytes))
	for i := bytes - 1; i >= 0; i-- {
		der = append(der, byte(n>>(8*i)))
	}
	return der
}
