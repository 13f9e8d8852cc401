package e2e

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net"
	"net/textproto"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab/client"
)

// dialogue is an SMTP session byte by byte: what a library would correct reaches the server as it is.
type dialogue struct {
	t      *testing.T
	conn   net.Conn
	text   *textproto.Reader
	offers string // what EHLO answered last
}

// converse opens a session without TLS at a port of host, such as "MX_PORT".
func converse(t *testing.T, host, port string) *dialogue {
	t.Helper()
	d := &dialogue{t: t}
	conn, err := net.DialTimeout("tcp", net.JoinHostPort(env[host+"_HOST"], env[host+"_"+port]), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	d.use(conn)
	t.Cleanup(func() { _ = d.conn.Close() })
	d.want("220", d.reply())
	d.hello()
	return d
}

// login opens a session at the access point of host as user.
func login(t *testing.T, host string, user client.Login) *dialogue {
	t.Helper()
	d := converse(t, host, "SUBMISSION_PORT")
	if err := d.secure(host, 0, 0); err != nil {
		t.Fatal(err)
	}
	d.want("235", d.say("AUTH PLAIN %s", base64.StdEncoding.EncodeToString([]byte("\x00"+user.Address+"\x00"+user.Password))))
	return d
}

func (d *dialogue) use(conn net.Conn) {
	_ = conn.SetDeadline(time.Now().Add(2 * patience)) // it is open
	d.conn, d.text = conn, textproto.NewReader(bufio.NewReader(conn))
}

// secure goes over to TLS of a version between the two; zero is what a client would choose. The error is that of the
// handshake.
func (d *dialogue) secure(host string, lowest, highest uint16) error {
	d.t.Helper()
	pem, err := os.ReadFile(env["LAB_CA"])
	if err != nil {
		d.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	d.want("220", d.say("STARTTLS"))
	conn := tls.Client(d.conn, &tls.Config{RootCAs: roots, ServerName: env[host+"_HOST"], MinVersion: lowest, MaxVersion: highest})
	d.use(conn)
	if err := conn.Handshake(); err != nil {
		return err
	}
	d.hello()
	return nil
}

func (d *dialogue) hello() {
	d.t.Helper()
	d.raw([]byte("EHLO client.example\r\n"))
	_, text, err := d.text.ReadResponse(250)
	if err != nil {
		d.t.Fatal(err)
	}
	d.offers = text
}

var enhancedCode = regexp.MustCompile(`^\d\.\d+\.\d+\b`)

// reply is the code of the server's reply and its enhanced code, such as "550 5.1.1"; "closed" when there is none.
func (d *dialogue) reply() string {
	code, text, err := d.text.ReadResponse(0)
	if err != nil && code == 0 {
		return "closed"
	}
	return strings.TrimSpace(fmt.Sprintf("%d %s", code, enhancedCode.FindString(text)))
}

func (d *dialogue) raw(b []byte) {
	d.t.Helper()
	if _, err := d.conn.Write(b); err != nil {
		d.t.Fatal(err)
	}
}

func (d *dialogue) say(format string, args ...any) string {
	d.t.Helper()
	d.raw(fmt.Appendf(nil, format+"\r\n", args...))
	return d.reply()
}

func (d *dialogue) want(code, got string) {
	d.t.Helper()
	if !strings.HasPrefix(got, code) {
		d.t.Fatalf("the server answered %q, want %s", got, code)
	}
}

// send makes a whole transaction and returns the reply at its end. Dots are doubled; every other byte goes as it is.
func (d *dialogue) send(from string, to []string, raw []byte) string {
	d.t.Helper()
	d.want("250", d.say("MAIL FROM:<%s>", from))
	for _, a := range to {
		d.want("250", d.say("RCPT TO:<%s>", a))
	}
	d.want("354", d.say("DATA"))
	b := bytes.ReplaceAll(raw, []byte("\r\n."), []byte("\r\n.."))
	if bytes.HasPrefix(b, []byte(".")) {
		b = append([]byte("."), b...)
	}
	if !bytes.HasSuffix(b, []byte("\r\n")) {
		b = append(b, "\r\n"...)
	}
	d.raw(append(b, ".\r\n"...))
	return d.reply()
}

// mustSend makes a whole transaction that the server takes.
func (d *dialogue) mustSend(l *letter) {
	d.t.Helper()
	d.want("250", d.send(l.from, l.to, l.raw))
}
