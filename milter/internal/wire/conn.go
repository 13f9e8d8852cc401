package wire

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"github.com/ceralacca/ceralacca/internal/clock"
)

const (
	// idleTime is how long Postfix may be silent between packets: as long as a slow client may take to send its message,
	// of which a milter hears only when Postfix has all of it.
	idleTime = 24 * time.Hour
	// packetTime is how long a packet may take, once begun, in either direction.
	packetTime = 5 * time.Minute
)

// conn is the connection that the library reads and writes. It hands the library whole packets; those of the header and
// the body, which get no answer, it hands straight to the handler.
type conn struct {
	net.Conn
	server *Server
	r      *bufio.Reader
	in     []byte // the packet in hand, its four bytes of length first
	unread []byte // the end of in that the library has not read yet

	offered bool // the negotiation is over
	macros  map[byte]Macros
	addr    string // of the MAIL or RCPT command in hand
	params  []string
	handler Handler
	broken  bool // the handler panicked: 451 is all that is left for this transaction
	ending  bool // the next reply is the last of the transaction

	mu  sync.Mutex // guards what follows: progress is written from another goroutine
	out []byte     // what Postfix has still to be told
	err error      // why it cannot be told any more

	closing sync.Once
}

func newConn(s *Server, c net.Conn) *conn {
	return &conn{
		Conn: c, server: s, r: bufio.NewReaderSize(c, 8<<10), in: make([]byte, 4<<10),
		out: make([]byte, 0, 4<<10), macros: map[byte]Macros{},
	}
}

// Read implements net.Conn for the library. Trouble is logged here and is a plain end for the library.
func (c *conn) Read(p []byte) (int, error) {
	for len(c.unread) == 0 {
		if err := c.next(); err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
				c.server.o.Log.Warn("milter connection ends", slog.Any("error", err))
			}
			return 0, io.EOF
		}
	}
	n := copy(p, c.unread)
	c.unread = c.unread[n:]
	return n, nil
}

// next reads one packet and sees to it, or leaves it to the library.
func (c *conn) next() error {
	if err := c.receive(); err != nil {
		return err
	}
	command, b := c.in[4], c.in[5:]
	switch command {
	case cmdHeader:
		return c.header(b)
	case cmdEndHeader:
		c.hand(func(h Handler) { h.EndHeader() })
		return nil
	case cmdBody:
		c.hand(func(h Handler) { h.Body(b) })
		return nil
	case cmdMacro:
		if len(b) > 0 && b[0] == cmdBody {
			return nil // they come before each piece and say nothing new
		}
		return c.keepMacros(b)
	}
	c.unread = c.in
	return c.look(command, b)
}

// receive fills c.in with the next packet.
func (c *conn) receive() error {
	var length [4]byte
	_ = c.SetReadDeadline(clock.System{}.Now().Add(idleTime)) // fails only on a closed connection, as the read then does
	if _, err := c.r.Peek(1); err != nil {
		return err
	}
	_ = c.SetReadDeadline(clock.System{}.Now().Add(packetTime))
	if _, err := io.ReadFull(c.r, length[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(length[:])
	if n == 0 || n > maxPacket {
		return fmt.Errorf("%w: %d bytes", errMalformed, n)
	}
	if cap(c.in) < int(n)+4 {
		c.in = make([]byte, max(int(n)+4, 4+1+maxPiece))
	}
	c.in = c.in[:n+4]
	copy(c.in, length[:])
	_, err := io.ReadFull(c.r, c.in[4:])
	return err
}

// look reads along in a packet that the library gets.
func (c *conn) look(command byte, b []byte) (err error) {
	switch command {
	case cmdNegotiate:
		return checkOffer(b)
	case cmdMail, cmdRcpt:
		c.addr, c.params, err = parsePath(b)
	case cmdEnd:
		if len(b) > 0 {
			c.hand(func(h Handler) { h.Body(b) })
		}
	case cmdQuitNew: // the library does not know it; to it, and to us, the transaction is over and all macros are void
		c.in[4] = cmdAbort
		clear(c.macros)
	case cmdAbort, cmdQuit:
	default: // the library would write to a log of its own
		return fmt.Errorf("%w: command %q was not asked for", errMalformed, command)
	}
	return err
}

func (c *conn) header(b []byte) error {
	name, value, err := parseHeader(b)
	if err == nil {
		c.hand(func(h Handler) { h.Header(name, value) })
	}
	return err
}

func (c *conn) keepMacros(b []byte) error {
	command, m, err := parseMacros(b)
	c.macros[command] = m
	return err
}

// take returns the macros that came for a command; they are good once.
func (c *conn) take(command byte) Macros {
	m := c.macros[command]
	delete(c.macros, command)
	return m
}

// begin makes the handler of a new transaction.
func (c *conn) begin() {
	c.finish()
	c.broken, c.ending = false, false
	c.server.busy(c, true)
	m := c.take(cmdMail)
	c.guard(func() { c.handler = c.server.o.New(m) })
}

// finish ends the transaction, if there is one, and the connection when the server is going down.
func (c *conn) finish() {
	if h := c.handler; h != nil {
		c.guard(h.Close)
		c.handler = nil
	}
	c.ending = false
	c.server.busy(c, false)
}

// hand calls the handler unless there is none any more.
func (c *conn) hand(f func(Handler)) {
	if c.handler != nil && !c.broken {
		c.guard(func() { f(c.handler) })
	}
}

// decide calls the handler for a reply; without one, or when it panics, the reply is 451.
func (c *conn) decide(f func(Handler) Reply) (r Reply) {
	c.hand(func(h Handler) { r = f(h) })
	if c.broken {
		return Reply{}
	}
	return r
}

// guard is the one recover of the connection: a fault of ours costs one transaction, is told to Postfix as temporary,
// and counted.
func (c *conn) guard(f func()) {
	defer func() {
		if p := recover(); p != nil {
			c.broken = true
			c.server.o.Log.Error("panic in a milter transaction", slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
			c.server.o.Panicked()
		}
	}()
	f()
}

// end runs the last step of the handler, with progress told to Postfix meanwhile.
func (c *conn) end(ctx context.Context) Reply {
	ctx, cancel := context.WithCancel(ctx)
	var waiting sync.WaitGroup
	e := &Edits{c: c}
	waiting.Go(func() { c.tellProgress(ctx, e) })
	m := c.take(cmdEnd)
	r := c.decide(func(h Handler) Reply { return h.End(ctx, m, e) })
	cancel()
	waiting.Wait()
	c.ending = true
	if err := e.Err(); err != nil {
		c.server.o.Log.Error("edits not made", slog.Any("error", err))
		r = Reply{}
	}
	e.abandon()
	return r
}

// Close implements net.Conn for the library, which closes when it is done with the connection.
func (c *conn) Close() error {
	err := c.Conn.Close()
	c.closing.Do(func() {
		c.finish()
		c.server.forget(c)
	})
	return err
}
