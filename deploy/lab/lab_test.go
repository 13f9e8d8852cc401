package lab_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/ceralacca/ceralacca/deploy/lab"
	"github.com/ceralacca/ceralacca/deploy/lab/client"
)

// world is one lab without daemons, and what stands in for them at alfa and beta.
type world struct {
	*lab.Lab
	env        client.Env
	dir        string
	submission map[string]<-chan map[string]string // macros of MAIL, by host
	agent, dsn map[string]*fakeAgent
	policies   map[string]*fakePolicies
}

var shared world

// patience is how long mail may take: the machine may be busy.
const patience = 20 * time.Second

func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("test.list"); f != nil && f.Value.String() != "" {
		os.Exit(m.Run()) // only the names are asked for
	}
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "skipped: the lab needs root")
		os.Exit(0)
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "ceralacca-test-")
	if err == nil {
		defer os.RemoveAll(dir)
		shared, err = newWorld(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer shared.Stop()
	return m.Run()
}

func newWorld(dir string) (world, error) {
	w := world{dir: dir, submission: map[string]<-chan map[string]string{}, agent: map[string]*fakeAgent{}, dsn: map[string]*fakeAgent{},
		policies: map[string]*fakePolicies{}}
	var err error
	if w.Lab, err = lab.Start(context.Background(), lab.Options{Dir: dir}); err != nil {
		return w, err
	}
	w.env = client.ParseEnv(w.Env())
	for _, h := range []*lab.Host{w.Alfa, w.Beta} {
		if w.submission[h.Name], err = startMilter(h.SubmissionSocket); err != nil {
			return w, err
		}
		if _, err = startMilter(h.IncomingSocket); err != nil {
			return w, err
		}
		if w.agent[h.Name], err = startAgent(h.AgentSocket); err != nil {
			return w, err
		}
		if w.policies[h.Name], err = startPolicies(&w, h); err != nil {
			return w, err
		}
		if w.dsn[h.Name], err = startAgent(h.DSNSocket); err != nil {
			return w, err
		}
	}
	return w, nil
}

// eventually polls until the condition holds.
func eventually(t *testing.T, patience time.Duration, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if condition() {
			return
		}
	}
	t.Fatalf("after %s still not: %s", patience, what)
}

func login(u lab.User) client.Login { return client.Login{Address: u.Address, Password: u.Password} }

func textprotoCode(code int, e smtp.EnhancedCode) string {
	return fmt.Sprintf("%d %d.%d.%d", code, e[0], e[1], e[2])
}

// awkward is a message that Postfix likes to change: header fields that it drops, a long line, 8 bit, and the private
// header both outside and inside a nested message.
func awkward(mark string) []byte {
	lines := []string{
		"X-Ceralacca-Transaction: outside",
		"Return-Path: <else@where.example>",
		"Bcc: hidden@where.example",
		"From: Mario <mario@alfa.example>",
		"Subject: " + mark,
		"MIME-Version: 1.0",
		"Content-Type: multipart/mixed; boundary=b",
		"",
		"--b",
		"Content-Type: text/plain; charset=utf-8",
		"Content-Transfer-Encoding: 8bit",
		"",
		"perché " + strings.Repeat("long ", 400),
		"--b",
		"Content-Type: message/rfc822",
		"",
		"X-Ceralacca-Transaction: inside",
		"Subject: nested",
		"",
		"text",
		"--b--",
		"",
	}
	return []byte(strings.Join(lines, "\r\n"))
}

// sent is what arrives of a message that nothing changed but the private header's removal.
func sent(raw []byte) []byte {
	return bytes.TrimPrefix(raw, []byte("X-Ceralacca-Transaction: outside\r\n"))
}

// after cuts what delivery adds on top of a message.
func after(t *testing.T, got []byte, first string) []byte {
	t.Helper()
	i := bytes.Index(got, []byte("\r\n"+first))
	if i < 0 {
		t.Fatalf("no %q in:\n%s", first, got)
	}
	return got[i+2:]
}

// inbox waits for the message with a subject in an ordinary or certified mailbox.
func inbox(t *testing.T, host string, u lab.User, subject string) []byte {
	t.Helper()
	var raw []byte
	eventually(t, patience, subject+" in the mailbox of "+u.Address, func() bool {
		list, err := shared.env.Fetch(host, login(u))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range list {
			if m.Header.Get("Subject") == subject {
				raw = m.Raw
			}
		}
		return raw != nil
	})
	return raw
}

func TestRuntimeFolderHoldsNoSecretForOthers(t *testing.T) {
	err := filepath.WalkDir(shared.Runtime(), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil && filepath.Ext(path) == ".key" && info.Mode().Perm() != 0o600 {
			t.Errorf("%s: got mode %o, want 600", path, info.Mode().Perm())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
