package dovecot

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The master user of every server.
const (
	Master         = "agent"
	MasterPassword = "master-secret"
	UserPassword   = "user-secret"
)

const mailUID = 65534 // nobody: a uid that every system has

// User is one mailbox.
type User struct {
	Address  string
	Disabled bool   // ceralacca_disabled=yes
	Quota    string // "" is none; "*:storage=10K"
}

// Server is a running Dovecot.
type Server struct {
	Dir, UserDB, LMTP, IMAP string
	t                       testing.TB
	cmd                     *exec.Cmd
	put                     int
	made                    map[string]bool // folders of Put
	log                     string
}

// Start starts a Dovecot with these mailboxes and stops it when the test ends. Without a Dovecot, or without root, the
// test is skipped.
func Start(t testing.TB, users ...User) *Server {
	t.Helper()
	if _, err := exec.LookPath("dovecot"); err != nil {
		t.Skip("no dovecot on this machine")
	}
	if os.Getuid() != 0 {
		t.Skip("dovecot starts as root only")
	}
	dir, err := os.MkdirTemp("", "dc") // short: a unix socket's path has 107 octets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	run := filepath.Join(dir, "run")
	s := &Server{
		t: t, Dir: dir, made: map[string]bool{}, log: filepath.Join(dir, "log"),
		UserDB: filepath.Join(run, "userdb"), LMTP: filepath.Join(run, "lmtp-test"), IMAP: filepath.Join(run, "imap-test"),
	}
	s.write(users)
	s.Up()
	t.Cleanup(s.Down)
	return s
}

func (s *Server) write(users []User) {
	s.t.Helper()
	for _, d := range []string{"run", "mail"} {
		must(s.t, os.MkdirAll(filepath.Join(s.Dir, d), 0o755))
	}
	must(s.t, os.Chmod(s.Dir, 0o755))
	must(s.t, os.Chown(filepath.Join(s.Dir, "mail"), mailUID, mailUID))
	s.SetUsers(users...)
	file(s.t, filepath.Join(s.Dir, "masters"), Master+":{PLAIN}"+MasterPassword+"\n")
	file(s.t, s.conf(), strings.ReplaceAll(configuration, "@DIR@", s.Dir))
}

// SetUsers replaces the mailboxes; those that hold mail keep it.
func (s *Server) SetUsers(users ...User) {
	s.t.Helper()
	var b strings.Builder
	for _, u := range users {
		fmt.Fprintf(&b, "%s:{PLAIN}%s:%d:%d::%s::", u.Address, UserPassword, mailUID, mailUID, s.home(u.Address))
		if u.Disabled {
			b.WriteString(" userdb_ceralacca_disabled=yes")
		}
		if u.Quota != "" {
			b.WriteString(" userdb_quota_rule=" + u.Quota)
		}
		b.WriteString("\n")
	}
	file(s.t, filepath.Join(s.Dir, "users.new"), b.String())
	must(s.t, os.Rename(filepath.Join(s.Dir, "users.new"), filepath.Join(s.Dir, "users")))
	if s.cmd != nil {
		time.Sleep(1200 * time.Millisecond) // Dovecot looks at the file once a second, and says nothing when it did
	}
}

func (s *Server) conf() string { return filepath.Join(s.Dir, "dovecot.conf") }

func (s *Server) home(address string) string {
	return filepath.Join(s.Dir, "mail", strings.ToLower(address))
}

// Up starts the server again after Down.
func (s *Server) Up() {
	s.t.Helper()
	s.cmd = exec.Command("dovecot", "-F", "-c", s.conf())
	must(s.t, s.cmd.Start())
	for range 200 {
		if answers(s.LMTP) && answers(s.UserDB) && answers(s.IMAP) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	text, _ := os.ReadFile(s.log)
	s.t.Fatalf("dovecot does not come up:\n%s", text)
}

// answers tells whether somebody listens at a socket: the server opens its sockets one after the other.
func answers(socket string) bool {
	conn, err := net.Dial("unix", socket)
	if err == nil {
		_ = conn.Close()
	}
	return err == nil
}

// Down stops the server.
func (s *Server) Down() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(os.Interrupt)
	_ = s.cmd.Wait()
	s.cmd = nil
}

