package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/ceralacca/ceralacca/deploy/lab/client"
)

// load is a number of messages that a number of clients send, each message in a connection of its own.
type load struct {
	network, address string
	hello            string // EHLO or LHLO
	login            *client.Login
	from             string
	to               []string
	count, sessions  int
	text             func(w io.Writer, n int) error // writes message n, without lines that begin with a dot
	keep             bool                           // a client sends all its messages in one connection
	together         bool                           // all messages are open at the same time before the first ends
}

func (l load) send(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	var next atomic.Int64
	var meet *barrier
	if l.together {
		meet = newBarrier(l.sessions)
	}
	for range l.sessions {
		group.Go(func() error {
			var s *session
			defer func() { s.close() }()
			for n := int(next.Add(1)); n <= l.count && ctx.Err() == nil; n = int(next.Add(1)) {
				var err error
				if s, err = l.one(ctx, s, n, meet); err != nil {
					return fmt.Errorf("message %d to %s: %w", n, l.address, err)
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// one sends message n in the session, or in a new one, and returns the session if the next message may use it.
func (l load) one(ctx context.Context, s *session, n int, meet *barrier) (*session, error) {
	if s == nil {
		var err error
		if s, err = l.begin(); err != nil {
			return nil, err
		}
	}
	var before func() error
	if meet != nil {
		before = func() error { return meet.wait(ctx) }
	}
	err := s.send(l.from, l.to, func(w io.Writer) error { return l.text(w, n) }, before)
	if l.keep && err == nil {
		return s, nil
	}
	s.close()
	return nil, err
}

// begin opens a session and logs in.
func (l load) begin() (*session, error) {
	s, err := open(l.network, l.address, l.hello)
	if err != nil || l.login == nil {
		return s, err
	}
	if err := s.login(*l.login); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// barrier lets nobody through until all are there.
type barrier struct {
	mu      sync.Mutex
	missing int
	all     chan struct{}
}

func newBarrier(n int) *barrier { return &barrier{missing: n, all: make(chan struct{})} }

func (b *barrier) wait(ctx context.Context) error {
	b.mu.Lock()
	b.missing--
	if b.missing == 0 {
		close(b.all)
	}
	b.mu.Unlock()
	select {
	case <-b.all:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Lines of base64, as an attachment has them.
const (
	lineLength = 76 + len("\r\n")
	blockLines = 800
)

// base64Lines are random bytes as a block of lines.
func base64Lines() []byte {
	raw := make([]byte, blockLines*57)
	_, _ = rand.Read(raw) // never fails: the runtime ends the process instead
	text := base64.StdEncoding.EncodeToString(raw)
	var block []byte
	for i := 0; i < len(text); i += 76 {
		block = append(append(block, text[i:i+76]...), "\r\n"...)
	}
	return block
}

// mail writes messages of about size bytes from one address to another, told apart by their Message-IDs.
func mail(from, to string, size int) func(io.Writer, int) error {
	block, run := base64Lines(), rand.Text()
	return func(w io.Writer, n int) error {
		head := fmt.Sprintf("From: <%s>\r\nTo: <%s>\r\nSubject: bench\r\nMessage-ID: <%s.%d@bench.example>\r\n"+
			"Date: Sun, 22 Nov 2026 12:00:00 +0000\r\nMIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\n"+
			"Content-Transfer-Encoding: base64\r\n\r\n", from, to, run, n)
		if _, err := io.WriteString(w, head); err != nil {
			return err
		}
		for left := (size - len(head)) / lineLength * lineLength; left > 0; left -= len(block) {
			if _, err := w.Write(block[:min(left, len(block))]); err != nil {
				return err
			}
		}
		return nil
	}
}
