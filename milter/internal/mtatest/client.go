package mtatest

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// Client speaks SMTP, byte for byte what it is told.
type Client struct {
	t testing.TB
	c net.Conn
	r *bufio.Reader
}

// Dial connects and says EHLO; login is the user to log in as, empty for none.
func Dial(t testing.TB, addr, login string) *Client {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	c := &Client{t, conn, bufio.NewReader(conn)}
	c.Reply()
	c.Want("250", "EHLO client.example")
	if login != "" {
		c.Want("235", "AUTH PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00"+login+"\x00secret")))
	}
	return c
}

// Reply reads a reply and returns its last line.
func (c *Client) Reply() string {
	c.t.Helper()
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			c.t.Fatalf("Postfix closed the connection: %v", err)
		}
		if len(line) < 4 || line[3] != '-' {
			return strings.TrimRight(line, "\r\n")
		}
	}
}

// Say sends a line and returns the reply.
func (c *Client) Say(line string) string {
	c.t.Helper()
	c.Raw([]byte(line + "\r\n"))
	return c.Reply()
}

// Want is Say, and fails the test unless the reply begins with prefix.
func (c *Client) Want(prefix, line string) {
	c.t.Helper()
	if got := c.Say(line); !strings.HasPrefix(got, prefix) {
		c.t.Fatalf("to %.200q Postfix answered %q, want %s", line, got, prefix)
	}
}

// Raw sends bytes.
func (c *Client) Raw(b []byte) {
	c.t.Helper()
	if _, err := c.c.Write(b); err != nil {
		c.t.Fatalf("sending: %v", err)
	}
}

// Send makes a whole transaction and returns the reply to its end. Lines of message end with CRLF.
func (c *Client) Send(from string, to []string, message []byte) string {
	c.t.Helper()
	c.Want("250", fmt.Sprintf("MAIL FROM:<%s>", from))
	for _, rcpt := range to {
		c.Want("250", fmt.Sprintf("RCPT TO:<%s>", rcpt))
	}
	return c.Data(message)
}

// Data sends a message after its envelope and returns the reply.
func (c *Client) Data(message []byte) string {
	c.t.Helper()
	c.Want("354", "DATA")
	message = bytes.ReplaceAll(message, []byte("\r\n."), []byte("\r\n.."))
	if bytes.HasPrefix(message, []byte(".")) {
		c.Raw([]byte("."))
	}
	c.Raw(message)
	return c.Say(".")
}
