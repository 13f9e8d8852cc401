package host

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// child is a process of a plug-in. It dies with the host, however that ends; what it has started dies with it.
type child struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // how it ended, once done is closed
}

// surroundings are all that a process finds.
type surroundings struct {
	dir         string
	args, env   []string
	out, errors io.Writer
}

// spawn starts a program with these surroundings and nothing else.
func spawn(p Program, s surroundings) (*child, error) {
	who, err := p.Isolation.account()
	if err != nil {
		return nil, err
	}
	attr := p.Isolation.attributes(who)
	c := &child{cmd: exec.Command(p.Path, s.args...), done: make(chan struct{})}
	c.cmd.Dir, c.cmd.SysProcAttr = s.dir, attr
	c.cmd.Env = append([]string{}, s.env...)
	c.cmd.Stdout, c.cmd.Stderr = s.out, s.errors
	c.cmd.WaitDelay = killGrace // for who inherited the pipes
	started := make(chan error)
	go func() {
		// The kernel ties the child to the thread that made it: it must last as long as the child. It ends with this
		// function, for nobody else can use what confine makes of it.
		runtime.LockOSThread()
		err := confine(who)
		if err == nil {
			err = c.cmd.Start()
		}
		started <- err
		if err == nil {
			c.err = c.cmd.Wait()
			c.killGroup()
			close(c.done)
		}
	}()
	if err := <-started; errors.Is(err, ErrIsolation) {
		return nil, err
	} else if err != nil {
		return nil, startError(p.Path, s.dir, attr, err)
	}
	return c, nil
}

// kill ends the process and what it has started.
func (c *child) kill() error {
	err := c.cmd.Process.Kill()
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	c.killGroup()
	return err
}

// killGroup ends what the process has started and left in its group. That there is nothing is as good.
func (c *child) killGroup() { _ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL) }

func (c *child) pid() int { return c.cmd.Process.Pid }

func (c *child) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}
