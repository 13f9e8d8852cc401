package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab/pki"
	"github.com/ceralacca/ceralacca/test/dovecot"
)

const (
	sender = "avvisi@alfa.example"
	holder = "m@out.example"
)

// submission is a real Postfix that asks for STARTTLS and a login, which a real Dovecot judges, who also gets the mail. Who
// connects to address passes a man in the middle, who sees what is in the clear and may take STARTTLS out of what is offered.
type submission struct {
	t       *testing.T
	dovecot *dovecot.Server
	dir     string
	address string

	mu    sync.Mutex
	strip bool
	seen  bytes.Buffer // what clients said
}

func newSubmission(t *testing.T, a *pki.Authority) *submission {
	t.Helper()
	if _, err := exec.LookPath("postfix"); err != nil {
		t.Skip("no Postfix here")
	}
	s := &submission{t: t, dovecot: dovecot.Start(t, dovecot.User{Address: sender}, dovecot.User{Address: holder})}
	file, err := os.OpenFile(filepath.Join(s.dovecot.Dir, "dovecot.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.WriteString(file, "service auth {\n unix_listener sasl {\n  mode = 0666\n }\n}\nservice lmtp {\n unix_listener lmtp-test {\n  mode = 0666\n }\n}\n")
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
	s.dovecot.Down()
	s.dovecot.Up()
	real := s.postfix(a)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	s.address = listener.Addr().String()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go s.between(conn, real)
		}
	}()
	return s
}

// postfix starts it, and returns where it listens.
func (s *submission) postfix(a *pki.Authority) string {
	t := s.t
	t.Helper()
	owner, err := user.Lookup("postfix")
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(owner.Uid) // a number on any Unix
	if s.dir, err = os.MkdirTemp("", "mta"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(s.dir) })
	pair, err := a.Server("mx.alfa.example", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	key, err := pair.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	_ = free.Close()
	etc := filepath.Join(s.dir, "etc")
	err = errors.Join(os.Chmod(s.dir, 0o755), os.Mkdir(etc, 0o755), os.Mkdir(filepath.Join(s.dir, "spool"), 0o755), os.Mkdir(filepath.Join(s.dir, "data"), 0o755),
		os.Chown(filepath.Join(s.dir, "data"), uid, -1),
		os.WriteFile(filepath.Join(etc, "tls.pem"), append(key, pair.CertPEM()...), 0o600),
		os.WriteFile(filepath.Join(etc, "main.cf"), []byte(strings.NewReplacer("@DIR@", s.dir, "@RUN@", filepath.Join(s.dovecot.Dir, "run")).Replace(submissionMain)), 0o644),
		os.WriteFile(filepath.Join(etc, "master.cf"), []byte(fmt.Sprintf(submissionMaster, address)), 0o644))
	if err != nil {
		t.Fatal(err)
	}
	control := func(what string) {
		if out, err := exec.Command("postfix", "-c", etc, what).CombinedOutput(); err != nil {
			t.Fatalf("postfix %s: %v\n%s%s", what, err, out, s.log())
		}
	}
	control("start")
	t.Cleanup(func() { control("stop") })
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if conn, err := net.Dial("tcp", address); err == nil {
			_ = conn.Close()
			return address
		}
		if time.Now().After(end) {
			t.Fatalf("Postfix does not listen:\n%s", s.log())
		}
	}
}

func (s *submission) log() string {
	text, _ := os.ReadFile(filepath.Join(s.dir, "log")) // for people
	return string(text)
}

// between hands on what both sides say.
func (s *submission) between(client net.Conn, to string) {
	defer client.Close()
	server, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer server.Close()
	go func() {
		defer server.Close()
		_, _ = io.Copy(io.MultiWriter(server, s), client) // until one of them closes
	}()
	answer := make([]byte, 16<<10)
	for {
		n, err := server.Read(answer)
		said := answer[:n]
		s.mu.Lock()
		if s.strip {
			said = bytes.ReplaceAll(said, []byte("STARTTLS"), []byte("XTHEREIS"))
		}
		s.mu.Unlock()
		if _, w := client.Write(said); w != nil || err != nil {
			return
		}
	}
}

// Write implements io.Writer.
func (s *submission) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen.Write(p)
}

func (s *submission) set(strip bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.strip = strip
}

