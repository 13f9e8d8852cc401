package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Resume starts a process again that Processes().Halt ended, and waits until the
// whole lab answers.
func (l *Lab) Resume(ctx context.Context, name string) error {
	host, role, _ := strings.Cut(name, "-")
	for _, h := range l.Hosts() {
		if h.Name != host {
			continue
		}
		if err := l.resume(ctx, h, role); err != nil {
			return err
		}
		return l.Ready(ctx)
	}
	return fmt.Errorf("no process %q", name)
}

func (l *Lab) resume(ctx context.Context, h *Host, role string) error {
	switch role {
	case "dovecot":
		return l.startDovecot(h)
	case "postfix":
		return l.startPostfix(ctx, h.Name+"-postfix", h.PostfixConfig)
	case "out":
		return l.startPostfix(ctx, h.Name+"-out", h.OutConfig)
	case roleClamd:
		return l.startClamd(h)
	case roleMilter, roleAgent:
		return l.startDaemon(h, role)
	}
	return fmt.Errorf("no process %s-%s", h.Name, role)
}

// Ready waits until every port and socket of the lab answers, at most for the
// patience of its options.
func (l *Lab) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, l.options.Patience)
	defer cancel()
	return l.ready(ctx)
}

// Sweep ends what a lab left behind whose process was killed: the processes of its
// pid files that still run out of its runtime folder, and that folder. dir is the
// Dir of its options.
func Sweep(dir string) error {
	raw, err := os.ReadFile(runtimeFile(dir))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	runtime := strings.TrimSpace(string(raw))
	if !strings.HasPrefix(filepath.Base(runtime), runtimePrefix) {
		return fmt.Errorf("%s does not name the runtime folder of a lab", runtimeFile(dir))
	}
	files, _ := filepath.Glob(filepath.Join(dir, "pid", "*.pid")) // the pattern is well formed
	for _, f := range files {
		if pid := pidIn(f); pid > 0 && runsFrom(pid, runtime) {
			_ = syscall.Kill(-pid, syscall.SIGKILL) // gone already is as good
		}
	}
	return os.RemoveAll(runtime)
}

// sweepStale removes the runtime folders of labs whose process was killed before it
// could do so; their daemons ended with it.
func sweepStale() {
	folders, _ := filepath.Glob(filepath.Join(os.TempDir(), runtimePrefix+"*")) // the pattern is well formed
	for _, f := range folders {
		if pid := pidIn(ownerFile(f)); pid > 0 && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			_ = os.RemoveAll(f) // whoever starts the next lab tries again
		}
	}
}

// ownerFile holds the process id of the lab that a runtime folder belongs to.
func ownerFile(runtime string) string { return filepath.Join(runtime, "owner.pid") }

// runtimeFile is where a lab notes its runtime folder.
func runtimeFile(dir string) string { return filepath.Join(dir, "runtime") }

// pidIn reads a pid file, 0 when it holds no process id.
func pidIn(file string) int {
	raw, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil {
		return 0
	}
	return pid
}

// runsFrom says whether the process was started with a path in the runtime folder:
// a process id may have passed to somebody else's program.
func runsFrom(pid int, runtime string) bool {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && strings.Contains(string(raw), runtime+"/")
}
