// Command faultd is the two daemons as they are, with a clock that can be moved, a disk that can fail and a way to die
// between two steps. The tests start it in place of ceralacca. It is controlled by files in the folder that FAULTD names,
// HOST being the name of the folder two above the configuration file:
//
//	kill    "HOST before handover delivery": the agent of the host kills itself there, once; the file becomes "killed"
//	pause   the same form: it waits there, once, until there is a file "resume"; the file becomes "paused"
//	clock   "26h": how far the clock is ahead
//	eio     "HOST": while it is there, syncfs fails on that host
//
// It adds nothing to what the daemons do.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ceralacca/ceralacca/internal/app"
	"github.com/ceralacca/ceralacca/internal/clock"
)

func main() {
	if len(os.Args) != 4 || os.Args[2] != "--config" {
		fmt.Fprintln(os.Stderr, "usage: faultd milter|lda --config FILE")
		os.Exit(2)
	}
	f := faults{folder: os.Getenv("FAULTD"), host: filepath.Base(filepath.Dir(filepath.Dir(os.Args[3])))}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	deps := app.System()
	deps.Clock, deps.Probe, deps.Syncfs = f, f.probe, f.syncfs
	run := app.Agent
	if os.Args[1] == "milter" {
		run = app.Milter
	}
	if err := run(ctx, os.Args[3], deps); err != nil {
		fmt.Fprintln(os.Stderr, "faultd:", err)
		os.Exit(1)
	}
}

// faults reads its files anew each time.
type faults struct{ folder, host string }

func (f faults) read(name string) string {
	b, err := os.ReadFile(filepath.Join(f.folder, name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// probe kills the process, or holds it, where the file says; the file goes first, so that it happens once.
func (f faults) probe(step, effect string) {
	here := strings.TrimSpace(f.host + " " + step + " " + effect)
	if f.take("kill", "killed", here) {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL) // does not return
	}
	if f.take("pause", "paused", here) {
		f.wait("resume")
	}
}

// take renames a file if it names a point; only one goroutine succeeds.
func (f faults) take(name, taken, point string) bool {
	return f.read(name) == point && os.Rename(filepath.Join(f.folder, name), filepath.Join(f.folder, taken)) == nil
}

// wait returns when there is a file.
func (f faults) wait(name string) {
	for {
		if _, err := os.Stat(filepath.Join(f.folder, name)); err == nil {
			return
		}
		_ = clock.System{}.Sleep(context.Background(), 10*time.Millisecond) // this context does not end
	}
}

func (f faults) syncfs(fd int) error {
	if f.read("eio") == f.host {
		return syscall.EIO
	}
	return unix.Syncfs(fd)
}

var _ clock.Clock = faults{}

// Now implements clock.Clock.
func (f faults) Now() time.Time {
	ahead, err := time.ParseDuration(f.read("clock"))
	if err != nil {
		ahead = 0
	}
	return time.Now().Add(ahead)
}

// Sleep implements clock.Clock.
func (f faults) Sleep(ctx context.Context, d time.Duration) error {
	return clock.System{}.Sleep(ctx, d)
}
