package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/plugins"
	"github.com/ceralacca/ceralacca/plugins/host"
)

const (
	moduleBoxes   = 1000   // mailboxes with a rule of sms
	documentSize  = 10_240 // bytes
	noticeSize    = 200    // bytes of what a notice is on the disk, for the peer
	countOne      = 200    // calls of a round, one after the other
	countAtATime  = 800    // calls of a round, eight at a time
	modulesAtTime = 8
)

// modulePatience is how long anything may take.
const modulePatience = 10 * time.Minute

// modules are the plug-ins that we ship for events, as executables under a real host.
type modules struct {
	*bench
	dir   string
	next  int // number of the next event
	sms   *host.Supervisor
	keep  *host.Supervisor
	state string // of sms
	clock string // file that moves the clock of conserve
}

// moduleGoal measures them: what they take, one call at a time and several, and a whole package.
func moduleGoal(b *bench) (rows []row, err error) {
	dir, err := os.MkdirTemp("/var/tmp", "bm") // on a disk, with a path short enough for sockets
	if err != nil {
		return nil, err
	}
	m := &modules{bench: b, dir: dir}
	defer func() { err = errors.Join(err, m.close()) }()
	if err := os.Chmod(dir, 0o755); err != nil { // plug-ins run as another user
		return nil, err
	}
	if err := errors.Join(m.startSMS(), m.startConserve()); err != nil {
		return nil, err
	}
	for _, measure := range []func() ([]row, error){m.notices, m.deposits, m.package10, m.memories} {
		more, err := measure()
		rows = append(rows, more...)
		if err != nil {
			return rows, err
		}
	}
	return rows, nil
}

func (m *modules) close() error {
	for _, s := range []*host.Supervisor{m.sms, m.keep} {
		if s != nil {
			s.Stop()
		}
	}
	return os.RemoveAll(m.dir)
}

// start builds a plug-in and starts it as nobody.
func (m *modules) start(name string, kind plugins.Kind, config map[string]any) (*host.Supervisor, error) {
	path := filepath.Join(m.dir, name)
	build := exec.CommandContext(m.ctx, "go", "build", "-trimpath", "-o", path, "./plugins/"+name)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	return host.New(m.ctx, host.Options{Name: name, Kind: kind, Config: config, Deadline: time.Minute, Concurrency: host.DefaultConcurrency, RunDir: m.dir,
		Program: host.Program{Path: path, Isolation: host.Isolation{User: "nobody", Network: true}},
		Clock:   clock.System{}, Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))})
}

// folder makes one that the plug-ins' user owns.
func (m *modules) folder(name string) (string, error) {
	path := filepath.Join(m.dir, name)
	return path, errors.Join(os.Mkdir(path, 0o755), os.Chown(path, nobodyUID, nobodyUID))
}

func (m *modules) startSMS() (err error) {
	var outgoing, staging string
	var errs [3]error
	m.state, errs[0] = m.folder("sms-state")
	outgoing, errs[1] = m.folder("outgoing")
	staging, errs[2] = m.folder("staging")
	var rules []string
	for n := range moduleBoxes {
		rules = append(rules, fmt.Sprintf(`"m%d@alfa.example": {"numbers": ["+393401%06d"], "daily_cap": 1000}`, n, n))
	}
	path := filepath.Join(m.dir, "rules.json")
	if err := errors.Join(errs[0], errs[1], errs[2], os.WriteFile(path, []byte(`{"mailboxes": {`+strings.Join(rules, ",")+`}}`), 0o644)); err != nil {
		return err
	}
	m.sms, err = m.start("sms", plugins.KindNotification, map[string]any{"state": m.state, "rules": path,
		"smstools": map[string]any{"outgoing": outgoing, "staging": staging}})
	return err
}

