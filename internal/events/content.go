package events

import (
	"crypto/sha256"
	"hash"
	"io"
)

// maxHeaders is the longest header section that a subscriber is shown, in bytes.
const maxHeaders = 64 << 10

// content is what a file holds.
type content struct {
	Size    int64  `json:"size"`
	SHA256  []byte `json:"sha256"`
	Headers int64  `json:"headers"` // the length of the header section, of the fields that stand in maxHeaders
	Whole   bool   `json:"whole"`   // the message, and not its header section alone
}

// capture writes a message, or its header section alone, to w.
func capture(w io.Writer, write func(io.Writer) error, whole bool) (content, error) {
	c := &capturing{w: w, whole: whole, sum: sha256.New()}
	if err := write(c); err != nil {
		return content{}, err
	}
	c.cut()
	if !whole {
		if _, err := w.Write(c.head[:c.headers]); err != nil {
			return content{}, err
		}
	}
	return content{Size: c.size, SHA256: c.sum.Sum(nil), Headers: int64(c.headers), Whole: whole}, nil
}

// capturing digests what passes, and keeps its beginning until it knows where the header section ends.
type capturing struct {
	w       io.Writer
	whole   bool
	sum     hash.Hash
	size    int64
	head    []byte
	headers int
	ended   bool
}

// Write implements io.Writer.
func (c *capturing) Write(p []byte) (int, error) {
	c.size += int64(len(p))
	c.sum.Write(p)
	if !c.ended {
		c.head = append(c.head, p[:min(len(p), maxHeaders+1-len(c.head))]...)
		c.ended = len(c.head) > maxHeaders
	}
	if !c.whole {
		return len(p), nil
	}
	return c.w.Write(p)
}

// cut finds where the header section ends: before the empty line, or after the last field that is whole.
func (c *capturing) cut() {
	line := 0 // where the present line begins
	for i := 0; i < len(c.head); i++ {
		if c.head[i] != '\n' {
			continue
		}
		next := i + 1
		if empty := i == line || i == line+1 && c.head[line] == '\r'; empty {
			c.headers = line
			return
		}
		if next <= maxHeaders && (next == len(c.head) || c.head[next] != ' ' && c.head[next] != '\t') {
			c.headers = next
		}
		line = next
	}
}
