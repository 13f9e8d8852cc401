package mtatest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Postfix is a running instance. It ends with the test.
type Postfix struct {
	Submission, Incoming string // host:port of the two listeners; the first asks for a login, any password will do
	Sink                 *Sink
	dir                  string
}

// Config says what a Postfix is to be like.
type Config struct {
	Dir                              string   // from [Dir]; holds all files
	SubmissionSocket, IncomingSocket string   // of the milters
	Main                             []string // more lines of main.cf, which win
}

// Dir makes a folder that every user can enter, with a name short enough for unix sockets, which Postfix may use.
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "mta")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if owner, err := user.Lookup("postfix"); err == nil && os.Getuid() == 0 {
		gid, _ := strconv.Atoi(owner.Gid) // a number on any Unix
		if err := os.Chown(dir, -1, gid); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o755|os.ModeSetgid); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Start runs Postfix, or skips the test where there is none or the test may not start it.
func Start(t testing.TB, c Config) *Postfix {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("starting Postfix takes root")
	}
	if _, err := exec.LookPath("postfix"); err != nil {
		t.Skip("no Postfix here")
	}
	p := &Postfix{Sink: newSink(t, filepath.Join(c.Dir, "lmtp")), dir: c.Dir}
	p.Submission, p.Incoming = freePort(t), freePort(t)
	startLogin(t, filepath.Join(c.Dir, "login"))
	p.write(t, c)
	p.control(t, "start")
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("Postfix said:\n%s", p.Log())
		}
		p.control(t, "stop")
	})
	p.await(t, p.Submission)
	p.await(t, p.Incoming)
	return p
}

// Log returns what Postfix logged so far.
func (p *Postfix) Log() string {
	text, err := os.ReadFile(filepath.Join(p.dir, "log"))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// Empty waits until the queue is empty, and fails the test when something stays or lies in the sink.
func (p *Postfix) Empty(t testing.TB) {
	t.Helper()
	n := 0
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if n = p.queued(); n == 0 {
			break
		}
	}
	if n > 0 || !p.Sink.empty() {
		t.Errorf("%d messages are queued and more may have arrived; want none", n)
	}
}

func (p *Postfix) queued() int {
	n := 0
	for _, queue := range []string{"incoming", "active", "deferred", "maildrop", "hold"} {
		_ = filepath.Walk(filepath.Join(p.dir, "spool", queue), func(_ string, info os.FileInfo, err error) error {
			if err == nil && info.Mode().IsRegular() {
				n++
			}
			return nil // files come and go
		})
	}
	return n
}

func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func (p *Postfix) control(t testing.TB, what string) {
	t.Helper()
	cmd := exec.Command("postfix", "-c", filepath.Join(p.dir, "etc"), what)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("postfix %s: %v\n%s\n%s", what, err, out, p.Log())
	}
}

func (p *Postfix) await(t testing.TB, addr string) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", addr); err == nil {
			_ = c.Close()
			return
		}
	}
	t.Fatalf("Postfix does not listen on %s:\n%s", addr, p.Log())
}

func (p *Postfix) write(t testing.TB, c Config) {
	t.Helper()
	for _, d := range []string{"etc", "spool", "data"} {
		if err := os.Mkdir(filepath.Join(c.Dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	owner, err := user.Lookup("postfix")
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(owner.Uid) // a number on any Unix
	if err := os.Chown(filepath.Join(c.Dir, "data"), uid, -1); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{
		"main.cf":   strings.ReplaceAll(mainCF, "@DIR@", c.Dir) + strings.Join(c.Main, "\n") + "\n",
		"master.cf": fmt.Sprintf(masterCF, p.Submission, c.SubmissionSocket, p.Incoming, c.IncomingSocket),
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(c.Dir, "etc", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// The settings on which the bytes of a message depend are those that deploy/postfix has.
const mainCF = `compatibility_level = 3.6
queue_directory = @DIR@/spool
data_directory = @DIR@/data
maillog_file = @DIR@/log
maillog_file_prefixes = @DIR@
myhostname = mx.alfa.example
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = all
inet_protocols = ipv4
alias_maps =
default_transport = lmtp:unix:@DIR@/lmtp
relay_transport = lmtp:unix:@DIR@/lmtp
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_recipient_restrictions =
smtpd_discard_ehlo_keywords = silent-discard, dsn, smtputf8, chunking, etrn
smtpd_forbid_bare_newline = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = unix:@DIR@/login
smtpd_sasl_security_options = noanonymous
local_header_rewrite_clients =
message_drop_headers =
always_add_missing_headers = no
enable_long_queue_ids = yes
lmtp_line_length_limit = 0
disable_mime_output_conversion = yes
message_size_limit = 400000000
mailbox_size_limit = 0
in_flow_delay = 0
milter_protocol = 6
milter_default_action = tempfail
allow_percent_hack = no
swap_bangpath = no
smtpd_tls_security_level = none
lmtp_destination_recipient_limit = 5000
smtpd_recipient_limit = 5000
minimal_backoff_time = 1s
`

const masterCF = `%s inet n - n - - smtpd
  -o smtpd_milters=unix:%s
  -o smtpd_sasl_auth_enable=yes
%s inet n - n - - smtpd
  -o smtpd_milters=unix:%s
postlog unix-dgram n - n - 1 postlogd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
lmtp unix - - n - - lmtp
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
tlsmgr unix - - n 1000? 1 tlsmgr
`
