package wire

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"strings"

	milter "github.com/emersion/go-milter"

	"github.com/ceralacca/ceralacca/internal/clock"
)

// actChangeFrom and the others are what Postfix is told; the library has no form for most of them that fits.
const (
	actAddHeader    = byte(milter.ActAddHeader)
	actInsertHeader = byte(milter.ActInsertHeader)
	actChangeHeader = byte(milter.ActChangeHeader)
	actAddRcpt      = byte(milter.ActAddRcpt)
	actDelRcpt      = byte(milter.ActDelRcpt)
	actChangeFrom   = byte(milter.ActChangeFrom)
	actReplaceBody  = byte(milter.ActReplBody)
	actProgress     = byte('p')
)

// Edits are the changes to the message and its envelope, made in the order of the calls once the reply lets the message
// into the queue. An error sticks: see Err. Only one goroutine may use it.
type Edits struct {
	c    *conn
	body *bodyWriter
	err  error // a fault of the caller, who asked for what Postfix would not take
}

// AddHeader puts a field below all others. value begins with the byte after the colon; its line ends may be CRLF.
func (e *Edits) AddHeader(name, value string) {
	e.packet(actAddHeader, []byte(name), nul, postfixLines(value), nul)
}

// InsertHeader puts a field above that which is number index, counted from 0 with Postfix's own Received as number 0.
func (e *Edits) InsertHeader(index uint32, name, value string) {
	e.packet(actInsertHeader, number(index), []byte(name), nul, postfixLines(value), nul)
}

// DeleteHeader removes the field that is number index, counted from 1, among those with this name as Postfix showed
// them. Those behind it move up.
func (e *Edits) DeleteHeader(index uint32, name string) {
	e.packet(actChangeHeader, number(index), []byte(name), nul, nul)
}

// AddRcpt adds a recipient.
func (e *Edits) AddRcpt(addr string) { e.packet(actAddRcpt, []byte("<"+addr+">"), nul) }

// DeleteRcpt removes a recipient, and what aliases made of it. Postfix ignores silently what it does not find: addr
// MUST be what RCPT named.
func (e *Edits) DeleteRcpt(addr string) { e.packet(actDelRcpt, []byte("<"+addr+">"), nul) }

// ChangeFrom sets the sender, and its ESMTP parameters such as ENVID.
func (e *Edits) ChangeFrom(addr, params string) {
	e.packet(actChangeFrom, []byte("<"+addr+">"), nul, []byte(params), nul)
}

// Body begins to replace the body. Until it is closed no other edit may be made: Postfix would end the transaction. An
// empty body cannot replace one. It can be called once.
func (e *Edits) Body() io.WriteCloser {
	e.c.mu.Lock()
	defer e.c.mu.Unlock()
	if e.body != nil {
		e.err = errSecondBody
		return e.body
	}
	e.body = &bodyWriter{c: e.c, open: true}
	e.c.flush()
	if cap(e.c.out) < 4+1+maxPiece { // most transactions need it never, or only now
		e.c.out = make([]byte, 0, 4+1+maxPiece)
	}
	return e.body
}

// Err says why Postfix cannot be told any more; the reply is then 451 whatever the handler says.
func (e *Edits) Err() error {
	e.c.mu.Lock()
	defer e.c.mu.Unlock()
	if e.body != nil && e.body.open {
		return errors.Join(e.c.err, e.err, errOpenBody)
	}
	return errors.Join(e.c.err, e.err)
}

// abandon takes back a piece of a body that nobody finished: the reply follows.
func (e *Edits) abandon() {
	e.c.mu.Lock()
	defer e.c.mu.Unlock()
	if e.body != nil && e.body.open {
		e.body.open = false
		e.c.out = e.c.out[:0]
	}
}

var (
	errSecondBody = errors.New("milter: a second replacement of the body")
	errOpenBody   = errors.New("milter: an edit, or the end, while the body is replaced")
	errClosedBody = errors.New("milter: more of a body that was closed")
	nul           = []byte{0}
)

func (e *Edits) packet(action byte, parts ...[]byte) {
	e.c.mu.Lock()
	defer e.c.mu.Unlock()
	if e.body != nil && e.body.open {
		e.err = errOpenBody
		return
	}
	e.c.packet(action, parts...)
}

// progress tells Postfix to wait on; false when it must not be told any more.
func (e *Edits) progress() bool {
	e.c.mu.Lock()
	defer e.c.mu.Unlock()
	if e.body != nil || e.c.err != nil {
		return false
	}
	e.c.packet(actProgress)
	e.c.flush()
	return true
}

func (c *conn) tellProgress(ctx context.Context, e *Edits) {
	for (clock.System{}).Sleep(ctx, c.server.o.Progress) == nil {
		if !e.progress() {
			return
		}
	}
}

// bodyWriter cuts a body into the pieces that Postfix takes.
type bodyWriter struct {
	c    *conn
	open bool
}

// Write implements io.Writer.
func (w *bodyWriter) Write(p []byte) (int, error) {
	w.c.mu.Lock()
	defer w.c.mu.Unlock()
	written := 0
	if !w.open {
		return 0, errClosedBody
	}
	for len(p) > 0 && w.c.err == nil {
		if len(w.c.out) == 0 {
			w.c.out = append(w.c.out, 0, 0, 0, 0, actReplaceBody)
		}
		n := min(len(p), 4+1+maxPiece-len(w.c.out))
		w.c.out = append(w.c.out, p[:n]...)
		written, p = written+n, p[n:]
		if len(w.c.out) == 4+1+maxPiece {
			w.piece()
		}
	}
	return written, w.c.err
}

// Close sends the last piece.
func (w *bodyWriter) Close() error {
	w.c.mu.Lock()
	defer w.c.mu.Unlock()
	if w.open && len(w.c.out) > 0 {
		w.piece()
	}
	w.open = false
	return w.c.err
}

func (w *bodyWriter) piece() {
	binary.BigEndian.PutUint32(w.c.out, uint32(len(w.c.out)-4))
	w.c.flush()
}

// packet appends one packet to what waits. The caller holds mu.
func (c *conn) packet(action byte, parts ...[]byte) {
	n := 1
	for _, p := range parts {
		n += len(p)
	}
	if len(c.out)+4+n > cap(c.out) {
		c.flush()
	}
	c.out = binary.BigEndian.AppendUint32(c.out, uint32(n))
	c.out = append(c.out, action)
	for _, p := range parts {
		c.out = append(c.out, p...)
	}
}

// flush sends what waits. The caller holds mu.
func (c *conn) flush() {
	if c.err == nil && len(c.out) > 0 {
		_ = c.SetWriteDeadline(clock.System{}.Now().Add(packetTime)) // fails only on a closed connection, as the write then does
		_, c.err = c.Conn.Write(c.out)
	}
	c.out = c.out[:0]
}

// Write implements net.Conn for the library, which writes one whole packet at a time. Its first one is the answer to
// the negotiation, where it claims version 2.
func (c *conn) Write(p []byte) (int, error) {
	err := c.send(p)
	if c.ending {
		c.finish()
	}
	return len(p), err
}

func (c *conn) send(p []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.offered && len(p) >= 9 && p[4] == cmdNegotiate {
		c.offered = true
		c.out = append(c.out, p...)
		binary.BigEndian.PutUint32(c.out[len(c.out)-len(p)+5:], version)
	} else {
		c.out = append(c.out, p...)
	}
	c.flush()
	return c.err
}

func number(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

// postfixLines gives a header value the line ends that Postfix wants there.
func postfixLines(value string) []byte {
	return []byte(strings.ReplaceAll(value, "\r\n", "\n"))
}
