package mortal

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// reaper hears what the processes of one plug-in say, and kills them.
type reaper struct {
	name   string
	socket string
	died   func() (int, error) // calls of which the host says that the plug-in died in them

	mu      sync.Mutex
	current *life
	said    []string      // the last line of each call, of all processes, in order
	news    chan struct{} // closed when anything is said
	changed chan struct{} // closed when a process begins or ends
	kills   int
	inCall  int // kills of which the host counted a call that died
}

// life is one process.
type life struct {
	pid          int
	begun, ended int
	over         bool
}

func newReaper(t *testing.T, name, socket string) *reaper {
	t.Helper()
	r := &reaper{name: name, socket: socket, news: make(chan struct{}), changed: make(chan struct{})}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(socket, 0o666); err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			l := &life{pid: peer(conn)}
			r.change(func() { r.current = l; r.turn() })
			go r.listen(conn, l)
		}
	}()
	t.Cleanup(func() { _ = listener.Close() }) // who listens ends with the processes
	return r
}

// peer is the process at the other end; 0 is unknown.
func peer(conn net.Conn) int {
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0
	}
	pid := 0
	_ = raw.Control(func(fd uintptr) { // unknown: it is not killed, and that is found out
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			pid = int(cred.Pid)
		}
	})
	return pid
}

func (r *reaper) change(fn func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fn()
	close(r.news)
	r.news = make(chan struct{})
}

// turn says that a process began or ended.
func (r *reaper) turn() {
	close(r.changed)
	r.changed = make(chan struct{})
}

// listen takes lines until the process ends.
func (r *reaper) listen(conn net.Conn, l *life) {
	defer conn.Close()
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		r.change(func() {
			if lines.Text() == "begin" {
				l.begun++
				return
			}
			l.ended++
			r.said = append(r.said, lines.Text())
		})
	}
	r.change(func() { l.over = true; r.turn() })
}

// all is what was said so far.
func (r *reaper) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.said[:len(r.said):len(r.said)]
}

// patience is how long anything may take on a machine that is busy.
const patience = 2 * time.Minute

// until waits until the process that lives is as ok says.
func (r *reaper) until(ctx context.Context, what string, ok func(*life) bool) (*life, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		r.mu.Lock()
		l, news := r.current, r.news
		good := l != nil && !l.over && ok(l)
		r.mu.Unlock()
		if good {
			return l, nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return nil, fmt.Errorf("%s: waited %s for %s", r.name, patience, what)
		}
	}
}

// reap kills at least n times, each a process that has answered and is in the middle of another call, and goes on until
// the host has counted nine of ten as such. What is asked of the host is asked after the kill: a call is short.
func (r *reaper) reap(ctx context.Context, n int) error {
	before, err := r.died()
	if err != nil {
		return err
	}
	for kills, inCall := 0, 0; kills < n || inCall*10 < n*9; kills++ {
		if kills == 2*n {
			return fmt.Errorf("%s: only %d of %d kills fell into a call", r.name, inCall, kills)
		}
		if err := r.reapOne(ctx); err != nil {
			return err
		}
		after, err := r.died()
		if err != nil {
			return err
		}
		if after < before {
			before = 0 // another host, which counts anew
		}
		if after > before {
			inCall++
		}
		before = after
		r.mu.Lock()
		r.kills, r.inCall = kills+1, inCall
		r.mu.Unlock()
	}
	return nil
}

// reapOne kills once, and waits for the next process. As a rule the process is held first, and let go again when it turns
// out to have answered meanwhile: on a busy machine the kill would often come too late. One of eight dies unheld, wherever
// it is by then.
func (r *reaper) reapOne(ctx context.Context) error {
	for {
		l, err := r.until(ctx, "calls", (*life).inCall)
		if err != nil {
			return err
		}
		if l.pid <= 1 { // kill(2) would take it for a group
			return fmt.Errorf("%s: the kernel does not say who is at the other end", r.name)
		}
		if rand.N(8) > 0 && !r.hold(l) {
			continue
		}
		err = syscall.Kill(l.pid, syscall.SIGKILL)
		if errors.Is(err, syscall.ESRCH) {
			continue // its host was killed
		}
		if err != nil {
			return fmt.Errorf("%s: kill %d: %w", r.name, l.pid, err)
		}
		_, err = r.until(ctx, "the next process", func(next *life) bool { return next != l })
		return err
	}
}

// inCall says whether it has answered a call and is in the middle of another.
func (l *life) inCall() bool { return l.ended > 0 && l.begun > l.ended }

// hold stops a process and says whether it is in the middle of a call, by all that it has said; otherwise it goes on.
func (r *reaper) hold(l *life) bool {
	if syscall.Kill(l.pid, syscall.SIGSTOP) != nil {
		return false
	}
	for range 500 {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", l.pid))
		if _, state, _ := strings.Cut(string(raw), ") "); err != nil || strings.HasPrefix(state, "T") {
			break
		}
		time.Sleep(time.Millisecond)
	}
	time.Sleep(2 * time.Millisecond) // until its last lines are read
	r.mu.Lock()
	in := l.inCall() && !l.over
	r.mu.Unlock()
	if !in {
		_ = syscall.Kill(l.pid, syscall.SIGCONT) // it may be gone
	}
	return in
}

// String is the state of it, for progress.
func (r *reaper) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return fmt.Sprintf("%s %d (%d in a call)", r.name, r.kills, r.inCall)
}

// diedIn adds up the calls in which plug-in died, as metrics have it.
func diedIn(metrics, plugin string) int {
	total := 0
	for line := range strings.Lines(metrics) {
		if !strings.HasPrefix(line, "ceralacca_plugin_calls_total{") || !strings.Contains(line, `outcome="died"`) ||
			!strings.Contains(line, `plugin="`+plugin+`"`) {
			continue
		}
		var n float64
		if _, err := fmt.Sscan(line[strings.LastIndexByte(line, ' ')+1:], &n); err == nil {
			total += int(n)
		}
	}
	return total
}
