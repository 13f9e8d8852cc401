// Package client talks to a lab as its people do: it submits and delivers mail, reads mailboxes, asks OpenSSL about
// signatures. The demo, the tests and the benchmarks share it. It starts and stops nothing.
package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/ceralacca/ceralacca/pec"
)

// Env holds the values of a lab by the names of its env file.
type Env map[string]string

// Login is one user of a lab.
type Login struct{ Address, Password string }

// ParseLogin takes "address:password" apart.
func ParseLogin(s string) Login {
	address, password, _ := strings.Cut(s, ":")
	return Login{address, password}
}

// Users are the working users of host ("ALFA", "BETA", "GAMMA").
func (e Env) Users(host string) []Login {
	var out []Login
	for _, f := range strings.Fields(e[host+"_USERS"]) {
		out = append(out, ParseLogin(f))
	}
	return out
}

// Login returns the login in one variable, such as ALFA_SERVICE_USER.
func (e Env) Login(name string) Login { return ParseLogin(e[name]) }

func (e Env) tls(host string) (*tls.Config, error) {
	pem, err := os.ReadFile(e["LAB_CA"])
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("no certificate in " + e["LAB_CA"])
	}
	return &tls.Config{RootCAs: pool, ServerName: e[host+"_HOST"], MinVersion: tls.VersionTLS12}, nil
}

// Dial opens an SMTP session with STARTTLS at a port of host: "MX_PORT", "SUBMISSION_PORT", "OUT_PORT".
func (e Env) Dial(host, port string) (*smtp.Client, error) {
	conf, err := e.tls(host)
	if err != nil {
		return nil, err
	}
	conn, err := net.DialTimeout("tcp", net.JoinHostPort(e[host+"_HOST"], e[host+"_"+port]), 10*time.Second)
	if err != nil {
		return nil, err
	}
	return smtp.NewClientStartTLS(conn, conf)
}

// Mail is one SMTP transaction to make.
type Mail struct {
	From string
	To   []string
	Data io.Reader
	Opts *smtp.MailOptions
}

// Submit sends m as user through the submission port of host.
func (e Env) Submit(host string, user Login, m Mail) error {
	c, err := e.Dial(host, "SUBMISSION_PORT")
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	if err := c.Auth(sasl.NewPlainClient("", user.Address, user.Password)); err != nil {
		return fmt.Errorf("login of %s: %w", user.Address, err)
	}
	return Transact(c, m)
}

// Deliver sends m to the MX port of host, as another mail server does.
func (e Env) Deliver(host string, m Mail) error {
	c, err := e.Dial(host, "MX_PORT")
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	return Transact(c, m)
}

// Transact makes one transaction in an open session.
func Transact(c *smtp.Client, m Mail) error {
	if err := c.Mail(m.From, m.Opts); err != nil {
		return err
	}
	for _, to := range m.To {
		if err := c.Rcpt(to, nil); err != nil {
			return err
		}
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := io.Copy(w, m.Data); err != nil {
		return err
	}
	return w.Close()
}

// Message is one message of a mailbox, as IMAP gives it: every byte, CRLF line ends.
type Message struct {
	Raw    []byte
	Header pec.Header
}

// Source is the message for packages signer and pec.
func (m *Message) Source() pec.Source { return pec.Bytes(m.Raw) }

// Kind is what the outer header says.
func (m *Message) Kind() pec.Kind {
	if k := m.Header.Get(pec.FieldReceipt); k != "" {
		return pec.Kind(k)
	}
	return pec.Kind(m.Header.Get(pec.FieldTransport))
}

// Fetch reads every message of user's mailbox, oldest first.
func (e Env) Fetch(host string, user Login) ([]*Message, error) {
	return e.fetch(host, user, &imap.SearchCriteria{})
}

// Holding reads the messages of user's mailbox that contain text somewhere, header and attached messages included,
// oldest first.
func (e Env) Holding(host string, user Login, text string) ([]*Message, error) {
	return e.fetch(host, user, &imap.SearchCriteria{Text: []string{text}})
}

// IMAP opens a session with user's mailboxes. The caller closes it.
func (e Env) IMAP(host string, user Login) (*imapclient.Client, error) {
	conf, err := e.tls(host)
	if err != nil {
		return nil, err
	}
	addr := net.JoinHostPort(e[host+"_HOST"], e[host+"_IMAPS_PORT"])
	c, err := imapclient.DialTLS(addr, &imapclient.Options{TLSConfig: conf})
	if err != nil {
		return nil, err
	}
	if err := c.Login(user.Address, user.Password).Wait(); err != nil {
		return nil, errors.Join(fmt.Errorf("login of %s: %w", user.Address, err), c.Close())
	}
	return c, nil
}

func (e Env) fetch(host string, user Login, criteria *imap.SearchCriteria) ([]*Message, error) {
	c, err := e.IMAP(host, user)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }()
	box, err := c.Select("INBOX", &imap.SelectOptions{ReadOnly: true}).Wait()
	if err != nil || box.NumMessages == 0 {
		return nil, err
	}
	found, err := c.UIDSearch(criteria, nil).Wait()
	if err != nil || len(found.AllUIDs()) == 0 {
		return nil, err
	}
	section := &imap.FetchItemBodySection{Peek: true}
	list, err := c.Fetch(imap.UIDSetNum(found.AllUIDs()...), &imap.FetchOptions{BodySection: []*imap.FetchItemBodySection{section}}).Collect()
	if err != nil {
		return nil, err
	}
	var out []*Message
	for _, m := range list {
		raw := m.FindBodySection(section)
		h, _, err := pec.ReadHeader(pec.Bytes(raw), 1<<20)
		if err != nil {
			return nil, err
		}
		out = append(out, &Message{Raw: raw, Header: h})
	}
	return out, nil
}

// OpenSSL verifies the S/MIME signature of raw by the openssl command against the certificates, and CRLs if there are
// any, of the PEM files in trust, and returns the signed part.
func OpenSSL(ctx context.Context, raw []byte, trust ...string) ([]byte, error) {
	dir, err := os.MkdirTemp("", "clo")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	var pem []byte
	for _, name := range trust {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		pem = append(append(pem, b...), '\n')
	}
	ca := filepath.Join(dir, "trust.pem")
	if err := os.WriteFile(ca, pem, 0o600); err != nil {
		return nil, err
	}
	args := []string{"cms", "-verify", "-CAfile", ca}
	if bytes.Contains(pem, []byte("BEGIN X509 CRL")) {
		args = append(args, "-crl_check")
	}
	cmd := exec.CommandContext(ctx, "openssl", args...)
	cmd.Stdin = bytes.NewReader(raw)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("openssl cms -verify: %w: %s", err, strings.TrimSpace(errs.String()))
	}
	return out.Bytes(), nil
}

// ParseEnv reads lines NAME='value' as sh does.
func ParseEnv(text string) Env {
	e := Env{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			e[name] = strings.ReplaceAll(strings.TrimSuffix(strings.TrimPrefix(value, "'"), "'"), `'\''`, "'")
		}
	}
	return e
}
