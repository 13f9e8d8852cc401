package admin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ceralacca/ceralacca/internal/admin"
)

// answers hands on n lines, and then its error.
type answers struct {
	n   int
	err error
}

func (a answers) lines(what string, fn func(json.RawMessage) error) error {
	for n := range a.n {
		if err := fn(json.RawMessage(fmt.Sprintf(`{"what":%q,"n":%d}`, what, n))); err != nil {
			return err
		}
	}
	return a.err
}

func (a answers) Log(_ context.Context, id string, fn func(json.RawMessage) error) error {
	return a.lines("log "+id, fn)
}

func (a answers) Audit(_ context.Context, grace time.Duration, fn func(json.RawMessage) error) error {
	return a.lines("audit "+grace.String(), fn)
}

func (a answers) Undelivered(_ context.Context, fn func(json.RawMessage) error) error {
	return a.lines("undelivered", fn)
}

func (a answers) Pending(_ context.Context, older time.Duration, fn func(json.RawMessage) error) error {
	return a.lines("pending "+older.String(), fn)
}

func (a answers) Events(_ context.Context, plugin, mailbox string, fn func(json.RawMessage) error) error {
	return a.lines("events "+plugin+" "+mailbox, fn)
}

func (a answers) Drop(_ context.Context, plugin string, fn func(json.RawMessage) error) error {
	return a.lines("drop "+plugin, fn)
}

func (a answers) DirectoryUpdate(_ context.Context, accept string, fn func(json.RawMessage) error) error {
	return a.lines("directory "+accept, fn)
}

// logged is what was logged so far.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// serve answers on a fresh socket until the test ends, and returns its path and what is logged.
func serve(t *testing.T, q admin.Questions) (string, *logged) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "admin")
	listener, err := admin.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	log := &logged{}
	go func() { ended <- admin.Serve(ctx, listener, q, slog.New(slog.NewTextHandler(log, nil))) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the socket after the end: %v, want ErrNotExist", err)
		}
	})
	return path, log
}

// ask collects an answer.
func ask(fn func(func(json.RawMessage) error) error) ([]string, error) {
	var got []string
	err := fn(func(line json.RawMessage) error { got = append(got, string(line)); return nil })
	return got, err
}

func TestQuestions(t *testing.T) {
	path, _ := serve(t, answers{n: 2})
	c := admin.NewClient(path)
	for name, test := range map[string]func(func(json.RawMessage) error) error{
		"log ":          func(fn func(json.RawMessage) error) error { return c.Log(t.Context(), "", fn) },
		"log a&b=c@d e": func(fn func(json.RawMessage) error) error { return c.Log(t.Context(), "a&b=c@d e", fn) },
		"audit 0s":      func(fn func(json.RawMessage) error) error { return c.Audit(t.Context(), 0, fn) },
		"audit 24h0m0.5s": func(fn func(json.RawMessage) error) error {
			return c.Audit(t.Context(), 24*time.Hour+500*time.Millisecond, fn)
		},
		"pending 12h0m0s": func(fn func(json.RawMessage) error) error { return c.Pending(t.Context(), 12*time.Hour, fn) },
		"undelivered":     func(fn func(json.RawMessage) error) error { return c.Undelivered(t.Context(), fn) },
		"events  ":        func(fn func(json.RawMessage) error) error { return c.Events(t.Context(), "", "", fn) },
		"events p a@b c": func(fn func(json.RawMessage) error) error {
			return c.Events(t.Context(), "p", "a@b c", fn)
		},
		"directory ": func(fn func(json.RawMessage) error) error { return c.DirectoryUpdate(t.Context(), "", fn) },
		"directory a&b": func(fn func(json.RawMessage) error) error {
			return c.DirectoryUpdate(t.Context(), "a&b", fn)
		},
		"drop a&b": func(fn func(json.RawMessage) error) error { return c.Drop(t.Context(), "a&b", fn) },
	} {
		got, err := ask(test)
		want := []string{fmt.Sprintf(`{"what":%q,"n":0}`, name), fmt.Sprintf(`{"what":%q,"n":1}`, name)}
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
}

func TestManyLines(t *testing.T) {
	path, _ := serve(t, answers{n: 50_000})
	got, err := ask(func(fn func(json.RawMessage) error) error { return admin.NewClient(path).Undelivered(t.Context(), fn) })
	if err != nil || len(got) != 50_000 {
		t.Errorf("%d lines, %v; want 50000", len(got), err)
	}
}

// An answer that could not be finished is not taken for a whole one, wherever it broke off.
func TestAnswerThatFails(t *testing.T) {
	for _, n := range []int{0, 1, 50_000} {
		path, log := serve(t, answers{n: n, err: errors.New("the disk is on fire")})
		_, err := ask(func(fn func(json.RawMessage) error) error { return admin.NewClient(path).Undelivered(t.Context(), fn) })
		if !errors.Is(err, admin.ErrAnswer) {
			t.Errorf("after %d lines: %v, want ErrAnswer", n, err)
		}
		if n == 0 && !strings.Contains(err.Error(), "on fire") {
			t.Errorf("the error %v does not tell the reason", err)
		}
		if !strings.Contains(log.String(), "on fire") {
			t.Errorf("after %d lines the log does not tell the reason: %s", n, log)
		}
	}
}

func TestErrorOfTheAsker(t *testing.T) {
	path, _ := serve(t, answers{n: 3})
	enough := errors.New("enough")
	if err := admin.NewClient(path).Undelivered(t.Context(), func(json.RawMessage) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("%v, want the error of the function", err)
	}
}

func TestNotRunning(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin")
	nothing := func(json.RawMessage) error { return nil }
	if err := admin.NewClient(path).Undelivered(t.Context(), nothing); !errors.Is(err, admin.ErrNotRunning) {
		t.Errorf("without a socket: %v, want ErrNotRunning", err)
	}
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	left.SetUnlinkOnClose(false)
	if err := left.Close(); err != nil {
		t.Fatal(err)
	}
	if err := admin.NewClient(path).Undelivered(t.Context(), nothing); !errors.Is(err, admin.ErrNotRunning) {
		t.Errorf("with a socket that a dead process left: %v, want ErrNotRunning", err)
	}
	listener, err := admin.Listen(path) // the next process is not in its way
	if err != nil {
		t.Fatal(err)
	}
	_ = listener.Close()
}

func TestSocketIsPrivate(t *testing.T) {
	path, _ := serve(t, answers{})
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 || info.Mode().Type() != fs.ModeSocket {
		t.Errorf("the socket is %v, %v; want 0600", info.Mode(), err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("beside the socket there is something: %v, %v", entries, err)
	}
}

func TestWrongQuestions(t *testing.T) {
	path, _ := serve(t, answers{n: 1})
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
	for _, test := range []struct {
		method, path string
		want         int
	}{
		{http.MethodPost, "/log", http.StatusMethodNotAllowed},
		{http.MethodGet, "/", http.StatusNotFound},
		{http.MethodGet, "/audit", http.StatusInternalServerError},
		{http.MethodGet, "/audit?grace_ms=-1", http.StatusInternalServerError},
		{http.MethodGet, "/audit?grace_ms=9223372036854775807", http.StatusInternalServerError},
	} {
		request, err := http.NewRequest(test.method, "http://agent"+test.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != test.want {
			t.Errorf("%s %s: %d, want %d", test.method, test.path, response.StatusCode, test.want)
		}
	}
}
