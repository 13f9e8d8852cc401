package lda

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/ceralacca/ceralacca/internal/clock"
)

// Connections to Dovecot and to the outbound instance are kept for the next message: a TLS handshake and a greeting
// each time cost more than the message.
const (
	lineIdle = 20 * time.Second // well under what either peer waits for a command
	lineAge  = 2 * time.Minute  // then the peer's and our certificates are shown anew
	lineMax  = 16
	// commandTimeout bounds the wait for an answer to a command; after the final dot the library waits longer, and the
	// hand-over as a whole has handOverTimeout.
	commandTimeout = time.Minute
)

// line is a connection that has said hello.
type line struct {
	client    *smtp.Client
	conn      io.Writer // under the client's buffer; nil when it is encrypted
	live      *settings // that it was made by
	made      time.Time
	lastUsed  time.Time
	fromStore bool // it was kept
}

// errStale says that a kept connection has died before anything of a message was on it.
var errStale = errors.New("the connection has died meanwhile")

// lines are the kept connections to one peer. Its zero value is ready.
type lines struct {
	mu    sync.Mutex
	idle  []*line
	ended bool
}

// take returns the connection used last, or nil.
func (l *lines) take(live *settings) *line {
	now := clock.System{}.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.idle) > 0 {
		one := l.idle[len(l.idle)-1]
		l.idle = l.idle[:len(l.idle)-1]
		if one.live == live && now.Sub(one.lastUsed) < lineIdle && now.Sub(one.made) < lineAge {
			one.fromStore = true
			return one
		}
		go one.quit()
	}
	return nil
}

// give keeps a connection on which a message was just taken.
func (l *lines) give(one *line) {
	one.lastUsed = clock.System{}.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended || len(l.idle) >= lineMax {
		go one.quit()
		return
	}
	l.idle = append(l.idle, one)
}

// end closes what is kept, and keeps nothing any more.
func (l *lines) end() {
	l.mu.Lock()
	idle := l.idle
	l.idle, l.ended = nil, true
	l.mu.Unlock()
	for _, one := range idle {
		one.quit()
	}
}

// quit says goodbye; the peer has taken all messages, so that nothing else matters.
func (one *line) quit() {
	_ = one.client.Quit()
	_ = one.client.Close()
}

// through has one conversation, on a kept connection if there is one. A kept one that turns out dead before the message
// is no failure: the next is tried. The end of ctx ends the conversation.
func (l *lines) through(ctx context.Context, live *settings, dial func(context.Context) (*line, error), talk func(*line) error) error {
	for {
		one := l.take(live)
		if one == nil {
			var err error
			if one, err = dial(ctx); err != nil {
				return err
			}
			one.live, one.made = live, clock.System{}.Now()
		}
		stop := context.AfterFunc(ctx, func() { _ = one.client.Close() })
		err := talk(one)
		if stop() && err == nil {
			l.give(one)
			return nil
		}
		_ = one.client.Close() // the error is what matters
		if !one.fromStore || !errors.Is(err, errStale) || ctx.Err() != nil {
			return err
		}
	}
}

// mail begins a transaction on a line.
func (one *line) mail(from string, o *smtp.MailOptions) error {
	err := one.client.Mail(from, o)
	reply, isReply := errors.AsType[*smtp.SMTPError](err)
	if err != nil && (!isReply || reply.Code == 421) {
		return errors.Join(errStale, err)
	}
	return err
}
