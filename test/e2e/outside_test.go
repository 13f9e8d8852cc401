package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/google/go-cmp/cmp"

	"github.com/ceralacca/ceralacca/deploy/lab/client"
	"github.com/ceralacca/ceralacca/deploy/lab/pki"
	"github.com/ceralacca/ceralacca/internal/ledger"
	"github.com/ceralacca/ceralacca/pec"
)

// sink is delta's mail server: it takes all mail for delta and keeps it in memory, by recipient. An address that
// begins with "refused" is answered 550 5.1.1.
type sink struct {
	addr   string
	tls    *tls.Config
	mu     sync.Mutex
	boxes  map[string][]*client.Message
	server *smtp.Server
	limit  int64 // of a message in bytes, which is announced; 0 is none. Set it before open
}

// sinkSession is one connection to delta.
type sinkSession struct {
	sink *sink
	to   []string
}

// newSink starts delta's mail server; the lab's hosts want TLS of it.
func newSink() (*sink, error) {
	authority, err := pki.NewAuthority("delta", time.Now())
	if err != nil {
		return nil, err
	}
	pair, err := authority.Server("mail."+env["DELTA_DOMAIN"], env["DELTA_HOST"])
	if err != nil {
		return nil, err
	}
	certificate := tls.Certificate{Certificate: [][]byte{pair.Cert.Raw}, PrivateKey: pair.Key}
	s := &sink{
		addr:  net.JoinHostPort(env["DELTA_HOST"], env["DELTA_SINK_PORT"]),
		tls:   &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{certificate}},
		boxes: map[string][]*client.Message{},
	}
	return s, s.open()
}

// open begins to listen, also after close.
func (s *sink) open() error {
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		return err
	}
	s.server = smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &sinkSession{sink: s}, nil }))
	s.server.Domain, s.server.TLSConfig, s.server.MaxLineLength = "mail."+env["DELTA_DOMAIN"], s.tls, 0
	s.server.MaxMessageBytes = s.limit
	go func(server *smtp.Server) { _ = server.Serve(l) }(s.server) // ends with close
	return nil
}

func (s *sink) close() { _ = s.server.Close() } // a second time is as good

// holding are the messages at delta that contain text, by recipient.
func (s *sink) holding(text string) map[string][]*client.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string][]*client.Message{}
	for to, list := range s.boxes {
		for _, m := range list {
			if bytes.Contains(m.Raw, []byte(text)) {
				out[to] = append(out[to], m)
			}
		}
	}
	return out
}

func (s *sinkSession) Reset()                               { s.to = nil }
func (s *sinkSession) Logout() error                        { return nil }
func (s *sinkSession) Mail(string, *smtp.MailOptions) error { return nil }

func (s *sinkSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	if reply := scripted(to); reply != nil {
		return reply
	}
	if strings.HasPrefix(to, "refused") {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"}
	}
	s.to = append(s.to, to)
	return nil
}

func (s *sinkSession) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	header, _, err := pec.ReadHeader(pec.Bytes(raw), 1<<20)
	if err != nil {
		return err
	}
	s.sink.mu.Lock()
	defer s.sink.mu.Unlock()
	for _, to := range s.to {
		s.sink.boxes[to] = append(s.sink.boxes[to], &client.Message{Raw: raw, Header: header})
	}
	return nil
}

// about is everything that contains text, in all mailboxes of the lab and at delta, by address.
func about(t *testing.T, text string) map[string][]*client.Message {
	t.Helper()
	out := post.holding(text)
	for _, box := range env.Mailboxes() {
		list, err := env.Holding(box.Host, box.Login, text)
		if err != nil {
			t.Fatalf("mailbox %s: %v", box.Login.Address, err)
		}
		if len(list) > 0 {
			out[box.Login.Address] = list
		}
	}
	return out
}

