package brief

import (
	"errors"
	"fmt"

	"github.com/ceralacca/ceralacca/pec"
)

// ErrUncertain says that a message cannot be taken apart, or a file in it not be decoded, so that every reader agrees.
// Its brief receipt would lie to some of them: the complete one has everything that the brief one would.
var ErrUncertain = errors.New("the message cannot be cut with certainty")

func uncertain(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrUncertain, fmt.Errorf(format, args...))
}

// Original is the original of a brief receipt.
type Original struct {
	// Pieces make it up, one after the other. They read from the message that was cut, which MUST NOT go before them.
	Pieces []pec.Source
	// Files are what was replaced, in order; none when the original is whole.
	Files []File
}

// File is a part that was replaced by its hash.
type File struct {
	Name string // of the hash file, with its suffix
	Sum  string // hexadecimal, in lower case
}

// Cut replaces every part of a message that has a name, and every message within it, by a file with its hash; all other
// bytes stay as they are. What is opaque S/MIME stays whole. The same message and settings give the same bytes. It reads
// the message once to find the parts, and the parts once more to hash them, and holds none of them: memory does not
// grow with the message. Errors are [ErrUncertain] and those of reading the message, which are temporary.
// [C171] [C174] [C175] [C176]
func Cut(message pec.Source, s Settings) (*Original, error) {
	hasher, err := newHasher(s)
	if err != nil {
		return nil, err
	}
	parts, err := find(message)
	if err != nil {
		return nil, err
	}
	c := &cutter{message: message}
	for _, p := range parts {
		sum, err := hasher.sum(p.encoding, pec.Section(message, p.body, p.end-p.body))
		if err != nil {
			return nil, fmt.Errorf("%q: %w", p.name.shown(), err)
		}
		c.replace(p, sum)
	}
	c.keep(message.Size())
	if len(c.cut.Pieces) == 0 {
		c.cut.Pieces = []pec.Source{message} // an empty one
	}
	return &c.cut, nil
}

// cutter puts the pieces together.
type cutter struct {
	message pec.Source
	at      int64 // up to where the message is dealt with
	cut     Original
}

// keep takes the message over, up to an offset.
func (c *cutter) keep(to int64) {
	if to > c.at {
		c.cut.Pieces = append(c.cut.Pieces, pec.Section(c.message, c.at, to-c.at))
		c.at = to
	}
}

// replace puts a hash file where a part is. The file has no line end: the one before the delimiter is the delimiter's. [C172]
func (c *cutter) replace(p part, sum string) {
	c.keep(p.start)
	c.cut.Pieces = append(c.cut.Pieces, pec.Bytes(append(p.hashHeader(), sum...)))
	c.cut.Files = append(c.cut.Files, File{Name: p.name.shown() + pec.HashSuffix, Sum: sum})
	c.at = p.end
}
