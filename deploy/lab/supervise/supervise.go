// Package supervise keeps processes running: it starts them, starts them again when
// they die, and ends them by the process ids that it started. It knows nothing of
// what they do.
package supervise

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/ceralacca/ceralacca/internal/clock"
)

// restartDelay keeps a daemon that cannot start from burning the machine, and is
// far below the two seconds that a lab promises.
const restartDelay = 300 * time.Millisecond

// Program is what a Process runs.
type Program struct {
	Name string   // unique in its Supervisor
	Args []string // the program by absolute path, then its arguments
	Env  []string // whole environment; nil means that of this process
	UID  int      // 0: the user of this process
	GID  int
	// Groups beside GID, and Caps, capabilities of Linux that a user who is not root keeps and hands on.
	Groups []uint32
	Caps   []uintptr
	Log    string        // file that takes stdout and stderr
	Stop   time.Duration // how long to wait after SIGTERM before SIGKILL; 0: 10 s
}

// Supervisor owns processes and writes one pid file for each into a folder. Its
// methods are safe for concurrent use. The processes end when this process dies,
// however it dies: they get SIGTERM, and then the guard kills what is left.
type Supervisor struct {
	pids  string
	clock clock.Clock
	spawn chan func()
	done  chan struct{}

	mu        sync.Mutex
	processes map[string]*process
	guard     *guard // from the first Start on
}

type process struct {
	program Program
	ctx     context.Context // ends when the process shall not be started again
	cancel  context.CancelFunc
	ended   chan struct{}

	mu  sync.Mutex
	cmd *exec.Cmd
}

// New makes a Supervisor that writes pid files into the folder pids, which exists.
func New(pids string, c clock.Clock) *Supervisor {
	s := &Supervisor{
		pids: pids, clock: c,
		spawn: make(chan func()), done: make(chan struct{}),
		processes: map[string]*process{},
	}
	go s.parent()
	return s
}

// parent starts every child from one system thread that lives as long as the
// Supervisor: the kernel sends the parent-death signal when the *thread* ends.
func (s *Supervisor) parent() {
	runtime.LockOSThread()
	for {
		select {
		case f := <-s.spawn:
			f()
		case <-s.done:
			return
		}
	}
}

// PIDFile is the file that holds the process id of the named program.
func (s *Supervisor) PIDFile(name string) string {
	return filepath.Join(s.pids, name+".pid")
}

// Start runs a program and keeps it running until Halt or Close.
func (s *Supervisor) Start(p Program) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.processes[p.Name]; ok {
		return fmt.Errorf("%s runs already", p.Name)
	}
	if s.guard == nil {
		var err error
		if s.guard, err = startGuard(s.pids); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	one := &process{program: p, ctx: ctx, cancel: cancel, ended: make(chan struct{})}
	if err := s.launch(one); err != nil {
		cancel()
		return err
	}
	s.processes[p.Name] = one
	go s.keep(one)
	return nil
}

// keep waits for the end of the process and starts it again.
func (s *Supervisor) keep(p *process) {
	defer close(p.ended)
	for {
		if p.cmd != nil { // no lock: only this goroutine writes it from here on
			_ = p.cmd.Wait() // how it ended is in its log; it is started again anyway
			s.sweep(p)
		}
		if s.clock.Sleep(p.ctx, restartDelay) != nil {
			return
		}
		if err := s.launch(p); err != nil {
			p.note("%v", err)
		}
	}
}

// sweep ends the children that the process left, as a service manager would: they
// hold its ports. It asks a few times and not until all are gone: where init is slow
// to reap them, the dead stay in the process table.
func (s *Supervisor) sweep(p *process) {
	for range 10 {
		if syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) != nil {
			return
		}
		_ = s.clock.Sleep(context.Background(), 5*time.Millisecond) // this context does not end
	}
}

// launch starts the process once and writes its pid file.
func (s *Supervisor) launch(p *process) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cmd = nil
	if p.ctx.Err() != nil {
		return p.ctx.Err()
	}
	out, err := os.OpenFile(p.program.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := p.program.command(out)
	result := make(chan error)
	s.spawn <- func() { result <- cmd.Start() }
	if err := <-result; err != nil {
		return fmt.Errorf("start %s: %w", p.program.Name, err)
	}
	p.cmd = cmd
	return s.writePID(p.program.Name, cmd.Process.Pid)
}

func (p *Program) command(out io.Writer) *exec.Cmd {
	cmd := exec.Command(p.Args[0], p.Args[1:]...)
	cmd.Env = p.Env
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGTERM}
	if p.UID != 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(p.UID), Gid: uint32(p.GID), Groups: p.Groups}
		cmd.SysProcAttr.AmbientCaps = p.Caps
	}
	return cmd
}

// writePID replaces the file in one step: a reader finds the old id or the new one.
func (s *Supervisor) writePID(name string, pid int) error {
	file := s.PIDFile(name)
	if err := os.WriteFile(file+".new", []byte(strconv.Itoa(pid)+"\n"), 0o644); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

func (p *process) note(format string, args ...any) {
	f, err := os.OpenFile(p.program.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return
	}
	defer f.Close()
	fmt.Fprintf(f, format+"\n", args...)
}

// PID is the process id of the named program, 0 when it does not run.
func (s *Supervisor) PID(name string) int {
	s.mu.Lock()
	p := s.processes[name]
	s.mu.Unlock()
	if p == nil {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return 0
	}
	return p.cmd.Process.Pid
}

// Signal sends a signal to the named program.
func (s *Supervisor) Signal(name string, sig syscall.Signal) error {
	pid := s.PID(name)
	if pid == 0 {
		return fmt.Errorf("%s does not run", name)
	}
	return syscall.Kill(pid, sig)
}

// Halt ends the named program and does not start it again; Start may.
func (s *Supervisor) Halt(name string) error {
	s.mu.Lock()
	p := s.processes[name]
	delete(s.processes, name)
	s.mu.Unlock()
	if p == nil {
		return fmt.Errorf("%s does not run", name)
	}
	s.end(p)
	return os.Remove(s.PIDFile(name))
}

// Close ends every program, all at the same time, and waits for them.
func (s *Supervisor) Close() {
	s.mu.Lock()
	running := s.processes
	s.processes = map[string]*process{}
	s.mu.Unlock()
	var ended sync.WaitGroup
	for name, p := range running {
		ended.Go(func() {
			s.end(p)
			_ = os.Remove(s.PIDFile(name)) // it may never have been written
		})
	}
	ended.Wait()
	if s.guard != nil {
		s.guard.end()
	}
	close(s.done)
}

// end stops one process with the children in its group: SIGTERM, and SIGKILL when
// it does not go. Children too: Dovecot's master waits for those that just started.
func (s *Supervisor) end(p *process) {
	p.mu.Lock()
	p.cancel() // under the lock: nothing is started between this and the signal
	cmd := p.cmd
	if cmd != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) // gone already is as good
	}
	p.mu.Unlock()
	wait := p.program.Stop
	if wait == 0 {
		wait = 10 * time.Second
	}
	patience, stop := context.WithTimeout(context.Background(), wait)
	defer stop()
	select {
	case <-p.ended:
		return
	case <-patience.Done():
	}
	if cmd != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // gone already is as good
	}
	<-p.ended
}