// times runs fn so often, at a time.
func (m *modules) times(count, atATime int, fn func(ctx context.Context, n int) error) (sample, error) {
	first := m.next
	m.next += count
	group, ctx := errgroup.WithContext(m.ctx)
	began := time.Now()
	for slot := range atATime {
		group.Go(func() error {
			for n := first + slot; n < first+count; n += atATime {
				if err := fn(ctx, n); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err := group.Wait()
	return sample{count: float64(count), seconds: time.Since(began).Seconds()}, err
}

// both compares calls of a plug-in with a file that is written and flushed, one at a time and several.
func (m *modules) both(what string, size int, fn func(ctx context.Context, n int) error) ([]row, error) {
	bare, err := m.bareFile(size)
	if err != nil {
		return nil, err
	}
	run := func(count, atATime int, fn func(context.Context, int) error) func() (sample, error) {
		return func() (sample, error) { return m.times(count, atATime, fn) }
	}
	o, err := m.interleave(variant{"one", run(countOne, 1, fn)}, variant{"bare one", run(countOne, 1, bare)},
		variant{"eight", run(countAtATime, modulesAtTime, fn)}, variant{"bare eight", run(countAtATime, modulesAtTime, bare)})
	if err != nil {
		return nil, err
	}
	return []row{o.compare(what+", one after the other", millisecond, "one", "bare one", bound{}),
		o.compare(what+", eight at a time", rate, "eight", "bare eight", bound{})}, nil
}

// bareFile is the least that keeps so many bytes: a new file, written and flushed.
func (m *modules) bareFile(size int) (func(context.Context, int) error, error) {
	folder, err := os.MkdirTemp(m.dir, "bare")
	content := strings.Repeat("x", size)
	return func(_ context.Context, n int) error {
		return writeFile(filepath.Join(folder, fmt.Sprint(n)), func(w io.Writer) error {
			if _, err := io.WriteString(w, content); err != nil {
				return err
			}
			return w.(*os.File).Sync()
		})
	}, err
}

// notices measures events that sms takes, and how long it is until all are handed to smstools.
func (m *modules) notices() ([]row, error) {
	tell := func(ctx context.Context, n int) error {
		return done(host.Notification{Supervisor: m.sms}.Notify(ctx, plugins.Event{Key: fmt.Sprint("event ", n),
			Mailbox: fmt.Sprintf("m%d@alfa.example", n%moduleBoxes), Name: "delivered", Time: time.Now().Unix()}))
	}
	rows, err := m.both("sms: events taken while it sends", noticeSize, tell)
	if err != nil {
		return rows, err
	}
	o := outcome{}
	for range m.rounds {
		if err := m.sent(); err != nil {
			return rows, err
		}
		began := time.Now()
		s, err := m.times(countAtATime, modulesAtTime, tell)
		if err == nil {
			err = m.sent()
		}
		if err != nil {
			return rows, err
		}
		s.seconds = time.Since(began).Seconds()
		o["ours"] = append(o["ours"], s)
	}
	r := o.compare("sms: notices a second, from the event to the spool of smstools, each of another mailbox", rate, "ours", "ours", bound{})
	r.peer, r.ratio = none, none
	return append(rows, r), nil
}

// sent waits until sms has nothing left to send.
func (m *modules) sent() error {
	for end := time.Now().Add(modulePatience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		left := 0
		for _, sub := range []string{"in", "out"} {
			files, err := os.ReadDir(filepath.Join(m.state, sub))
			if err != nil {
				return err
			}
			left += len(files)
		}
		if left == 0 {
			return nil
		}
	}
	return errors.New("sms does not come to an end")
}

// document is one of documentSize bytes, and its digest.
func document(n int) (string, [sha256.Size]byte) {
	text := fmt.Sprintf("Subject: %d\r\n\r\n", n)
	text += strings.Repeat(fmt.Sprintf("line %09d\r\n", n), documentSize/16)
	text = text[:documentSize]
	return text, sha256.Sum256([]byte(text))
}

// memories are the peaks of both processes, after all of it.
func (m *modules) memories() ([]row, error) {
	sms, err1 := memory(m.sms.Current().PID(), "VmHWM")
	keep, err2 := memory(m.keep.Current().PID(), "VmHWM")
	return []row{{what: "peak of memory after all of this: sms, conserve", ours: fmt.Sprintf("%.1f, %.1f MiB", sms, keep), peer: none, ratio: none, want: none}},
		errors.Join(err1, err2)
}
