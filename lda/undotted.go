package lda

import (
	"bytes"
	"errors"
	"io"
)

// content copies the message that the library is about to read from r. When nothing of it can be in the library's
// buffer, because Postfix waited for the answer to DATA as it must, it is taken from the connection itself, and the
// library is shown its end.
func (c *conn) content(w io.Writer, r io.Reader) error {
	buf := make([]byte, contentBuffer)
	_, chunks := r.(*io.PipeReader) // of BDAT: the library reads on meanwhile
	if chunks || !c.commands.endInData {
		_, err := io.CopyBuffer(onlyWriter{w}, r, buf)
		return err
	}
	beyond, err := undotted(w, c, buf)
	if beyond != nil {
		c.ahead = append([]byte(".\r\n"), beyond...)
	}
	return err
}

// contentBuffer is how much of a message is read at a time.
const contentBuffer = 32 << 10

// commands is what is known of the bytes that the library has read.
type commands struct {
	midLine   bool // they do not end with a line end
	endInData bool // they end with the command DATA, and what was read with it holds no other
}

// then is what is known when p has been read too.
func (c commands) then(p []byte) commands {
	next := commands{midLine: !bytes.HasSuffix(p, []byte("\n"))}
	last := bytes.LastIndexByte(bytes.TrimSuffix(p, []byte("\n")), '\n') + 1
	if c.midLine || !bytes.EqualFold(p[last:], []byte("DATA\r\n")) {
		return next
	}
	for line := range bytes.Lines(p[:last]) {
		if len(line) >= len("DATA") && bytes.EqualFold(line[:len("DATA")], []byte("DATA")) {
			return next
		}
	}
	next.endInData = true
	return next
}

// undotted copies the content of a message, as it comes after the answer to DATA, from r to w, without the dots that
// were doubled, up to the line with a single dot, and returns what r gave beyond that line, nil when it never came. It does by runs, and in
// large pieces, what the library does byte by byte, which was a third of the agent's time with large messages. When w
// fails the rest is read all the same, for the answer to be heard.
func undotted(w io.Writer, r io.Reader, buf []byte) (beyond []byte, err error) {
	u := undotting{w: w, begin: true}
	held := 0
	for {
		n, readErr := r.Read(buf[held:])
		rest, ended := u.lines(buf[:held+n])
		if ended {
			return bytes.Clone(rest), u.err
		}
		if readErr != nil {
			if errors.Is(readErr, io.EOF) {
				readErr = io.ErrUnexpectedEOF
			}
			return nil, readErr
		}
		held = copy(buf, rest)
	}
}

type undotting struct {
	w     io.Writer
	begin bool // what comes next stands at the beginning of a line
	err   error
}

var lineAndDot = []byte("\r\n.")

// lines writes what is settled of p and returns the rest: fewer than three bytes, or what follows the end.
func (u *undotting) lines(p []byte) (rest []byte, ended bool) {
	for {
		if u.begin && len(p) > 0 && p[0] == '.' {
			if len(p) < len(".\r\n") {
				return p, false
			}
			if p[1] == '\r' && p[2] == '\n' {
				return p[3:], true
			}
			p = p[1:]
		}
		u.begin = u.begin && len(p) == 0
		i := bytes.Index(p, lineAndDot)
		if i < 0 {
			settled := len(p) - halfOf(p)
			u.write(p[:settled])
			return p[settled:], false
		}
		u.write(p[:i+2])
		u.begin, p = true, p[i+2:]
	}
}

// halfOf is the length of the end of p that may be the beginning of a line end and a dot.
func halfOf(p []byte) int {
	switch {
	case bytes.HasSuffix(p, lineAndDot[:2]):
		return 2
	case bytes.HasSuffix(p, lineAndDot[:1]):
		return 1
	}
	return 0
}

func (u *undotting) write(p []byte) {
	if u.err == nil {
		_, u.err = u.w.Write(p)
	}
}
