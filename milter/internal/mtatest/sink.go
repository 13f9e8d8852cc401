package mtatest

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// Delivery is one LMTP transaction that the sink took.
type Delivery struct {
	Mail string   // what stood after "MAIL FROM:"
	Rcpt []string // what stood after "RCPT TO:"
	Data []byte   // CRLF line ends, dots undone
}

// Sink is an LMTP server that accepts everything.
type Sink struct {
	mu   sync.Mutex
	took []Delivery
}

func newSink(t testing.TB, path string) *Sink {
	s := &Sink{}
	l := listen(t, path)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go s.serve(c)
		}
	}()
	return s
}

// Wait returns the next delivery, in order of arrival, and takes it out.
func (s *Sink) Wait(t testing.TB) Delivery {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if d, ok := s.take(); ok {
			return d
		}
	}
	t.Fatal("nothing arrived in 30 seconds")
	return Delivery{}
}

func (s *Sink) take() (Delivery, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.took) == 0 {
		return Delivery{}, false
	}
	d := s.took[0]
	s.took = s.took[1:]
	return d, true
}

// empty says whether nothing waits to be taken.
func (s *Sink) empty() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.took) == 0
}

func (s *Sink) serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	r := bufio.NewReaderSize(c, 1<<16)
	say := func(format string, a ...any) { _, _ = fmt.Fprintf(c, format+"\r\n", a...) }
	say("220 sink")
	var d Delivery
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		switch verb := strings.ToUpper(line[:min(4, len(line))]); verb {
		case "LHLO":
			say("250-sink\r\n250-DSN\r\n250-8BITMIME\r\n250 PIPELINING")
		case "MAIL":
			d = Delivery{Mail: line[len("MAIL FROM:"):]}
			say("250 ok")
		case "RCPT":
			d.Rcpt = append(d.Rcpt, line[len("RCPT TO:"):])
			say("250 ok")
		case "DATA":
			say("354 go on")
			if d.Data, err = readData(r); err != nil {
				return
			}
			s.mu.Lock()
			s.took = append(s.took, d)
			s.mu.Unlock()
			for range d.Rcpt {
				say("250 taken")
			}
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

func readData(r *bufio.Reader) ([]byte, error) {
	var data bytes.Buffer
	start := true
	for {
		line, err := r.ReadSlice('\n')
		if err != nil && err != bufio.ErrBufferFull {
			return nil, err
		}
		if start && string(line) == ".\r\n" {
			return data.Bytes(), nil
		}
		if start && line[0] == '.' {
			line = line[1:]
		}
		data.Write(line)
		start = err == nil
	}
}
