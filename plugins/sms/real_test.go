package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/plugins/check"
	"github.com/ceralacca/ceralacca/plugins/host"
	"github.com/ceralacca/ceralacca/test/dovecot"
)

// built makes the executable, in a folder that every user may pass.
func built(t *testing.T) (dir, path string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "sms")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path = filepath.Join(dir, "sms")
	out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput()
	if err := errors.Join(err, os.Chmod(dir, 0o755)); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return dir, path
}

// folders makes folders that every user may use.
func folders(t *testing.T, paths ...string) {
	t.Helper()
	for _, path := range paths {
		if err := errors.Join(os.MkdirAll(path, 0o777), os.Chmod(path, 0o777)); err != nil {
			t.Fatal(err)
		}
	}
}

// Every rule of the contract holds, with notices that are really sent.
func TestPluginCheck(t *testing.T) {
	dir, path := built(t)
	state, outgoing, staging := filepath.Join(dir, "state"), filepath.Join(dir, "outgoing"), filepath.Join(dir, "staging")
	folders(t, state, outgoing, staging)
	rules := filepath.Join(dir, "rules.json")
	if err := os.WriteFile(rules, []byte(`{"mailboxes": {"b@beta.example": {"numbers": ["+393401234567"], "daily_cap": 1000}}}`), 0o644); err != nil {
		t.Fatal(err)
	}
	o := check.Options{Path: path, Log: slog.New(slog.DiscardHandler), Config: map[string]any{"state": state, "rules": rules,
		"smstools": map[string]any{"outgoing": outgoing, "staging": staging}}}
	if os.Geteuid() == 0 {
		o.Isolation = host.Isolation{User: "nobody"}
	}
	failed, err := check.Run(t.Context(), o, func(l check.Line) { t.Log(l) })
	if failed != 0 || err != nil {
		t.Errorf("%d lines fail, %v", failed, err)
	}
	if sent, err := os.ReadDir(outgoing); err != nil || len(sent) == 0 {
		t.Errorf("nothing was sent: %v", err)
	}
}

// Dovecot's quota_warning hands over to the plug-in, once for each threshold that a mailbox passes.
func TestDovecotsQuotaWarning(t *testing.T) {
	s := dovecot.Start(t, dovecot.User{Address: box1, Quota: "*:storage=100K"})
	dir, path := built(t)
	state := filepath.Join(dir, "state")
	folders(t, state, filepath.Join(state, "spool"))
	script := filepath.Join(dir, "quota-warning")
	conf := fmt.Sprintf("plugin {\n quota_warning = storage=95%%%% ceralacca-sms 95 %%u\n quota_warning2 = storage=80%%%% ceralacca-sms 80 %%u\n}\n"+
		"service ceralacca-sms {\n executable = script %s\n user = nobody\n vsz_limit = 0\n unix_listener ceralacca-sms {\n  mode = 0666\n }\n}\n", script)
	file, err := os.OpenFile(filepath.Join(s.Dir, "dovecot.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = file.WriteString(conf)
	err = errors.Join(err, file.Close(),
		os.WriteFile(script, fmt.Appendf(nil, "#!/bin/sh\nexec %s quota-warning --state %s \"$2\" \"$1\"\n", path, state), 0o755))
	if err != nil {
		t.Fatal(err)
	}
	s.Down()
	s.Up()
	rome, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, line: &line{answer: taken}}
	w.c = config{state: state, rules: filepath.Join(dir, "rules.json"), zone: rome, giveUp: time.Hour, workers: 1, sms: w.line}
	w.rules(`{"numbers": ["+393401234567"], "kinds": ["quota"]}`)
	w.start()
	defer func() { w.end() }()
	for _, kb := range []int{85, 12} {
		fill(t, s, kb)
		before := w.line.count()
		for end := time.Now().Add(20 * time.Second); w.line.count() == before && time.Now().Before(end); {
			time.Sleep(50 * time.Millisecond)
		}
	}
	got := strings.Join(w.line.texts(), "|")
	if strings.Count(got, "|") != 1 || !strings.Contains(got, "il 80%") || !strings.Contains(got, "il 95%") {
		log, _ := os.ReadFile(filepath.Join(s.Dir, "log"))
		t.Errorf("sent %q\n%s", got, log)
	}
}

// The mail is one that a server takes, and its answers are believed.
func TestMail(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	final, got := make(chan string, 4), make(chan string, 4)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			smtpSession(conn, <-final, got)
		}
	}()
	m, err := newMailer(mailSettings{Server: listener.Addr().String(), From: "avvisi@alfa.example", TLS: "none", Timeout: "3s"})
	if err != nil {
		t.Fatal(err)
	}
	p := parcel{id: "id-a", to: "m@out.example", text: "perch\u00e9", subject: "Avviso", made: clock.System{}.Now()}
	for said, want := range map[string]answer{"250 ok": taken, "451 not now": later, "554 no": never, "": perhaps} {
		final <- said
		if a, err := m.send(t.Context(), p, false); a != want {
			t.Errorf("%q: %d, %v; want %d", said, a, err, want)
		}
		if text := <-got; !strings.Contains(text, "Message-ID: <id-a@alfa.example>") || !strings.Contains(text, "Auto-Submitted: auto-generated") ||
			!strings.Contains(text, "cGVyY2jDqQ0K") {
			t.Errorf("the mail is\n%s", text)
		}
	}
	listener.Close()
	if a, _ := m.send(t.Context(), p, false); a != later {
		t.Errorf("without a server: %d", a)
	}
}

func smtpSession(conn net.Conn, final string, got chan<- string) {
	defer conn.Close()
	say := func(line string) { _, _ = io.WriteString(conn, line+"\r\n") }
	say("220 test")
	in, data, body := bufio.NewScanner(conn), false, ""
	for in.Scan() {
		switch line := in.Text(); {
		case data && line == ".":
			got <- body
			if final == "" {
				return
			}
			data = false
			say(final)
		case data:
			body += line + "\n"
		case line == "DATA":
			data = true
			say("354 go")
		case line == "QUIT":
			return
		default:
			say("250 ok")
		}
	}
}
