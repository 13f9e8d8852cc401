package app_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/internal/app"
	"github.com/ceralacca/ceralacca/internal/app/apptest"
	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/internal/conformance"
)

// journal is a log that a test reads while it is written.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// daemon is one that runs.
type daemon struct {
	t      *testing.T
	log    *journal
	reload chan os.Signal
	stop   context.CancelFunc
	ended  chan error
}

type runner func(context.Context, string, app.Deps) error

func start(t *testing.T, w *apptest.World, run runner) *daemon {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	d := &daemon{t: t, log: &journal{}, reload: make(chan os.Signal, 1), stop: cancel, ended: make(chan error, 1)}
	deps := app.Deps{Clock: clock.System{}, Random: zeros{}, Log: slog.New(slog.NewTextHandler(d.log, nil)), Reload: d.reload}
	go func() { d.ended <- run(ctx, w.Config, deps) }()
	t.Cleanup(cancel)
	return d
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// awaitLog waits until the log has said it n times.
func (d *daemon) awaitLog(text string, n int) {
	d.t.Helper()
	d.await("the log to say "+text, func() bool { return strings.Count(d.log.String(), text) >= n })
}

func (d *daemon) await(what string, done func() bool) {
	d.t.Helper()
	for end := time.Now().Add(20 * time.Second); !done(); time.Sleep(10 * time.Millisecond) {
		select {
		case err := <-d.ended:
			d.t.Fatalf("waiting for %s: it ended: %v\n%s", what, err, d.log)
		default:
		}
		if time.Now().After(end) {
			d.t.Fatalf("waiting for %s\n%s", what, d.log)
		}
	}
}

// end tells the daemon to end and returns its error.
func (d *daemon) end() error {
	d.t.Helper()
	d.stop()
	select {
	case err := <-d.ended:
		return err
	case <-time.After(20 * time.Second):
		d.t.Fatalf("it does not end\n%s", d.log)
		return nil
	}
}

var daemons = map[string]struct {
	run     runner
	started string
	sockets []string
}{
	"milter": {app.Milter, "milter started", []string{"submission", "incoming"}},
	"agent":  {app.Agent, "agent started", []string{"lmtp", "dsn", "admin"}},
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// SIGHUP with a broken configuration keeps the old one, and says so; with a good one it is read; SIGTERM ends well.
func TestReloadAndEnd(t *testing.T) {
	for name, kind := range daemons {
		t.Run(name, func(t *testing.T) {
			w := apptest.New(t)
			d := start(t, w, kind.run)
			d.awaitLog(kind.started, 1)
			for _, socket := range kind.sockets {
				d.await("socket "+socket, func() bool { return exists(w.Path(socket)) })
			}
			good, err := os.ReadFile(w.Config)
			if err != nil {
				t.Fatal(err)
			}
			broken := bytes.Replace(good, []byte("domains ="), []byte("domain ="), 1)
			w.Write(t, "ceralacca.toml", broken)
			d.reload <- syscall.SIGHUP
			d.awaitLog("the old one stays", 1)
			if log := d.log.String(); !strings.Contains(log, "ceralacca.toml:5:1") {
				t.Errorf("the log does not say what is wrong:\n%s", log)
			}
			w.Write(t, "ceralacca.toml", good)
			w.SignDirectory(t, "other.example", w.Signing) // the directory no longer gives us our domain
			d.reload <- syscall.SIGHUP
			d.awaitLog("our own record: the directory does not give us the domain alfa.example", 1) // the old one stays in use
			d.awaitLog("the configuration was read again", 1)
			w.SignDirectory(t, "alfa.example", w.Signing)
			d.reload <- syscall.SIGHUP
			d.awaitLog("the configuration was read again", 2)
			if err := d.end(); err != nil {
				t.Errorf("it ends with %v\n%s", err, d.log)
			}
			if name == "agent" && exists(w.Path("admin")) {
				t.Error("the admin socket is still there")
			}
		})
	}
}

// What a daemon opened at its start, and the key that proves what waits in the queues, stay as they are when it reads
// its configuration again; it says so for each setting that differs, and takes the rest.
func TestReloadKeepsWhatWasOpened(t *testing.T) {
	all := []string{
		"milter.submission_socket", "milter.incoming_socket", "agent.lmtp_socket", "agent.dsn_socket", "agent.queue_directory",
		"agent.state", "agent.admin_socket", "agent.metrics", "hmac.key",
	}
	for name, kind := range daemons {
		t.Run(name, func(t *testing.T) {
			w := apptest.New(t)
			d := start(t, w, kind.run)
			for _, socket := range kind.sockets {
				d.await("socket "+socket, func() bool { return exists(w.Path(socket)) })
			}
			d.reload <- syscall.SIGHUP
			d.awaitLog("the configuration was read again", 1)
			if log := d.log.String(); strings.Contains(log, "next start") {
				t.Errorf("a reload without a change speaks of one:\n%s", log)
			}
			good, err := os.ReadFile(w.Config)
			if err != nil {
				t.Fatal(err)
			}
			moved := string(good)
			for _, file := range []string{"submission", "incoming", "lmtp", "dsn", "admin", "queue", "state"} {
				moved = strings.ReplaceAll(moved, w.Path(file)+`"`, w.Path(file+"2")+`"`)
			}
			moved = strings.Replace(moved, "[dovecot]", `metrics = "localhost:29926"`+"\n[dovecot]", 1)
			if err := os.Mkdir(w.Path("queue2"), 0o700); err != nil {
				t.Fatal(err)
			}
			w.Write(t, "ceralacca.toml", []byte(moved))
			w.Write(t, "hmac", bytes.Repeat([]byte("another key"), 4))
			d.reload <- syscall.SIGHUP
			d.awaitLog("the configuration was read again", 2)
			for _, setting := range all {
				if log := d.log.String(); !strings.Contains(log, "next start only; the old one stays\" setting="+setting) {
					t.Errorf("the log does not say that %s stays:\n%s", setting, log)
				}
			}
			if exists(w.Path("state2")) {
				t.Error("the new state folder is in use beside the old store")
			}
			if err := d.end(); err != nil {
				t.Errorf("it ends with %v\n%s", err, d.log)
			}
		})
	}
}

// What is missing or wrong at the start is one sentence that names it, and there is no daemon.
func TestNoStart(t *testing.T) {
	conformance.Covers(t, "C003", "C111", "C185", "C224")
	w := apptest.New(t)
	other := apptest.New(t)
	for _, test := range []struct {
		name    string
		harm    func()
		says    []string
		restore string // the file that was harmed
	}{
		{"no configuration", func() { remove(t, w, "ceralacca.toml") }, []string{"ceralacca.toml"}, "ceralacca.toml"},
		{"no revocation list", func() { remove(t, w, "crl.pem") }, []string{"key.crl", "crl.pem"}, "crl.pem"},
		{"a revocation list of somebody else", func() { copyFile(t, other, w, "crl.pem") }, []string{"crl.pem"}, "crl.pem"},
		{"a key for all to read", func() { chmod(t, w, "key.pem", 0o644) }, []string{"key.key", "key.pem", "chmod 0600"}, "key.pem"},
		{"a secret for all to read", func() { chmod(t, w, "hmac", 0o640) }, []string{"hmac.key", "chmod 0600"}, "hmac"},
		{"somebody else's key", func() { copyFile(t, other, w, "key.pem") }, []string{"key"}, "key.pem"},
		{"no directory", func() { remove(t, w, "igpec.p7m") }, []string{"directory.file", "igpec.p7m"}, "igpec.p7m"},
		{"a directory of somebody else", func() { copyFile(t, other, w, "igpec.p7m") }, []string{"signed by somebody else"}, "igpec.p7m"},
		{"a directory that is none", func() { w.Write(t, "igpec.p7m", []byte("no")) }, []string{"directory", w.Path("igpec.p7m")}, "igpec.p7m"},
		{"a directory without us", func() { w.SignDirectory(t, "alfa.example", other.Signing) }, []string{"does not have our certificate"}, "igpec.p7m"},
		{"another name", func() { rename(t, w) }, []string{"our name is", "Alfa PEC", "Posta Certificata"}, "ceralacca.toml"},
		{"another domain", func() { w.SignDirectory(t, "beta.example", w.Signing) }, []string{"does not give us the domain alfa.example"}, "igpec.p7m"},
	} {
		kept, err := os.ReadFile(w.Path(test.restore))
		if err != nil {
			t.Fatal(err)
		}
		test.harm()
		for name, kind := range daemons {
			err := starting(t, w, kind.run)
			if err == nil {
				t.Errorf("%s: the %s starts", test.name, name)
				continue
			}
			for _, says := range test.says {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("%s: the %s says %q; want %q", test.name, name, err, says)
				}
			}
			if strings.Contains(strings.TrimSpace(err.Error()), "\n") {
				t.Errorf("%s: the %s says more than one line: %v", test.name, name, err)
			}
		}
		remove(t, w, test.restore)
		w.Write(t, test.restore, kept)
	}
	d := start(t, w, app.Agent)
	d.awaitLog("agent started", 1)
	if err := starting(t, w, app.Agent); err == nil || !strings.Contains(err.Error(), "ceralacca.db") {
		t.Errorf("a second agent: %v; want that the store is in use", err)
	}
	if err := d.end(); err != nil {
		t.Errorf("the first ends with %v", err)
	}
}

// starting runs a daemon that should not start.
func starting(t *testing.T, w *apptest.World, run runner) error {
	t.Helper()
	d := start(t, w, run)
	defer d.stop()
	select {
	case err := <-d.ended:
		return err
	case <-time.After(20 * time.Second):
		return nil
	}
}

func remove(t *testing.T, w *apptest.World, name string) {
	t.Helper()
	if err := os.Remove(w.Path(name)); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
}

// rename gives the provider the name that its certificate has beside that of the directory.
func rename(t *testing.T, w *apptest.World) {
	t.Helper()
	text, err := os.ReadFile(w.Config)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(t, "ceralacca.toml", bytes.Replace(text, []byte(`name = "Alfa PEC"`), []byte(`name = "Posta Certificata"`), 1))
}

func chmod(t *testing.T, w *apptest.World, name string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(w.Path(name), mode); err != nil {
		t.Fatal(err)
	}
}

func copyFile(t *testing.T, from, to *apptest.World, name string) {
	t.Helper()
	data, err := os.ReadFile(from.Path(name))
	if err != nil {
		t.Fatal(err)
	}
	to.Write(t, name, data)
}

// The numbers that an operator sets alarms on are there from the start.
func TestGauges(t *testing.T) {
	w := apptest.New(t)
	w.WriteConfig(t, `metrics = "localhost:29925"`)
	d := start(t, w, app.Agent)
	d.awaitLog("agent started", 1)
	var page string
	want := []string{
		fmt.Sprintf("ceralacca_certificate_expires_timestamp_seconds %v", float64(w.Signing.Cert.NotAfter.Unix())),
		"ceralacca_crl_expires_timestamp_seconds 1", "ceralacca_directory_checked_timestamp_seconds 1",
		"ceralacca_directory_timestamp_seconds 1", "ceralacca_agent_due_notifications 0", "ceralacca_agent_unfinished_effects 0",
	}
	d.await("the numbers", func() bool {
		page = scrape("http://127.0.0.1:29925/metrics")
		for _, line := range want {
			if !strings.Contains(page, "\n"+line) {
				return false
			}
		}
		return true
	})
	if err := d.end(); err != nil {
		t.Errorf("it ends with %v\n%s", err, page)
	}
}

func scrape(url string) string {
	response, err := http.Get(url)
	if err != nil {
		return ""
	}
	defer response.Body.Close()
	page, _ := io.ReadAll(response.Body) // what there is of it
	return string(page)
}
