package milter

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/internal/transaction"
	"github.com/ceralacca/ceralacca/milter/internal/mtatest"
)

// awkward are messages that software has stumbled over. want is what Postfix makes of one before the milter sees it,
// nil when nothing: it is all that it ever alters.
var awkward = []struct{ name, message, want string }{
	{name: "plain", message: "Subject: a\r\n\r\nb\r\n"},
	{name: "8 bit", message: "Subject: caff\xe8 \xc3\xa8\r\n\r\n\xff\xfe\x80\r\n"},
	{name: "no body", message: "Subject: a\r\n\r\n"},
	{name: "body of empty lines", message: "Subject: a\r\n\r\n\r\n\r\n\r\n"},
	{name: "no space after the colon", message: "Subject:a\r\nTo:b@c.d\r\n\r\nb\r\n"},
	{name: "much space", message: "Subject:   a  \r\nTo:\tb@c.d\r\n\r\nb\r\n"},
	{name: "empty fields", message: "Subject:\r\nX-A: \r\nX-B:\t\r\n\r\nb\r\n"},
	{name: "folding", message: "To: a@b.c,\r\n\tb@b.c,\r\n    c@b.c\r\nSubject:\r\n a\r\n\r\nb\r\n"},
	{name: "fields twice", message: "X-A: 1\r\nX-B: 2\r\nX-A: 3\r\nx-a: 4\r\n\r\nb\r\n"},
	{name: "fields that Postfix likes to drop", message: "Return-Path: <x@y.z>\r\nContent-Length: 3\r\nBcc: \r\nResent-Bcc: a@b.c\r\n\r\nb\r\n"},
	{name: "percent signs and encoded words", message: "Subject: 100%s %d =?utf-8?q?=41?=\r\n\r\n%s\r\n"},
	{name: "dots", message: "Subject: a\r\n\r\n.\r\n..\r\n.a\r\n"},
	{name: "From in the body", message: "Subject: a\r\n\r\nFrom me to you\r\n>From\r\n"},
	{name: "long line", message: "Subject: a\r\n\r\n" + strings.Repeat("x", 5000) + "\r\n"},
	{name: "long field", message: "Subject: " + strings.Repeat("x", 900) + "\r\n " + strings.Repeat("y", 50000) + "\r\n\r\nb\r\n"},
	{name: "multipart", message: "Content-Type: multipart/mixed; boundary=b\r\n\r\npre\r\n--b\r\n\r\none\r\n--b--\r\nepilogue"},
	{name: "nested message", message: "Content-Type: message/rfc822\r\n\r\nSubject: in\r\nX-Ceralacca-Transaction: 1/1; A\r\n\r\nb\r\n"},
	{name: "trailing white space", message: "Subject: a\r\n\r\nb  \r\n\t\r\n"},
	{name: "a private field from outside", message: "X-A: 1\r\nX-Ceralacca-Transaction: 1/1; AAAA\r\nX-B: 2\r\n\r\nb\r\n",
		want: "X-A: 1\r\nX-B: 2\r\n\r\nb\r\n"},
	{name: "space before the colon", message: "Subject : a\r\n\r\nb\r\n", want: "Subject: a\r\n\r\nb\r\n"},
	{name: "mbox line", message: "From x@y Mon Jun  1\r\nSubject: a\r\n\r\nb\r\n",
		want: "X-Mailbox-Line: From x@y Mon Jun  1\r\nSubject: a\r\n\r\nb\r\n"},
	{name: "no header", message: "\r\nb\r\n"},
	{name: "no empty line", message: "Subject: a\r\nhello there\r\n", want: "Subject: a\r\n\r\nhello there\r\n"},
}

// The access point leaves what it refuses as it came: nearly none of these is in order.
func TestAwkwardMessagesStayAsTheyCame(t *testing.T) {
	w := newWorld(t).serve()
	c := mtatest.Dial(t, w.mta.Submission, "mario@alfa.example")
	for _, test := range awkward {
		if got := c.Send("mario@alfa.example", []string{"luigi@beta.example"}, []byte(ended(test.message))); !strings.HasPrefix(got, "250 ") {
			t.Errorf("%s: Postfix answered %q", test.name, got)
			continue
		}
		a := w.arrive()
		want := test.message
		if test.want != "" {
			want = test.want
		}
		want = ended(want)
		if a.record.Verdict != transaction.VerdictRefused {
			t.Errorf("%s: verdict %s", test.name, a.record.Verdict)
		}
		if diff := cmp.Diff(want, string(a.whole)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}

// The incoming point wraps them, every byte.
func TestAwkwardMessagesAreWrappedAsTheyCame(t *testing.T) {
	conformance.Covers(t, "C133")
	w := newWorld(t).serve()
	c := mtatest.Dial(t, w.mta.Incoming, "")
	for _, test := range awkward {
		if got := c.Send("x@network.example", []string{"mario@alfa.example"}, []byte(ended(test.message))); !strings.HasPrefix(got, "250 ") {
			t.Errorf("%s: Postfix answered %q", test.name, got)
			continue
		}
		a := w.arrive()
		want := test.message
		if test.want != "" {
			want = test.want
		}
		w.verify(a.whole)
		if diff := cmp.Diff(ended(want), string(bytesOf(t, w.parts(a.whole).Original))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}

// ended gives the last line its end, which SMTP always does.
func ended(message string) string {
	if strings.HasSuffix(message, "\r\n") {
		return message
	}
	return message + "\r\n"
}

// What a client smuggles behind a bare line end is no second message.
func TestSmuggling(t *testing.T) {
	w := newWorld(t).serve()
	second := "MAIL FROM:<mario@alfa.example>\r\nRCPT TO:<victim@beta.example>\r\nDATA\r\nSubject: forged\r\n\r\nx\r\n.\r\n"
	for _, end := range []string{"\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r\n.\r", "\r.\r\n", "\r\n\x00.\r\n"} {
		c := mtatest.Dial(t, w.mta.Submission, "mario@alfa.example")
		c.Want("250", "MAIL FROM:<mario@alfa.example>")
		c.Want("250", "RCPT TO:<luigi@beta.example>")
		c.Want("354", "DATA")
		c.Raw(append(bytes.TrimSuffix(submit(), []byte("\r\n")), []byte(end+second)...))
		reply := c.Reply()
		if strings.HasPrefix(reply, "250 ") {
			a := w.arrive()
			for _, r := range a.Rcpt {
				if strings.Contains(r, "victim") {
					t.Errorf("%q lets a second message in", end)
				}
			}
		} else if !strings.HasPrefix(reply, "5") {
			t.Errorf("%q: %q", end, reply)
		}
	}
	w.mta.Empty(t)
}
