package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/ceralacca/ceralacca/internal/clock"
)

// What can keep a clamd from answering. The next one may do better.
var (
	errDown   = errors.New("does not answer")
	errBroken = errors.New("ended in the middle")
	errSlow   = errors.New("is slow")
)

// errNetwork says that the plug-in has no network.
var errNetwork = errors.New("TCP is not there for a plug-in without network: write network = true in its section, or the unix socket of clamd")

// Bounds of the conversation.
const (
	piece     = 128 << 10 // bytes of a message that are sent at a time
	maxAnswer = 4 << 10   // bytes
	busyPause = 10 * time.Millisecond
)

// clamd is one daemon that can be asked. It is safe for concurrent use.
type clamd struct {
	address         address
	connect, answer time.Duration // answer may be 0: as long as the call allows
	clock           clock.Clock
}

// dial connects. A queue that is full is waited for.
func (c *clamd) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.connect)
	defer cancel()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, c.address.network, c.address.path)
		switch {
		case err == nil:
			return conn, nil
		case errors.Is(err, syscall.EAGAIN) && c.clock.Sleep(ctx, busyPause) == nil:
			continue
		case c.address.network == "tcp" && alone():
			return nil, fmt.Errorf("clamd at %s %w: %w", c.address, errDown, errNetwork)
		}
		return nil, fmt.Errorf("clamd at %s %w: %w", c.address, errDown, err)
	}
}

// alone says whether this process has no network at all, not even that of its machine.
func alone() bool {
	all, err := net.Interfaces()
	if err != nil {
		return false
	}
	for _, i := range all {
		if i.Flags&net.FlagUp != 0 {
			return false
		}
	}
	return true
}

// converse opens a connection that ends with ctx.
func (c *clamd) converse(ctx context.Context, talk func(net.Conn) error) error {
	conn, err := c.dial(ctx)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // whoever uses it hears of it
	defer func() {
		stop()
		_ = conn.Close() // all was said
	}()
	if err = talk(conn); ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// version asks which engine and which signatures there are.
func (c *clamd) version(ctx context.Context) (v release, err error) {
	err = c.converse(ctx, func(conn net.Conn) error {
		c.patience(conn, c.connect)
		if _, err := conn.Write([]byte("zVERSION\x00")); err != nil {
			return c.failure(err)
		}
		answer, err := c.read(conn)
		if err != nil {
			return err
		}
		v, err = parseVersion(answer)
		return err
	})
	return v, err
}

// stream sends content and returns the answer.
func (c *clamd) stream(ctx context.Context, content io.Reader) (answer string, err error) {
	err = c.converse(ctx, func(conn net.Conn) error {
		bound := c.bound(ctx)
		sent, err := c.send(conn, content, bound)
		if err != nil && sent {
			return err // the content's own fault
		}
		// An answer that came before the end says more than that the connection did not take the rest.
		c.patience(conn, bound)
		got, failed := c.read(conn)
		if failed != nil {
			return failed
		}
		answer = got
		if err != nil && !strings.HasSuffix(got, "ERROR") {
			return fmt.Errorf("clamd at %s %w: it answered %q before it had read everything", c.address, errBroken, clip(got))
		}
		return nil
	})
	return answer, err
}

// send sends content in pieces. With an error, content says that it could not be read, and otherwise clamd took no more.
func (c *clamd) send(conn net.Conn, from io.Reader, bound time.Duration) (content bool, err error) {
	c.patience(conn, bound)
	if _, err := conn.Write([]byte("zINSTREAM\x00")); err != nil {
		return false, err
	}
	buffer := make([]byte, 4+piece)
	for {
		n, err := io.ReadFull(from, buffer[4:])
		if n > 0 {
			binary.BigEndian.PutUint32(buffer, uint32(n))
			c.patience(conn, bound)
			if _, err := conn.Write(buffer[:4+n]); err != nil {
				return false, err
			}
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			_, err := conn.Write([]byte{0, 0, 0, 0})
			return false, err
		case err != nil:
			return true, err
		}
	}
}

// read reads one whole answer.
func (c *clamd) read(conn net.Conn) (string, error) {
	var answer []byte
	buffer := make([]byte, maxAnswer)
	for len(answer) < maxAnswer {
		n, err := conn.Read(buffer)
		answer = append(answer, buffer[:n]...)
		if n > 0 && answer[len(answer)-1] == 0 {
			return string(answer[:len(answer)-1]), nil
		}
		if err != nil {
			return "", c.failure(err)
		}
	}
	return "", fmt.Errorf("clamd at %s %w: it answers without end", c.address, errBroken)
}

// bound is how long a piece of a message, or the answer, may take. Something is left of the call, to say what was wrong.
func (c *clamd) bound(ctx context.Context) time.Duration {
	end, bounded := ctx.Deadline()
	switch {
	case c.answer > 0:
		return c.answer
	case bounded:
		return end.Sub(c.clock.Now()) * 5 / 6
	default:
		return time.Minute
	}
}

// patience bounds what comes next on the connection.
func (c *clamd) patience(conn net.Conn, d time.Duration) {
	_ = conn.SetDeadline(c.clock.Now().Add(d)) // on a connection that is closed the next use says so
}

func (c *clamd) failure(err error) error {
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return fmt.Errorf("clamd at %s %w", c.address, errSlow)
	}
	return fmt.Errorf("clamd at %s %w: %w", c.address, errBroken, err)
}