// Put writes a message into a folder of a mailbox, "" for the inbox, as one that came in at the time, past the server; lines end
// with LF in the file. It returns the file's path, whose name changes once the server has seen it.
func (s *Server) Put(address, folder string, at time.Time, text string) (path string) {
	s.t.Helper()
	dir := filepath.Join(s.home(address), "Maildir")
	if folder != "" {
		dir = filepath.Join(dir, "."+folder)
	}
	if !s.made[dir] {
		for _, d := range []string{s.home(address), filepath.Join(s.home(address), "Maildir"), dir, filepath.Join(dir, "cur"), filepath.Join(dir, "tmp"), filepath.Join(dir, "new")} {
			must(s.t, os.MkdirAll(d, 0o700))
			must(s.t, os.Chown(d, mailUID, mailUID))
		}
		s.made[dir] = true
	}
	s.put++
	path = filepath.Join(dir, "new", fmt.Sprintf("%d.M%09d.test", at.Unix(), s.put))
	must(s.t, os.WriteFile(path, []byte(text), 0o600))
	must(s.t, os.Chown(path, mailUID, mailUID))
	must(s.t, os.Chtimes(path, at, at))
	return path
}

// Admin runs doveadm and returns what it says.
func (s *Server) Admin(args ...string) string {
	s.t.Helper()
	text, err := exec.Command("doveadm", append([]string{"-c", s.conf()}, args...)...).CombinedOutput()
	if err != nil {
		s.t.Fatalf("doveadm %v: %v: %s", args, err, text)
	}
	return string(text)
}

// Messages returns the files of every message in every folder of a mailbox, in no order of meaning.
func (s *Server) Messages(address string) [][]byte {
	s.t.Helper()
	var out [][]byte
	root := filepath.Join(s.home(address), "Maildir")
	_ = filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		parent := filepath.Base(filepath.Dir(path))
		if err != nil || d.IsDir() || parent != "new" && parent != "cur" {
			return nil // a mailbox that got nothing has no folder
		}
		text, err := os.ReadFile(path)
		if err == nil {
			out = append(out, text)
		}
		return nil
	})
	return out
}

// Move moves what is in the inbox of a mailbox to a folder, as a user would.
func (s *Server) Move(address, folder string) {
	s.t.Helper()
	for _, args := range [][]string{
		{"mailbox", "create", "-u", address, folder},
		{"move", "-u", address, folder, "mailbox", "INBOX", "all"},
	} {
		text, err := exec.Command("doveadm", append([]string{"-c", s.conf()}, args...)...).CombinedOutput()
		if err != nil {
			s.t.Fatalf("doveadm %v: %v: %s", args, err, text)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func file(t testing.TB, path, text string) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(text), 0o644))
}

const configuration = `
base_dir = @DIR@/run
state_dir = @DIR@/run
instance_name = ceralacca-test
log_path = @DIR@/log
protocols = imap lmtp
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain
auth_master_user_separator = *
mail_location = maildir:~/Maildir
first_valid_uid = 1
recipient_delimiter = +
postmaster_address = postmaster@localhost
default_login_user = dovenull
default_internal_user = dovecot
mail_plugins = quota
plugin {
  quota = count:User quota
  quota_vsizes = yes
  quota_grace = 0
}
quota_full_tempfail = no
lmtp_rcpt_check_quota = yes
passdb {
  driver = passwd-file
  args = @DIR@/masters
  master = yes
}
passdb {
  driver = passwd-file
  args = username_format=%Lu @DIR@/users
}
userdb {
  driver = passwd-file
  args = username_format=%Lu @DIR@/users
}
namespace inbox {
  inbox = yes
  mailbox Trash {
    special_use = \Trash
  }
}
service auth {
  unix_listener userdb {
    mode = 0660
  }
}
service lmtp {
  unix_listener lmtp-test {
    mode = 0600
  }
}
service imap-login {
  inet_listener imap {
    port = 0
  }
  inet_listener imaps {
    port = 0
  }
  unix_listener imap-test {
    mode = 0600
  }
}
`
