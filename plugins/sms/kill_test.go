package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/plugins"
)

// TestMain is also the process that is killed: it takes events by number from standard input, and answers each.
func TestMain(m *testing.M) {
	if text := os.Getenv("SMS_TEST_CHILD"); text != "" {
		if err := child(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func child(text string) error {
	var s settings
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return err
	}
	c, err := s.config()
	if err != nil {
		return err
	}
	e, err := open(c, clock.System{}, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	go e.run(context.Background())
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		n, _ := strconv.Atoi(in.Text())
		if _, err := e.Notify(context.Background(), plugins.Event{Key: in.Text(), Mailbox: fmt.Sprintf("m%d@alfa.example", n%4), Name: "delivered"}); err != nil {
			return err
		}
		fmt.Println(in.Text())
	}
	return in.Err()
}

const kills = 100

// killed runs the process, kills it at random instants, and gives it again what it did not answer, until it answered
// everything; then lets it come to its end.
func killed(t *testing.T, s settings, settled func() bool) (events int) {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	answered := 0
	for round := range kills + 1 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "SMS_TEST_CHILD="+string(text))
		cmd.Stderr = os.Stderr
		in, _ := cmd.StdinPipe()
		out, _ := cmd.StdoutPipe()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// The last answered one is asked again, as by a host that heard no answer; in the last round so is the one after it, which
		// the process before may have taken and not answered, and nothing else.
		from := answered
		go func() {
			for n := max(from-1, 0); ; n++ {
				if _, err := fmt.Fprintln(in, n); err != nil || round == kills && n == from {
					return
				}
			}
		}()
		works := make(chan bool, 1)
		wait := time.Duration(20+random.IntN(120)) * time.Millisecond
		go func() {
			if round == kills {
				return
			}
			if round%2 == 1 { // else it may be killed before it can do anything
				<-works
			}
			time.Sleep(wait)
			_ = cmd.Process.Kill()
		}()
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			select {
			case works <- true:
			default:
			}
			n, _ := strconv.Atoi(lines.Text())
			answered = n + 1
			if round == kills && n == from {
				break
			}
		}
		if round == kills {
			for end := time.Now().Add(time.Minute); !settled() && time.Now().Before(end); {
				time.Sleep(50 * time.Millisecond)
			}
			time.Sleep(300 * time.Millisecond) // what was too much would come now
			_ = cmd.Process.Kill()
		}
		_ = cmd.Wait()
	}
	return answered
}

func killRules(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	var boxes []string
	for n := range 4 {
		boxes = append(boxes, fmt.Sprintf(`"m%d@alfa.example": {"numbers": ["+39340123456%d"], "daily_cap": 1000, "texts": {"mail": "n={{.Count}}"}}`, n, n))
	}
	if err := os.WriteFile(filepath.Join(dir, "rules.json"), []byte(`{"mailboxes": {`+strings.Join(boxes, ",")+`}}`), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func idle(dir string) func() bool {
	return func() bool {
		for _, f := range []string{"in", "out"} {
			entries, err := os.ReadDir(filepath.Join(dir, f))
			if err != nil {
				return false
			}
			for _, e := range entries {
				if !strings.HasPrefix(e.Name(), ".") {
					return false
				}
			}
		}
		return true
	}
}

func counted(text string) int {
	_, after, _ := strings.Cut(text, "n=")
	n, _ := strconv.Atoi(strings.TrimSpace(after))
	return n
}

// Killed a hundred times, the plug-in hands each notice to smsd exactly once.
func TestKilledWithSpool(t *testing.T) {
	dir := killRules(t)
	outgoing, staging := filepath.Join(dir, "outgoing"), filepath.Join(dir, "staging")
	for _, f := range []string{outgoing, staging} {
		if err := os.Mkdir(f, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	d := newSmsd(t, outgoing)
	events := killed(t, settings{State: dir, Smstools: &spoolSettings{outgoing, staging}}, idle(dir))
	told, notices := d.stop()
	t.Logf("%d events in %d notices", events, notices)
	if told != events || events < kills {
		t.Errorf("%d events were told, want %d", told, events)
	}
}

// smsd takes what lies in a folder away, as that of smstools does.
type smsd struct {
	t             *testing.T
	folder        string
	end, ended    chan bool
	told, notices int
	seen          map[string]bool
}

func newSmsd(t *testing.T, folder string) *smsd {
	d := &smsd{t: t, folder: folder, end: make(chan bool), ended: make(chan bool), seen: map[string]bool{}}
	go func() {
		defer close(d.ended)
		for {
			select {
			case <-d.end:
				return
			case <-time.After(10 * time.Millisecond):
				d.take()
			}
		}
	}()
	return d
}

func (d *smsd) take() {
	entries, _ := os.ReadDir(d.folder) // what is not there is missed in the end
	for _, e := range entries {
		path := filepath.Join(d.folder, e.Name())
		data, err := os.ReadFile(path)
		if err != nil || !strings.HasPrefix(string(data), "To: 39340") {
			d.t.Errorf("%s: %v, %q", e.Name(), err, data)
		}
		if d.seen[e.Name()] {
			d.t.Errorf("%s came twice", e.Name())
		}
		d.seen[e.Name()] = true
		d.told += counted(string(data))
		d.notices++
		_ = os.Remove(path)
	}
}

// stop returns how many events were told, in how many notices.
func (d *smsd) stop() (told, notices int) {
	close(d.end)
	<-d.ended
	d.take()
	return d.told, d.notices
}

// Killed a hundred times, each notice reaches a gateway that knows the ids exactly once.
func TestKilledWithGateway(t *testing.T) {
	dir := killRules(t)
	var mu sync.Mutex
	texts, requests := map[string]string{}, 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		requests++
		id := r.Header.Get("Idempotency-Key")
		if before, there := texts[id]; err != nil || id == "" || there && before != string(body) {
			t.Errorf("%q: %v, %q, before %q", id, err, body, before)
		}
		texts[id] = string(body)
	}))
	defer server.Close()
	g := &gatewaySettings{URL: server.URL + "/send", Body: "{to} {text}", ContentType: "text/plain"}
	events, told := killed(t, settings{State: dir, Gateway: g}, idle(dir)), 0
	mu.Lock()
	defer mu.Unlock()
	for _, text := range texts {
		told += counted(text)
	}
	t.Logf("%d events, %d notices in %d requests", events, len(texts), requests)
	if told != events || events < kills {
		t.Errorf("%d events were told, want %d", told, events)
	}
}
