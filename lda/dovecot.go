package lda

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/internal/config"
	"github.com/ceralacca/ceralacca/internal/metrics"
	"github.com/ceralacca/ceralacca/policy"
)

const (
	// handOverTimeout bounds one hand-over. Postfix waits 600 s for the answer to a message (lmtp_data_done_timeout).
	handOverTimeout = 5 * time.Minute
	// writeTimeout is how long a peer may take no byte: the library sets no deadline while it writes.
	writeTimeout = 2 * time.Minute
)

// lmtp hands a message to Dovecot for one mailbox. Errors are *refusal or temporary. [C159]
func (a *Agent) lmtp(ctx context.Context, p parcel) error {
	ctx, cancel := context.WithTimeout(ctx, handOverTimeout)
	defer cancel()
	live := a.live.Load()
	dial := func(ctx context.Context) (*line, error) { return dialDovecot(ctx, live.config.Dovecot.LMTP) }
	err := a.toDovecot.through(ctx, live, dial, func(one *line) error { return converse(one, p) })
	if err != nil {
		a.o.Metrics.Count(metrics.HandOvers, "dovecot")
		return fmt.Errorf("dovecot: %w", judge(err))
	}
	return nil
}

func dialDovecot(ctx context.Context, end config.Endpoint) (*line, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, end.Network, end.Address)
	if err != nil {
		return nil, err
	}
	own := &patient{conn}
	one := &line{client: smtp.NewClientLMTP(own), conn: own}
	one.client.CommandTimeout = commandTimeout
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // ends the greeting; its error says so
	defer stop()
	if err := one.client.Hello("localhost"); err != nil {
		_ = conn.Close() // the error is what matters
		return nil, err
	}
	return one, nil
}

func converse(one *line, p parcel) error {
	c := one.client
	if err := one.mail(p.from, nil); err != nil {
		return err
	}
	if err := c.Rcpt(p.to.String(), nil); err != nil {
		return &atRecipient{err}
	}
	data, err := c.Data()
	if err != nil {
		return err
	}
	content := newDotted(one.conn) // the library's buffer is empty: it has just read the answer to DATA
	if err := p.write(content); err != nil {
		return err
	}
	if err := content.finish(data); err != nil {
		return err
	}
	replies, err := data.CloseWithLMTPResponse()
	if refused, ok := errors.AsType[smtp.LMTPDataError](err); ok {
		if one := refused[p.to.String()]; one != nil {
			return &atRecipient{one}
		}
	}
	if err == nil && replies[p.to.String()] == nil {
		err = errors.New("no answer for the recipient")
	}
	if _, ok := errors.AsType[*smtp.SMTPError](err); err != nil && !ok {
		return fmt.Errorf("%w: %w", errUncertain, err)
	}
	return err
}

// errUncertain says that a message may lie in its mailbox or not: the answer was lost, or the mailbox could not be asked.
var errUncertain = errors.New("it may have arrived")

// atRecipient is a reply that speaks of the recipient, and not of the connection or of Dovecot as a whole.
type atRecipient struct{ error }

func (e *atRecipient) Unwrap() error { return e.error }

// judge makes a permanent reply about the recipient a refusal. A permanent reply to anything else says that something
// is set wrong, and must not become a certified non-delivery.
func judge(err error) error {
	about, ok := errors.AsType[*atRecipient](err)
	if !ok {
		return err
	}
	reply, ok := errors.AsType[*smtp.SMTPError](about.error)
	if !ok {
		return err
	}
	e := reply.EnhancedCode
	attempt := policy.Attempt{Code: reply.Code, Text: reply.Message}
	if e != (smtp.EnhancedCode{}) && e != smtp.NoEnhancedCode {
		attempt.Enhanced = fmt.Sprintf("%d.%d.%d", e[0], e[1], e[2])
	}
	if !policy.Permanent(attempt) {
		return err
	}
	return &refusal{attempt}
}

// patient is a connection on which every write has a deadline of its own.
type patient struct{ net.Conn }

func (c *patient) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(clock.System{}.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}