// nothingInTheClear fails when the man in the middle has seen more than the begin of a session.
func (s *submission) nothingInTheClear() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, word := range []string{"AUTH", "MAIL", "RCPT", holder, sender, "Avviso"} {
		if bytes.Contains(s.seen.Bytes(), []byte(word)) {
			s.t.Errorf("%q went in the clear: %q", word, s.seen.Bytes())
		}
	}
	if !bytes.HasPrefix(s.seen.Bytes(), []byte("EHLO localhost\r\n")) {
		s.t.Errorf("the session began with %q", s.seen.Bytes())
	}
}

// notices are those that lie with the holder, at least n.
func (s *submission) notices(n int) (all []string) {
	s.t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		all = nil
		for _, m := range s.dovecot.Messages(holder) {
			all = append(all, string(m))
		}
		if len(all) >= n || time.Now().After(end) {
			return all
		}
	}
}

func (s *submission) settings(t *testing.T, a *pki.Authority, password string) settings {
	return settings{Mail: &mailSettings{Server: s.address, From: sender, User: sender, SecretFile: written(t, password+"\n"), CAFile: written(t, string(a.CertPEM()))}}
}

// Mail goes to a real server over STARTTLS, with a login. Without STARTTLS, with a certificate of a stranger or with a wrong
// password nothing is sent, and nothing is said in the clear; it is tried again, and no notice is given up for it.
func TestMailOverStartTLSWithALogin(t *testing.T) {
	own := authority(t)
	s := newSubmission(t, own)
	rule := `{"notice_address": "` + holder + `"}`
	for name, c := range map[string]struct {
		settings settings
		strip    bool
		says     string
	}{
		"no STARTTLS":    {s.settings(t, own, dovecot.UserPassword), true, "the server does not offer STARTTLS, and without it nothing is sent in the clear"},
		"wrong password": {s.settings(t, own, "s3cret"), false, "the server does not let " + sender + " log in, look at user and secret_file"},
		"stranger":       {s.settings(t, authority(t), dovecot.UserPassword), false, "name the file of its authority in ca_file of [mail]"},
	} {
		t.Run(name, func(t *testing.T) {
			s.set(c.strip)
			shop := newShop(t, c.settings, rule)
			shop.event("1")
			shop.until("the sentence", shop.says(c.says))
			shop.later("+1m")
			shop.until("another try", func() bool { return strings.Count(shop.log.String(), "is tried again") > 1 })
			shop.hides("alarm=true", holder, "s3cret", dovecot.UserPassword)
			s.nothingInTheClear()
			if got := s.notices(0); len(got) > 0 {
				t.Errorf("%q was delivered", got)
			}
			if !c.strip {
				return
			}
			s.set(false)
			shop.later("+3m")
			got := s.notices(1)
			if len(got) != 1 || !strings.Contains(got[0], "Authenticated sender: "+sender) || !strings.Contains(got[0], "SMTPSA id") ||
				!strings.Contains(got[0], "\nAuto-Submitted: auto-generated") {
				t.Errorf("delivered %q\n%s", got, s.log())
			}
			shop.until("the end", idle(shop.dir))
			s.nothingInTheClear()
			_ = os.RemoveAll(filepath.Join(s.dovecot.Dir, "mail", holder)) // for the others, in whatever order
		})
	}
}

const submissionMain = `compatibility_level = 3.6
queue_directory = @DIR@/spool
data_directory = @DIR@/data
maillog_file = @DIR@/log
maillog_file_prefixes = @DIR@
myhostname = mx.alfa.example
mydestination =
mynetworks =
inet_interfaces = all
inet_protocols = ipv4
alias_maps =
default_transport = lmtp:unix:@RUN@/lmtp-test
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_tls_security_level = may
smtpd_tls_chain_files = @DIR@/etc/tls.pem
smtpd_tls_auth_only = yes
smtpd_tls_received_header = yes
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = unix:@RUN@/sasl
smtpd_sasl_security_options = noanonymous
smtpd_sasl_authenticated_header = yes
`

const submissionMaster = `%s inet n - n - - smtpd
postlog unix-dgram n - n - 1 postlogd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
lmtp unix - - n - - lmtp
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
tlsmgr unix - - n 1000? 1 tlsmgr
`