// settle waits until the mailboxes of the lab and delta hold exactly what want says of messages that contain token, and
// all queues are empty, twice in a row. It fails as soon as nothing moves any more and they do not.
func settle(t *testing.T, token string, want map[string][]pec.Kind) map[string][]*client.Message {
	t.Helper()
	const enough = 12
	goal := map[string][]string{}
	for address, kinds := range want {
		for _, k := range kinds {
			goal[address] = append(goal[address], cmpKind(k))
		}
		slices.Sort(goal[address])
	}
	maps.DeleteFunc(goal, func(_ string, kinds []string) bool { return len(kinds) == 0 })
	end := time.Now().Add(patience)
	for calm, same := 0, 0; ; {
		queues := env.QueuesEmpty(t.Context())
		found, got := about(t, token), map[string][]string{}
		for address, list := range found {
			got[address] = client.Kinds(list)
		}
		diff := cmp.Diff(goal, got)
		calm, same = next(calm, queues == nil), next(same, queues == nil && diff == "")
		switch {
		case same == 2:
			return found
		case calm == enough || time.Now().After(end):
			t.Fatalf("what is about %s (-want +got):\n%s\nqueues: %v", token, diff, queues)
		case same == 0:
			time.Sleep(100 * time.Millisecond)
		}
	}
}

func next(n int, ok bool) int {
	if ok {
		return n + 1
	}
	return 0
}

func cmpKind(k pec.Kind) string {
	if k == pec.KindNone {
		return "ordinary"
	}
	return string(k)
}

// deliver brings a message to the MX of a host, which must take it.
func deliver(t *testing.T, host, from string, to []string, raw []byte) {
	t.Helper()
	if err := env.Deliver(host, client.Mail{From: from, To: to, Data: bytes.NewReader(raw)}); err != nil {
		t.Fatalf("the MX of %s: %v", host, err)
	}
}

// refuses fails the test unless err is a reply with this code and enhanced code.
func refuses(t *testing.T, what string, err error, code int, enhanced string) {
	t.Helper()
	var reply *smtp.SMTPError
	if !errors.As(err, &reply) {
		t.Errorf("%s: got %v, want %d %s", what, err, code, enhanced)
		return
	}
	got := strings.Trim(strings.ReplaceAll(strings.Trim(jsonOf(reply.EnhancedCode), "[]"), ",", "."), " ")
	if reply.Code != code || got != enhanced {
		t.Errorf("%s: got %d %s %q, want %d %s", what, reply.Code, got, reply.Message, code, enhanced)
	}
}

func jsonOf(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// records are the records of the legal log of a host in which text occurs.
func records(t *testing.T, host, text string) []ledger.Record {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), env["LAB_BIN"], "log", "list", "--json", "--config", env[host+"_CONFIG"])
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("log list: %v\n%s", err, out)
	}
	var list []ledger.Record
	for line := range bytes.Lines(out) {
		if !bytes.Contains(line, []byte(text)) {
			continue
		}
		var r ledger.Record
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("log list: %v in %s", err, line)
		}
		list = append(list, r)
	}
	return list
}

// logged fails the test unless the legal log of a host has exactly these events about text, in any order.
func logged(t *testing.T, host, text string, want ...ledger.Event) {
	t.Helper()
	var got []ledger.Event
	for _, r := range records(t, host, text) {
		got = append(got, r.Event)
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("log of %s about %s (-want +got):\n%s", host, text, diff)
	}
}

// daemonLog begins to watch the log of a daemon, such as "alfa-lda"; what it returns gives the lines that came since.
func daemonLog(t *testing.T, name string) func() string {
	t.Helper()
	return logFile(t, filepath.Join(filepath.Dir(env["ALFA_POSTFIX_LOG"]), name+".log"))
}

// logFile begins to watch a file that only grows.
func logFile(t *testing.T, file string) func() string {
	t.Helper()
	before, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	return func() string {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(raw[before.Size():])
	}
}

// eventually waits until text appears in a log.
func eventually(t *testing.T, log func() string, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience) // it serves clean-ups too
	defer cancel()
	for !strings.Contains(log(), text) {
		select {
		case <-ctx.Done():
			t.Fatalf("the log never says %q:\n%s", text, log())
		case <-time.After(50 * time.Millisecond):
		}
	}
}
