package wire

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/textproto"
	"sync"
	"time"

	milter "github.com/emersion/go-milter"
)

// Options are what a server needs; all MUST be set.
type Options struct {
	New      func(Macros) Handler // makes the handler of a new transaction; m is what Postfix says of the client
	Log      *slog.Logger
	Panicked func()        // counts panics of handlers
	Progress time.Duration // how often Postfix is told to wait on; well under its milter_content_timeout of 300 s
}

// Server accepts connections of Postfix. Its methods are safe for concurrent use.
type Server struct {
	o      Options
	ctx    context.Context // of all handlers; ends when a shutdown does not wait any more
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu        sync.Mutex
	listeners map[net.Listener]bool
	conns     map[*conn]bool // true: a transaction is in hand
	down      bool
}

// NewServer makes a server without listeners.
func NewServer(o Options) *Server {
	ctx, cancel := context.WithCancel(context.Background())
	return &Server{o: o, ctx: ctx, cancel: cancel, listeners: map[net.Listener]bool{}, conns: map[*conn]bool{}}
}

// Serve accepts connections until Shutdown, when it returns nil, or until the listener fails. It closes the listener.
func (s *Server) Serve(l net.Listener) error {
	defer func() { _ = l.Close() }() // closed before, or failed: nobody could do anything
	s.mu.Lock()
	s.listeners[l] = true
	down := s.down
	s.mu.Unlock()
	for !down {
		c, err := l.Accept()
		if err != nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.down && errors.Is(err, net.ErrClosed) {
				return nil
			}
			return fmt.Errorf("milter: accept: %w", err)
		}
		s.start(c)
	}
	return nil
}

// start runs the library on one connection: it serves a listener that has just this one to give.
func (s *Server) start(nc net.Conn) {
	c := newConn(s, nc)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		_ = nc.Close() // nothing was said on it
		return
	}
	s.conns[c] = false
	s.wg.Add(1)
	one := &single{c: c, closed: make(chan struct{})}
	library := milter.Server{
		NewMilter: func() milter.Milter { return session{c} },
		Actions:   actions, Protocol: steps, SymList: symbols(),
	}
	go func() { _ = library.Serve(one) }() // it fails at once for want of a second connection, which is what we want
}

// Shutdown closes the listeners and idle connections, lets transactions in hand end until ctx does, whose error it then
// returns, having cut off the rest.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.down = true
	for l := range s.listeners {
		_ = l.Close() // nobody could do anything
	}
	s.closeConns(false)
	s.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		s.wg.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		s.cancel()
		return nil
	case <-ctx.Done():
	}
	s.cancel()
	s.mu.Lock()
	s.closeConns(true)
	s.mu.Unlock()
	<-ended
	return ctx.Err()
}

// closeConns closes connections without a transaction in hand, or all. The caller holds mu. The library sees its read
// fail, and closes again, which is when the connection is forgotten.
func (s *Server) closeConns(all bool) {
	for c, busy := range s.conns {
		if all || !busy {
			_ = c.Conn.Close() // it is gone either way
		}
	}
}

// busy notes whether c has a transaction in hand.
func (s *Server) busy(c *conn, yes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.conns[c]; !known {
		return
	}
	s.conns[c] = yes
	if s.down && !yes {
		_ = c.Conn.Close() // as in closeConns
	}
}

func (s *Server) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	s.wg.Done()
}

// single is a listener with one connection to give.
type single struct {
	c      *conn
	given  bool
	closed chan struct{}
}

// Accept implements net.Listener.
func (l *single) Accept() (net.Conn, error) {
	if l.given {
		return nil, net.ErrClosed
	}
	l.given = true
	return l.c, nil
}

// Close implements net.Listener.
func (l *single) Close() error { return nil }

// Addr implements net.Listener.
func (l *single) Addr() net.Addr { return l.c.LocalAddr() }

// session is what the library calls: the commands that get an answer.
type session struct{ c *conn }

var _ milter.Milter = session{}

// MailFrom implements milter.Milter. The address of the library is not used: it has no parameters, and no brackets of
// any number.
func (s session) MailFrom(string, *milter.Modifier) (milter.Response, error) {
	s.c.begin()
	r := s.c.decide(func(h Handler) Reply { return h.Mail(s.c.addr, s.c.params) })
	s.c.ending = !r.continues()
	return r.response(), nil
}

// RcptTo implements milter.Milter.
func (s session) RcptTo(string, *milter.Modifier) (milter.Response, error) {
	return s.c.decide(func(h Handler) Reply { return h.Rcpt(s.c.addr, s.c.params) }).response(), nil
}

// Body implements milter.Milter.
func (s session) Body(*milter.Modifier) (milter.Response, error) {
	r := s.c.end(s.c.server.ctx)
	if r.continues() {
		return milter.RespAccept, nil
	}
	return r.response(), nil
}

// Abort implements milter.Milter.
func (s session) Abort(*milter.Modifier) error {
	s.c.finish()
	return nil
}

// Connect implements milter.Milter; it and the following are not asked for.
func (session) Connect(string, string, uint16, net.IP, *milter.Modifier) (milter.Response, error) {
	return milter.RespContinue, nil
}

// Helo implements milter.Milter.
func (session) Helo(string, *milter.Modifier) (milter.Response, error) {
	return milter.RespContinue, nil
}

// Header implements milter.Milter.
func (session) Header(string, string, *milter.Modifier) (milter.Response, error) { return nil, nil }

// Headers implements milter.Milter.
func (session) Headers(textproto.MIMEHeader, *milter.Modifier) (milter.Response, error) {
	return nil, nil
}

// BodyChunk implements milter.Milter.
func (session) BodyChunk([]byte, *milter.Modifier) (milter.Response, error) { return nil, nil }
