package wire

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	milter "github.com/emersion/go-milter"

	"github.com/ceralacca/ceralacca/internal/socket"
)

// mta plays Postfix.
type mta struct {
	t testing.TB
	c net.Conn
	r *bufio.Reader
}

func (m *mta) send(command byte, parts ...string) {
	m.t.Helper()
	body := strings.Join(parts, "")
	b := binary.BigEndian.AppendUint32(nil, uint32(len(body)+1))
	m.raw(append(append(b, command), body...))
}

func (m *mta) raw(b []byte) {
	m.t.Helper()
	if _, err := m.c.Write(b); err != nil {
		m.t.Fatalf("writing to the milter: %v", err)
	}
}

// recv returns the next packet as its command and payload; "" at the end of the connection.
func (m *mta) recv() string {
	m.t.Helper()
	_ = m.c.SetReadDeadline(time.Now().Add(20 * time.Second))
	var length uint32
	if err := binary.Read(m.r, binary.BigEndian, &length); err != nil {
		if ne, ok := err.(net.Error); ok && ne.Timeout() {
			m.t.Fatal("the milter says nothing")
		}
		return ""
	}
	b := make([]byte, length)
	if _, err := io.ReadFull(m.r, b); err != nil {
		m.t.Fatalf("a packet broke off: %v", err)
	}
	return string(b)
}

func (m *mta) want(packets ...string) {
	m.t.Helper()
	for _, want := range packets {
		if got := m.recv(); got != want {
			m.t.Fatalf("the milter said %.100q, want %.100q", got, want)
		}
	}
}

func u32(n ...uint32) string {
	var b []byte
	for _, one := range n {
		b = binary.BigEndian.AppendUint32(b, one)
	}
	return string(b)
}

// negotiate offers what Postfix 3.7 does.
func (m *mta) negotiate() *mta {
	m.t.Helper()
	m.send('O', u32(6, 0x1ff, 0x1fffff))
	if got := m.recv(); !strings.HasPrefix(got, "O"+u32(6)) {
		m.t.Fatalf("negotiation: %q", got)
	}
	return m
}

// begin is a transaction up to the body.
func (m *mta) begin() {
	m.t.Helper()
	m.send('D', "M{auth_authen}\x00mario\x00")
	m.send('M', "<a@b.c>\x00")
	m.want("c")
	m.send('R', "<d@e.f>\x00")
	m.want("c")
	m.send('L', "Subject\x00 hello\x00")
	m.send('N')
	m.send('B', "body\r\n")
}

// script is a handler made of functions; nil ones let everything pass.
type script struct {
	log    func(string)
	mail   func() Reply
	rcpt   func(string) Reply
	body   func()
	end    func(context.Context, *Edits) Reply
	closed func()
}

func (s *script) say(format string, a ...any) {
	if s.log != nil {
		s.log(fmt.Sprintf(format, a...))
	}
}

func (s *script) Mail(addr string, params []string) Reply {
	s.say("mail %q %q", addr, params)
	if s.mail != nil {
		return s.mail()
	}
	return Continue()
}

func (s *script) Rcpt(addr string, params []string) Reply {
	s.say("rcpt %q %q", addr, params)
	if s.rcpt != nil {
		return s.rcpt(addr)
	}
	return Continue()
}

func (s *script) Header(name string, value []byte) { s.say("header %q %q", name, value) }
func (s *script) EndHeader()                       { s.say("end of header") }
func (s *script) Body(p []byte) {
	s.say("body %q", p)
	if s.body != nil {
		s.body()
	}
}

func (s *script) End(ctx context.Context, m Macros, e *Edits) Reply {
	s.say("end %q", m["i"])
	if s.end != nil {
		return s.end(ctx, e)
	}
	return Continue()
}

func (s *script) Close() {
	s.say("close")
	if s.closed != nil {
		s.closed()
	}
}

// server is one with handlers made by next.
type server struct {
	*Server
	path   string
	panics atomic.Int32
	served chan error
}

func serve(t testing.TB, next func(Macros) Handler) *server {
	t.Helper()
	s := &server{path: filepath.Join(t.TempDir(), "s"), served: make(chan error, 1)}
	s.Server = NewServer(Options{
		New: next, Log: slog.New(slog.DiscardHandler), Panicked: func() { s.panics.Add(1) }, Progress: 10 * time.Millisecond,
	})
	l, err := socket.Listen("unix", s.path)
	if err != nil {
		t.Fatal(err)
	}
	go func() { s.served <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = s.Shutdown(ctx) // the test has looked already
		if err := <-s.served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return s
}

func (s *server) dial(t testing.TB) *mta {
	t.Helper()
	c, err := net.Dial("unix", s.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return &mta{t, c, bufio.NewReader(c)}
}

var _ milter.Milter = session{}
