package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"mime"
	"net"
	"net/mail"
	"net/smtp"
	"net/textproto"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/ceralacca/ceralacca/internal/secret"
)

// mailSettings say which server takes ordinary mail to notice addresses.
type mailSettings struct {
	Server     string `json:"server"`
	From       string `json:"from"`
	TLS        string `json:"tls"`
	User       string `json:"user"`
	SecretFile string `json:"secret_file"`
	CAFile     string `json:"ca_file"`
	Hello      string `json:"hello"`
	Timeout    string `json:"timeout"`
}

// mailer sends ordinary mail.
type mailer struct {
	s        mailSettings
	host     string
	password string
	timeout  time.Duration
	tls      *tls.Config
}

var _ channel = (*mailer)(nil)

func newMailer(s mailSettings) (*mailer, error) {
	m := &mailer{s: s}
	m.s.TLS, m.s.Hello = or(s.TLS, "starttls"), or(s.Hello, "localhost")
	var err error
	if m.host, _, err = net.SplitHostPort(s.Server); err != nil {
		return nil, fmt.Errorf("mail: server is %q; write host:port", s.Server)
	}
	if a, err := mail.ParseAddress(s.From); err != nil || a.Address != s.From {
		return nil, fmt.Errorf("mail: from is %q; write an address of yours that takes bounces", s.From)
	}
	if m.timeout, err = duration("mail: timeout", s.Timeout, 30*time.Second); err != nil {
		return nil, err
	}
	m.tls = &tls.Config{ServerName: m.host, MinVersion: tls.VersionTLS12}
	if s.CAFile != "" {
		pem, err := os.ReadFile(s.CAFile)
		m.tls.RootCAs = x509.NewCertPool()
		if err != nil || !m.tls.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("mail: ca_file: %s holds no certificate that can be read", s.CAFile)
		}
	}
	if s.SecretFile != "" {
		content, err := secret.Read(s.SecretFile, 4096)
		if err != nil {
			return nil, fmt.Errorf("mail: secret_file: %w", err)
		}
		m.password = strings.TrimRight(string(content), "\r\n")
	}
	if s.User != "" && m.s.TLS == "none" {
		return nil, errors.New("mail: the password would travel in the clear; write tls = \"starttls\"")
	}
	return m, nil
}

func (m *mailer) name() string         { return "mail" }
func (m *mailer) prepare(parcel) error { return nil }
func (m *mailer) before() legState     { return trying }
func (m *mailer) once() bool           { return false }

// send implements channel.
func (m *mailer) send(ctx context.Context, p parcel, _ bool) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, m.timeout)
	defer cancel()
	got, err := m.mail(ctx, p)
	if err != nil {
		err = hide(err, m.password, p.to) // servers say again what they refuse
	}
	return got, err
}

// mail is one session.
func (m *mailer) mail(ctx context.Context, p parcel) (answer, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", m.s.Server)
	if err != nil {
		return later, err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return later, err
	}
	if m.s.TLS == "tls" {
		conn = tls.Client(conn, m.tls)
	}
	c, err := m.greet(conn)
	if err != nil {
		return later, err
	}
	if err := c.Mail(m.s.From); err != nil {
		return later, notNow(err)
	}
	if err := c.Rcpt(p.to); err != nil {
		return refusal(err, later), err
	}
	w, err := c.Data()
	if err != nil {
		return refusal(err, later), err
	}
	if _, err = w.Write(m.message(p)); err == nil {
		err = w.Close()
	}
	if err != nil {
		return refusal(err, perhaps), err
	}
	_ = c.Quit() // it has it
	return taken, nil
}

// greet opens a session. Nothing but EHLO and STARTTLS is said before it is protected as configured.
func (m *mailer) greet(conn net.Conn) (*smtp.Client, error) {
	c, err := smtp.NewClient(conn, m.host)
	if err != nil {
		return nil, m.closed(err)
	}
	if err := c.Hello(m.s.Hello); err != nil {
		return nil, m.closed(err)
	}
	if m.s.TLS == "starttls" {
		if offered, _ := c.Extension("STARTTLS"); !offered {
			return nil, notNow(errors.New("the server does not offer STARTTLS, and without it nothing is sent in the clear; " +
				"look whether the server or somebody on the way took it out, or write tls = \"tls\" in [mail] when it is a port of TLS"))
		}
		if err := c.StartTLS(m.tls); err != nil {
			return nil, m.closed(err)
		}
	}
	if m.s.User == "" {
		return c, nil
	}
	if err := c.Auth(smtp.PlainAuth("", m.s.User, m.password, m.host)); err != nil {
		return nil, notNow(fmt.Errorf("the server does not let %s log in, look at user and secret_file in [mail]: %w", m.s.User, err))
	}
	return c, nil
}

// closed says why a session does not open.
func (m *mailer) closed(err error) error {
	if c := disbelieved("mail", err); c != nil {
		err = c
	}
	return notNow(err)
}

// notNow: a server that refuses all of us refuses no recipient for good. Its code is no longer one.
func notNow(err error) error { return fmt.Errorf("the session does not open: %v", err) }

// ours are the codes by which a server says that it is we who are not let in, whatever the recipient.
var ours = []int{530, 534, 535, 538}

// refusal: 5xx is for good, 4xx is not; without an answer it is as said.
func refusal(err error, otherwise answer) answer {
	var reply *textproto.Error
	switch {
	case !errors.As(err, &reply):
		return otherwise
	case slices.Contains(ours, reply.Code):
		return later
	case reply.Code/100 == 5:
		return never
	default:
		return later
	}
}

// message is ordinary mail. The same parcel has the same Message-ID.
func (m *mailer) message(p parcel) []byte {
	_, domain, _ := strings.Cut(m.s.From, "@")
	var b strings.Builder
	fmt.Fprintf(&b, "From: <%s>\r\nTo: <%s>\r\nSubject: %s\r\nDate: %s\r\nMessage-ID: <%s@%s>\r\n", m.s.From, p.to,
		mime.QEncoding.Encode("utf-8", p.subject), p.made.Format(time.RFC1123Z), p.id, domain)
	b.WriteString("Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n" +
		"Content-Transfer-Encoding: base64\r\n\r\n")
	text := base64.StdEncoding.EncodeToString([]byte(p.text + "\r\n"))
	for len(text) > 76 {
		b.WriteString(text[:76] + "\r\n")
		text = text[76:]
	}
	b.WriteString(text + "\r\n")
	return []byte(b.String())
}
