package lda

import (
	"bytes"
	"io"
	"net"
	"net/textproto"
	"testing"

	"github.com/emersion/go-smtp"
)

// throughWire sends a message in pieces of n bytes as the agent does, and returns what a server hears.
func throughWire(t testing.TB, message []byte, n int) []byte {
	t.Helper()
	client, server := net.Pipe()
	heard := make(chan []byte, 1)
	go func() {
		conn := textproto.NewConn(server)
		defer conn.Close()
		_ = conn.PrintfLine("220 x LMTP")
		for {
			line, err := conn.ReadLine()
			if err != nil {
				heard <- nil
				return
			}
			if line != "DATA" {
				_ = conn.PrintfLine("250 2.0.0 ok")
				continue
			}
			_ = conn.PrintfLine("354 go")
			var raw bytes.Buffer
			for !bytes.HasSuffix(raw.Bytes(), []byte("\r\n.\r\n")) {
				b, err := conn.R.ReadByte()
				if err != nil {
					break
				}
				raw.WriteByte(b)
			}
			_ = conn.PrintfLine("250 2.0.0 ok")
			heard <- raw.Bytes()
			return
		}
	}()
	c := smtp.NewClientLMTP(client)
	defer c.Close()
	err := converse(&line{client: c, conn: client}, parcel{from: mario, to: addr(t, luigi), write: func(w io.Writer) error {
		for rest := message; len(rest) > 0; rest = rest[min(n, len(rest)):] {
			if _, err := w.Write(rest[:min(n, len(rest))]); err != nil {
				return err
			}
		}
		return nil
	}})
	if err != nil {
		t.Fatalf("%q in pieces of %d: %v", message, n, err)
	}
	return <-heard
}

// onTheWire is what DATA must carry for a message: the reference, line by line.
func onTheWire(message []byte) []byte {
	var out []byte
	for i, b := range message {
		if b == '.' && (i == 0 || message[i-1] == '\n') {
			out = append(out, '.')
		}
		out = append(out, b)
	}
	if !bytes.HasSuffix(out, []byte("\r\n")) {
		out = append(out, "\r\n"...)
	}
	return append(out, ".\r\n"...)
}

func TestDotted(t *testing.T) {
	for _, message := range []string{
		"\r\n", "a\r\n", ".\r\n", "..\r\n", "a\r\n.\r\nb\r\n", "a\r\n.", "a\r\n..b", "a", "a\r", "a\n", ".\n.", "a\r\n\r\n",
		"x: y\r\n\r\n.first\r\nmiddle . dot\r\n.\r\n..two\r\nlast\r\n",
	} {
		for n := 1; n <= len(message); n++ {
			if got, want := throughWire(t, []byte(message), n), onTheWire([]byte(message)); !bytes.Equal(got, want) {
				t.Errorf("%q in pieces of %d: the server hears %q, want %q", message, n, got, want)
			}
		}
	}
}

func FuzzDotted(f *testing.F) {
	f.Add([]byte("a\r\n.\r\nb\r\n"), uint8(1))
	f.Add([]byte(".\r\n"), uint8(2))
	f.Fuzz(func(t *testing.T, text []byte, n uint8) {
		// Lines as Postfix sends them: no CR or LF alone.
		message := append(bytes.ReplaceAll(bytes.ReplaceAll(text, []byte("\r"), nil), []byte("\n"), []byte("\r\n")), "\r\n"...)
		var raw, end bytes.Buffer
		d := newDotted(&raw)
		for rest := message; len(rest) > 0; rest = rest[min(int(n)+1, len(rest)):] {
			if _, err := d.Write(rest[:min(int(n)+1, len(rest))]); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.finish(&end); err != nil {
			t.Fatal(err)
		}
		got := append(raw.Bytes(), end.Bytes()...)
		if want := bytes.TrimSuffix(onTheWire(message), []byte(".\r\n")); !bytes.Equal(got, want) {
			t.Errorf("%q in pieces of %d: %q, want %q", message, int(n)+1, got, want)
		}
	})
}
