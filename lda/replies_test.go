package lda

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/ceralacca/ceralacca/pec"
)

// scripted is a peer that says what it says, whatever it hears.
type scripted struct {
	net.Conn
	replies *bytes.Reader
}

func (c scripted) Read(p []byte) (int, error)       { return c.replies.Read(p) }
func (scripted) Write(p []byte) (int, error)        { return len(p), nil }
func (scripted) Close() error                       { return nil }
func (scripted) SetDeadline(time.Time) error        { return nil }
func (scripted) SetReadDeadline(time.Time) error    { return nil }
func (scripted) SetWriteDeadline(_ time.Time) error { return nil }

// FuzzReplies: of whatever a Dovecot answers, only 250 to the content is a delivery, and only a permanent reply about
// the recipient is a refusal; all else is temporary.
func FuzzReplies(f *testing.F) {
	const begin = "220 x LMTP\r\n250-x\r\n250 PIPELINING\r\n250 2.1.0 OK\r\n"
	for _, seed := range []string{
		begin + "250 2.1.5 OK\r\n354 OK\r\n250 2.0.0 <mario@alfa.example> saved\r\n",
		begin + "550 5.1.1 <mario@alfa.example> unknown\r\n", begin + "552 5.2.2 full\r\n", begin + "450 4.2.1 later\r\n",
		begin + "250 OK\r\n354 OK\r\n552-5.2.2 a\r\n552 5.2.2 b\r\n", begin + "250 OK\r\n354 OK\r\n", begin + "250 OK\r\n550 no\r\n",
		"421 4.3.2 closing\r\n", "250", "999 x\r\n", "220 x\r\n250\r\n250\r\n250\r\n354\r\n250\r\n",
	} {
		f.Add([]byte(seed))
	}
	to, err := pec.ParseAddress("mario@alfa.example")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, replies []byte) {
		conn := scripted{replies: bytes.NewReader(replies)}
		one := &line{client: smtp.NewClientLMTP(conn), conn: conn}
		if one.client.Hello("localhost") != nil {
			return
		}
		err := converse(one, parcel{to: to, write: func(w io.Writer) error {
			_, err := io.WriteString(w, "Subject: x\r\n\r\nciao\r\n")
			return err
		}})
		if err == nil && (!bytes.Contains(replies, []byte("354")) || bytes.Count(replies, []byte("\n2")) < 4) {
			t.Errorf("taken for a delivery: %q", replies)
		}
		refused, ok := errors.AsType[*refusal](judge(err))
		if ok && (refused.Code < 500 || refused.Code > 599) {
			t.Errorf("the refusal %+v out of %q", refused, replies)
		}
	})
}
