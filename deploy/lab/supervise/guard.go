package supervise

import (
	"fmt"
	"io"
	"os/exec"
	"syscall"
)

// guard is a process that outlives this one and then kills the groups of the pid
// files that are still there. The parent-death signal is not enough: Postfix's master
// changes its user for a moment, and the kernel forgets the signal.
type guard struct {
	cmd  *exec.Cmd
	life io.Closer // its end says that this process is gone
}

// guardScript reads until the pipe ends. Close has removed the pid files by then.
const guardScript = `trap '' HUP INT TERM
read -r _
for file in "$1"/*.pid; do
	read -r pid <"$file" && kill -KILL "-$pid"
done 2>/dev/null`

func startGuard(pids string) (*guard, error) {
	cmd := exec.Command("/bin/sh", "-c", guardScript, "guard", pids)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	life, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the guard: %w", err)
	}
	return &guard{cmd, life}, nil
}

func (g *guard) end() {
	_ = g.life.Close() // it was open
	_ = g.cmd.Wait()   // what it found to do is done
}
