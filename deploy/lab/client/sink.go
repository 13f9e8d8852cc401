package client

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"

	"github.com/emersion/go-smtp"
)

// Sink is a mail server that stands in for a provider without a host. It takes every message, or none.
type Sink struct {
	server *smtp.Server
	mu     sync.Mutex
	got    []Received
	refuse *smtp.SMTPError
}

// Received is one message that a Sink took.
type Received struct {
	From string
	To   []string
	Raw  []byte
}

// ListenSink opens a sink at DELTA_HOST and DELTA_SINK_PORT; refuse, if not nil, is its answer to every recipient. The
// caller closes it.
func (e Env) ListenSink(refuse *smtp.SMTPError) (*Sink, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(e["DELTA_HOST"], e["DELTA_SINK_PORT"]))
	if err != nil {
		return nil, err
	}
	s := &Sink{refuse: refuse}
	pair, err := tls.LoadX509KeyPair(e["DELTA_CERT"], e["DELTA_KEY"]) // providers do not look at names, only for TLS
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	s.server = smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &sinkSession{sink: s}, nil }))
	s.server.Domain, s.server.TLSConfig = e["DELTA_DOMAIN"], &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	s.server.MaxLineLength, s.server.MaxMessageBytes = 0, 0
	go func() { _ = s.server.Serve(l) }() // ends with Close
	return s, nil
}

// Close ends the sink.
func (s *Sink) Close() error { return s.server.Close() }

// Got is what arrived until now.
func (s *Sink) Got() []Received {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Received(nil), s.got...)
}

type sinkSession struct {
	sink *Sink
	now  Received
}

func (s *sinkSession) Reset()        { s.now = Received{} }
func (s *sinkSession) Logout() error { return nil }

func (s *sinkSession) Mail(from string, _ *smtp.MailOptions) error {
	s.now = Received{From: from}
	return nil
}

func (s *sinkSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	if s.sink.refuse != nil {
		return s.sink.refuse
	}
	s.now.To = append(s.now.To, to)
	return nil
}

func (s *sinkSession) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.now.Raw = raw
	s.sink.mu.Lock()
	defer s.sink.mu.Unlock()
	s.sink.got = append(s.sink.got, s.now)
	return nil
}
