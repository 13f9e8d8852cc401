// Package imap reads and fills the mailboxes of a Dovecot as its master user: it lists folders, streams messages out of them
// without touching a flag, and appends messages. It does not know what a message is, decides nothing, and keeps nothing
// between sessions.
package imap

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	imap "github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

var (
	// ErrLogin says that Dovecot does not let the master user into the mailbox.
	ErrLogin = errors.New("the master user is not let into the mailbox: see imap_master, its password, and whether the mailbox is there")
	// ErrFull says that the quota of the mailbox does not allow for a message.
	ErrFull = errors.New("the mailbox has no room for it: its quota in Dovecot is full")
)

// Server is where and as whom mailboxes are read.
type Server struct {
	Address string
	// TLS is nil for in clear, which is for the own host alone.
	TLS *tls.Config
	// Master and Password are those of a master user; Separator stands between mailbox and master.
	Master, Password, Separator string
}

// Parse reads where a Dovecot is: imaps://host[:port], or imap://host[:port] in clear, which only a loopback address may be. Without
// roots those of the system hold.
func Parse(text string, roots *x509.CertPool) (Server, error) {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Path != "" && u.Path != "/" {
		return Server{}, fmt.Errorf("%q is not imaps://host:port", text)
	}
	port := u.Port()
	switch {
	case u.Scheme == "imaps" && port == "":
		port = "993"
	case u.Scheme == "imap" && port == "":
		port = "143"
	}
	s := Server{Address: net.JoinHostPort(u.Hostname(), port)}
	switch {
	case u.Scheme == "imaps":
		s.TLS = &tls.Config{ServerName: u.Hostname(), RootCAs: roots, MinVersion: tls.VersionTLS12}
	case u.Scheme != "imap":
		return Server{}, fmt.Errorf("%q is not imaps://host:port", text)
	case !loopback(u.Hostname()):
		return Server{}, fmt.Errorf("%q is in clear, which only a loopback address may be; write imaps://", text)
	}
	return s, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// dialTimeout is how long a connection and a login may take each.
const dialTimeout = 30 * time.Second

// Open logs in to a mailbox. The end of ctx ends the session.
func (s Server) Open(ctx context.Context, mailbox string) (*Session, error) {
	conn, err := s.dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("imap: %w", err)
	}
	c := imapclient.New(conn, nil)
	stop := context.AfterFunc(ctx, func() { _ = c.Close() }) // ends the exchange; its error says so
	session := &Session{ctx: ctx, c: c, stop: stop}
	limit, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	defer context.AfterFunc(limit, func() {
		if errors.Is(limit.Err(), context.DeadlineExceeded) {
			_ = c.Close() // a server that says nothing
		}
	})()
	if err := c.Login(mailbox+s.Separator+s.Master, s.Password).Wait(); err != nil {
		session.Close()
		if refusal := (*imap.Error)(nil); errors.As(err, &refusal) && refusal.Type == imap.StatusResponseTypeNo && refusal.Code != imap.ResponseCodeUnavailable {
			return nil, fmt.Errorf("%w: %w", ErrLogin, err)
		}
		return nil, session.fault(err)
	}
	return session, nil
}

func (s Server) dial(ctx context.Context) (net.Conn, error) {
	dialer := &net.Dialer{Timeout: dialTimeout}
	if s.TLS == nil {
		return dialer.DialContext(ctx, "tcp", s.Address)
	}
	return (&tls.Dialer{NetDialer: dialer, Config: s.TLS}).DialContext(ctx, "tcp", s.Address)
}
