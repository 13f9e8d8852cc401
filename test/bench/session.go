package main

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab/client"
)

// patience is how long a server may take for one answer.
const patience = 5 * time.Minute

// session is one SMTP or LMTP session, without TLS. It does less than a mail library would: what the load costs is not
// what is measured.
type session struct {
	conn net.Conn
	in   *bufio.Reader
	out  *bufio.Writer
}

// open greets a server: hello is EHLO or LHLO.
func open(network, address, hello string) (*session, error) {
	conn, err := net.Dial(network, address)
	if err != nil {
		return nil, err
	}
	s := &session{conn: conn, in: bufio.NewReader(conn), out: bufio.NewWriterSize(conn, 64<<10)}
	if err = s.expect("220"); err == nil {
		err = s.command("250", "%s bench.example", hello)
	}
	if err != nil {
		_ = conn.Close() // the first error says more
		return nil, err
	}
	return s, nil
}

func (s *session) login(who client.Login) error {
	return s.command("235", "AUTH PLAIN %s", base64.StdEncoding.EncodeToString([]byte("\x00"+who.Address+"\x00"+who.Password)))
}

// command says a line and reads the answer, which must begin with the code.
func (s *session) command(code, format string, args ...any) error {
	fmt.Fprintf(s.out, format+"\r\n", args...)
	if err := s.out.Flush(); err != nil {
		return err
	}
	if err := s.expect(code); err != nil {
		verb, _, _ := strings.Cut(format, " ")
		return fmt.Errorf("%s: %w", verb, err)
	}
	return nil
}

func (s *session) expect(code string) error {
	if err := s.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	for {
		line, err := s.in.ReadString('\n')
		if err != nil {
			return err
		}
		if !strings.HasPrefix(line, code) {
			return fmt.Errorf("the server says %q", strings.TrimSpace(line))
		}
		if len(line) > len(code) && line[len(code)] != '-' {
			return nil
		}
	}
}

// send makes one transaction. before, if any, is called when all but the end of the message is on its way.
func (s *session) send(from string, to []string, text func(io.Writer) error, before func() error) error {
	if err := s.command("250", "MAIL FROM:<%s>", from); err != nil {
		return err
	}
	for _, r := range to {
		if err := s.command("250", "RCPT TO:<%s>", r); err != nil {
			return err
		}
	}
	if err := s.command("354", "DATA"); err != nil {
		return err
	}
	if err := text(s.out); err != nil {
		return err
	}
	if before != nil {
		if err := s.out.Flush(); err != nil {
			return err
		}
		if err := before(); err != nil {
			return err
		}
	}
	return s.command("250", ".")
}

// close ends a session, if there is one.
func (s *session) close() {
	if s == nil {
		return
	}
	_ = s.command("221", "QUIT") // the message is with the server already
	_ = s.conn.Close()
}
