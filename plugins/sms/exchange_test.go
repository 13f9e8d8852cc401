package main

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/internal/metrics"
	"github.com/ceralacca/ceralacca/plugins"
	"github.com/ceralacca/ceralacca/plugins/host"
)

// hosted is the executable, which real hosts start.
type hosted struct {
	t          *testing.T
	dir, state string
	path       string
	config     map[string]any
	log        journal
	current    atomic.Pointer[host.Supervisor] // who is told of events
	telling    sync.WaitGroup
}

// newHosted builds it, with rules for so many mailboxes, each told at once how many events a notice has.
func newHosted(t *testing.T, mailboxes int) *hosted {
	t.Helper()
	h := &hosted{t: t}
	h.dir, h.path = built(t)
	h.state = filepath.Join(h.dir, "state")
	folders(t, h.state)
	var rules []string
	for n := range mailboxes {
		rules = append(rules, fmt.Sprintf(`"m%d@alfa.example": {"numbers": ["+393401%06d"], "daily_cap": 1000, "texts": {"mail": "n={{.Count}}"}}`, n, n))
	}
	path := filepath.Join(h.dir, "rules.json")
	if err := os.WriteFile(path, []byte(`{"mailboxes": {`+strings.Join(rules, ",")+`}}`), 0o644); err != nil {
		t.Fatal(err)
	}
	h.config = map[string]any{"state": h.state, "rules": path}
	return h
}

// spooled lets it send by a spool, from which an smsd takes.
func (h *hosted) spooled() *smsd {
	outgoing, staging := filepath.Join(h.dir, "outgoing"), filepath.Join(h.dir, "staging")
	folders(h.t, outgoing, staging)
	h.config["smstools"] = map[string]any{"outgoing": outgoing, "staging": staging}
	return newSmsd(h.t, outgoing)
}

// start starts a process beside what is there.
func (h *hosted) start() *host.Supervisor {
	h.t.Helper()
	o := host.Options{Name: "sms", Kind: plugins.KindNotification, Config: h.config, RunDir: h.dir, Program: host.Program{Path: h.path,
		Isolation: host.Isolation{Network: true}}, Deadline: 10 * time.Second, Concurrency: 16, Clock: clock.System{},
		Log: slog.New(slog.NewTextHandler(&h.log, nil)), Metrics: metrics.New()}
	if os.Geteuid() == 0 {
		o.Program.Isolation.User = "nobody"
	}
	s, err := host.New(h.t.Context(), o)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(s.Stop)
	return s
}

// tell tells of an event until it is taken, as the queue of the host does.
func (h *hosted) tell(key, mailbox string) {
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		got, err := host.Notification{Supervisor: h.current.Load()}.Notify(h.t.Context(), plugins.Event{Key: key, Mailbox: mailbox, Name: "delivered"})
		if err == nil && got.Outcome == plugins.Done {
			return
		}
		if time.Now().After(end) {
			h.t.Errorf("Notify = %+v, %v", got, err)
			return
		}
	}
}

// says is whether a line of the log has all of the words; the host keeps no order.
func (h *hosted) says(words ...string) bool {
	for line := range strings.Lines(h.log.String()) {
		if !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(line, word) }) {
			return true
		}
	}
	return false
}

// flow tells of events of so many mailboxes, at a time, until stop is called, which returns how many there were.
func (h *hosted) flow(mailboxes int) (stop func() int) {
	done, count := make(chan bool), atomic.Int32{}
	for n := range mailboxes {
		h.telling.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				h.tell(fmt.Sprint(n, " ", i), fmt.Sprintf("m%d@alfa.example", n))
				count.Add(1)
				time.Sleep(5 * time.Millisecond)
			}
		})
	}
	return func() int {
		close(done)
		h.telling.Wait()
		return int(count.Load())
	}
}

// settled waits until nothing waits.
func (h *hosted) settled() {
	h.t.Helper()
	for end := time.Now().Add(time.Minute); !idle(h.state)(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			h.t.Fatalf("something waits for ever; the log:\n%.4000s", h.log.String())
		}
	}
	time.Sleep(300 * time.Millisecond) // what was too much would come now
}

// exchanges is how often a configuration is exchanged.
const exchanges = 12

// exchange starts a process before it stops the one before, again and again, while events come.
func (h *hosted) exchange() (events int) {
	h.t.Helper()
	h.current.Store(h.start())
	stop := h.flow(4)
	for range exchanges {
		next := h.start()
		time.Sleep(100 * time.Millisecond) // both are there, the older one sends
		before := h.current.Swap(next)
		time.Sleep(50 * time.Millisecond)
		before.Stop()
		time.Sleep(100 * time.Millisecond)
	}
	events = stop()
	h.settled()
	return events
}

