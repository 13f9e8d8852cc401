package lda

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/emersion/go-smtp"

	"github.com/ceralacca/ceralacca/internal/effect"
	"github.com/ceralacca/ceralacca/internal/rawmsg"
	"github.com/ceralacca/ceralacca/internal/reply"
	"github.com/ceralacca/ceralacca/pec"
)

// session is one LMTP connection of Postfix. The library calls it from one goroutine at a time, but for Logout.
type session struct {
	agent *Agent
	conn  *conn
	p     *presentation // the transaction under way
	// replied says that the answers are on their way to Postfix, for the probe.
	replied bool
}

var _ smtp.LMTPSession = (*session)(nil)

// Reset implements smtp.Session. The library calls it when all answers to a message are on the wire.
func (s *session) Reset() {
	if s.replied {
		s.agent.o.Register.Probe().At("after "+effect.StepReply, "")
	}
	s.p, s.replied = nil, false
}

// Logout implements smtp.Session. It runs while LMTPData may still do: it MUST NOT touch the transaction.
func (s *session) Logout() error { return nil }

// Mail implements smtp.Session.
func (s *session) Mail(from string, o *smtp.MailOptions) error {
	s.p = &presentation{sender: from, dsnOnly: s.conn.dsnOnly, gone: s.conn.gone}
	if o != nil {
		s.p.envelopeID = o.EnvelopeID
	}
	return nil
}

// Rcpt implements smtp.Session. Every recipient is taken here and answered after the content: before it nothing proves
// that Postfix means what it says.
func (s *session) Rcpt(to string, o *smtp.RcptOptions) error {
	r := recipient{raw: to}
	r.address, _ = pec.ParseAddress(to) // zero is answered after the content
	if o != nil && o.OriginalRecipientType == smtp.DSNAddressTypeRFC822 {
		r.original, _ = pec.ParseAddress(o.OriginalRecipient) // zero stands for none
	}
	s.p.recipients = append(s.p.recipients, r)
	return nil
}

// Data implements smtp.Session. The library calls it for SMTP only.
func (s *session) Data(io.Reader) error { return onWire(reply.For(nil, reply.DoorLMTP)) }

// LMTPData implements smtp.LMTPSession. Recipients are answered by their place, each once and in order: the library
// keeps one queue for those that are alike, takes a missing answer for 250 and any error that is not its own type for
// a permanent one.
func (s *session) LMTPData(r io.Reader, status smtp.StatusCollector) error {
	p := s.p
	s.conn.enter()
	defer s.conn.leave()
	replies := s.answer(p, r)
	s.agent.o.Register.Probe().At("before "+effect.StepReply, "")
	s.replied = true
	for i, one := range p.recipients {
		status.SetStatus(one.raw, onWire(replies[i]))
	}
	return nil
}

// answer captures the message and has it worked on.
func (s *session) answer(p *presentation, r io.Reader) []reply.Reply {
	later := make([]reply.Reply, len(p.recipients))
	for i := range later {
		later[i] = reply.For(nil, reply.DoorLMTP)
	}
	w := rawmsg.NewWriter(s.agent.o.Spool)
	w.SkipDigest() // what follows the record is hashed when it is known where that is
	if err := s.conn.content(w, r); err != nil {
		w.Discard()
		s.agent.o.Log.Warn("a message did not arrive whole", "error", err)
		return later
	}
	message, err := w.Finish()
	if err != nil {
		s.agent.o.Log.Error("a message was not captured", "error", err)
		return later
	}
	defer message.Close()
	p.message = message
	return s.agent.present(s.conn.work, p)
}

// onlyWriter hides every method but Write, so that the copy uses its buffer.
type onlyWriter struct{ io.Writer }

// onWire is a reply in the library's type; nil is its success.
func onWire(r reply.Reply) error {
	if r.Code == 250 {
		return nil
	}
	return &smtp.SMTPError{Code: r.Code, EnhancedCode: smtp.EnhancedCode(r.Enhanced), Message: r.Text}
}

// newServer makes the LMTP server of a listener. Its limits are off: sizes were limited at the door of Postfix, and its
// read timeout is set once per message and ends in a permanent error; conn has a deadline of its own.
func newServer(a *Agent, host string) *smtp.Server {
	server := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		own, ok := c.Conn().(*conn)
		if !ok {
			return nil, errors.New("lda: a connection that is not ours")
		}
		return &session{agent: a, conn: own}, nil
	}))
	server.LMTP, server.Domain = true, host
	server.EnableDSN = true // ENVID and ORCPT come only to those who offer it
	server.MaxLineLength, server.MaxMessageBytes, server.MaxRecipients = 0, 0, 0
	server.ReadTimeout, server.WriteTimeout = 0, 0
	server.ErrorLog = libraryLog{a}
	return server
}

// libraryLog is what the library has to say.
type libraryLog struct{ agent *Agent }

var _ smtp.Logger = libraryLog{}

// Printf implements smtp.Logger.
func (l libraryLog) Printf(format string, v ...any) {
	l.agent.o.Log.WarnContext(context.Background(), "lmtp: "+fmt.Sprintf(format, v...))
}

// Println implements smtp.Logger.
func (l libraryLog) Println(v ...any) {
	l.agent.o.Log.WarnContext(context.Background(), "lmtp: "+fmt.Sprintln(v...))
}
