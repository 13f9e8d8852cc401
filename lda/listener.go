package lda

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/internal/config"
	"github.com/ceralacca/ceralacca/internal/socket"
)

const (
	// idle is how long Postfix may say nothing; it closes cached connections itself long before.
	idle = 10 * time.Minute
	// grace is how long what is in hand may take once the agent is asked to end.
	grace = 60 * time.Second
)

// listener accepts the connections of one socket and knows which of them are in the middle of a message.
type listener struct {
	net.Listener
	dsnOnly bool
	work    context.Context // of what is in hand; ends after the grace

	mu    sync.Mutex
	conns map[*conn]bool
	ended bool
}

// listen opens a socket. A unix socket gets the group of its folder, and is for that group and the daemon only.
func listen(work context.Context, e config.Endpoint, dsnOnly bool) (*listener, error) {
	l, err := socket.ListenAsFolder(e.Network, e.Address)
	if err != nil {
		return nil, fmt.Errorf("lda: %w", err)
	}
	return &listener{Listener: l, dsnOnly: dsnOnly, work: work, conns: make(map[*conn]bool)}, nil
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	inner, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: inner, listener: l, dsnOnly: l.dsnOnly, work: l.work}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return nil, errors.Join(net.ErrClosed, inner.Close())
	}
	l.conns[c] = true
	return c, nil
}

// end closes the connections that Postfix keeps for later; those with a message in hand close when they are done.
func (l *listener) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	for c := range l.conns {
		if !c.busy {
			_ = c.Conn.Close() // nobody waits for anything on it
		}
	}
}

// conn is a connection of Postfix.
type conn struct {
	net.Conn
	listener *listener
	dsnOnly  bool
	work     context.Context

	// Both guarded by listener.mu: a message is in hand; its answers are given and perhaps not written yet.
	busy, answered bool

	// Of the goroutine that serves the connection, and of that which has a message in hand while the other one waits.
	commands commands
	ahead    []byte // what the library reads next
}

// Read implements net.Conn with a deadline that every read renews. The library reads again once the replies to a
// message are written: that is when an agent that is ending hangs up.
func (c *conn) Read(p []byte) (int, error) {
	if len(c.ahead) > 0 {
		n := copy(p, c.ahead)
		c.ahead, c.commands = c.ahead[n:], commands{midLine: !bytes.HasSuffix(p[:n], []byte("\n"))}
		return n, nil
	}
	if c.over() {
		return 0, io.EOF
	}
	if err := c.SetReadDeadline(clock.System{}.Now().Add(idle)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(p)
	c.commands = c.commands.then(p[:n])
	return n, err
}

func (c *conn) over() bool {
	c.listener.mu.Lock()
	defer c.listener.mu.Unlock()
	if c.answered {
		c.busy, c.answered = false, false
	}
	return c.listener.ended && !c.busy
}

// Write implements net.Conn with a deadline of its own.
func (c *conn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(clock.System{}.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.listener.mu.Lock()
	delete(c.listener.conns, c)
	c.listener.mu.Unlock()
	return c.Conn.Close()
}

// enter and leave surround a message.
func (c *conn) enter() { c.mark(true, false) }

func (c *conn) leave() { c.mark(true, true) }

func (c *conn) mark(busy, answered bool) {
	c.listener.mu.Lock()
	defer c.listener.mu.Unlock()
	c.busy, c.answered = busy, answered
}

// gone says whether Postfix has closed the connection, without reading from it.
func (c *conn) gone() bool {
	raw, ok := c.Conn.(syscall.Conn)
	if !ok {
		return false
	}
	control, err := raw.SyscallConn()
	if err != nil {
		return true
	}
	closed := false
	err = control.Control(func(fd uintptr) {
		one := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		n, err := unix.Poll(one, 0)
		closed = err == nil && n > 0 && one[0].Revents&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR|unix.POLLNVAL) != 0
	})
	return err != nil || closed
}