// While the host exchanges a configuration there are two processes: each event is told, each once.
func TestTwoProcessesAtOnceWithSpool(t *testing.T) {
	h := newHosted(t, 4)
	d := h.spooled()
	events := h.exchange()
	told, notices := d.stop()
	t.Logf("%d events in %d notices, %d exchanges", events, notices, exchanges)
	if told != events || events < exchanges {
		t.Errorf("%d events were told, want %d", told, events)
	}
}

// recorded is a gateway that keeps what it was asked, by id.
type recorded struct {
	*httptest.Server
	mu    sync.Mutex
	texts map[string][]string
	slow  time.Duration
	then  func(http.ResponseWriter) // before the answer; nil is nothing
}

func newRecorded(t *testing.T, slow time.Duration) *recorded {
	r := &recorded{texts: map[string][]string{}, slow: slow}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, err := io.ReadAll(q.Body)
		if err != nil {
			return
		}
		r.mu.Lock()
		id := q.Header.Get("Idempotency-Key")
		r.texts[id] = append(r.texts[id], string(body))
		then := r.then
		r.mu.Unlock()
		if then != nil {
			then(w)
		}
		time.Sleep(r.slow)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *recorded) settings(unknown string) map[string]any {
	return map[string]any{"url": r.URL, "body": "{text}", "content_type": "text/plain", "when_unknown": unknown}
}

// once adds up what was told, and fails when anything came twice.
func (r *recorded) once(t *testing.T) (told int) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, texts := range r.texts {
		if len(texts) != 1 {
			t.Errorf("%s was sent %d times: %q", id, len(texts), texts)
		}
		told += counted(texts[0])
	}
	return told
}

// A process that is asked to end hears the answers that it waits for: also with a gateway that is slow nothing is sent twice,
// and nothing is unknown.
func TestTwoProcessesAtOnceWithASlowGateway(t *testing.T) {
	h := newHosted(t, 4)
	g := newRecorded(t, 300*time.Millisecond)
	h.config["gateway"] = g.settings("stop")
	events := h.exchange()
	told := g.once(t)
	t.Logf("%d events in %d requests, %d exchanges", events, len(g.texts), exchanges)
	if told != events || events < exchanges {
		t.Errorf("%d events were told, want %d", told, events)
	}
	if strings.Contains(h.log.String(), "was not delivered") {
		t.Errorf("something was not delivered:\n%s", h.log.String())
	}
}

// deaths is how often the process dies when the gateway has a request.
const deaths = 16

// With when_unknown = "stop" a notice that the gateway had when the process died, before or after its answer, is not sent
// again; and unless its end was recorded it is an alarm, counted, and named by `sms status`.
func TestKilledBetweenTheAnswerAndTheRecord(t *testing.T) {
	h := newHosted(t, deaths)
	g := newRecorded(t, 0)
	h.config["gateway"] = g.settings("stop")
	h.current.Store(h.start())
	for n := range deaths {
		pid, dead := h.current.Load().Current().PID(), make(chan bool)
		g.mu.Lock()
		g.then = func(w http.ResponseWriter) {
			if n%2 == 0 { // it has the answer, and hardly the time to write it down
				w.WriteHeader(http.StatusOK)
				_ = http.NewResponseController(w).Flush()
			}
			_ = syscall.Kill(pid, syscall.SIGKILL)
			close(dead)
		}
		g.mu.Unlock()
		h.tell(fmt.Sprint(n), fmt.Sprintf("m%d@alfa.example", n))
		<-dead
		g.mu.Lock()
		g.then = nil
		g.mu.Unlock()
		for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			if i := h.current.Load().Current(); i != nil && i.PID() != pid {
				break
			}
			if time.Now().After(end) {
				t.Fatal("the host starts no other process")
			}
		}
	}
	h.settled()
	if told := g.once(t); told != deaths {
		t.Errorf("%d notices reached the gateway, want %d", told, deaths)
	}
	var out strings.Builder
	if code := (command{clock.System{}, nil, &out, &out}).run([]string{"status", "--state", h.state}); code != 0 {
		t.Errorf("status: exit code %d", code)
	}
	states := map[legState]int{}
	notices, err := store(h.state).notices("sent/" + dayOf(time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range notices {
		states[n.Legs[0].State]++
		alarm := h.says("id="+n.key(0), "state=unknown", "alarm=true", "mailbox="+n.Mailbox)
		listed := strings.Contains(out.String(), n.key(0)+"  "+n.Mailbox+": unknown: it may have arrived, and is not sent again, 1 events")
		if unknown := n.Legs[0].State == unknown; alarm != unknown || listed != unknown {
			t.Errorf("%s is %q, alarm: %v, listed: %v\n%s", n.Mailbox, n.Legs[0].State, alarm, listed, h.log.String())
		}
	}
	t.Logf("%v", states)
	if states[unknown]+states[done] != deaths || states[unknown] < deaths/2 {
		t.Errorf("%v; want %d, at least half of them unknown\n%s", states, deaths, out.String())
	}
}
