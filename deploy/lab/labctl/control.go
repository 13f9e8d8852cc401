package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab"
	"github.com/ceralacca/ceralacca/internal/clock"
)

// control is a lab in a folder and the program of its daemons.
type control struct{ dir, bin string }

func (c control) path(name string) string { return filepath.Join(c.dir, name) }

// up starts a supervisor in the background, unless one runs.
func (c control) up() error {
	if c.running() != 0 {
		return c.already()
	}
	if os.Geteuid() != 0 {
		return errors.New("the lab runs Postfix and Dovecot, whose masters need root: run make lab as root")
	}
	if err := c.clean(); err != nil {
		return err
	}
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return err
	}
	ended, err := c.background()
	if err != nil {
		return err
	}
	for {
		select {
		case <-ended:
			raw, _ := os.ReadFile(c.path("supervisor.log")) // the message is all there is to say
			return errors.Join(fmt.Errorf("the lab did not start:\n%s", raw), c.clean())
		case <-time.After(50 * time.Millisecond):
		}
		if exists(c.path("env")) {
			return c.status()
		}
	}
}

// already prints the state of the lab that runs, when it has started: somebody may have asked for it a moment ago.
func (c control) already() error {
	patience, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for !exists(c.path("env")) && c.running() != 0 {
		if (clock.System{}).Sleep(patience, 50*time.Millisecond) != nil {
			return errors.New("the lab is starting and does not come to an end: make lab-down, then make lab")
		}
	}
	fmt.Printf("The lab runs already.\n\n")
	return c.status()
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// background starts this program again as the supervisor, in a session of its own.
func (c control) background() (<-chan error, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	log, err := os.Create(c.path("supervisor.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(self, "serve", "--dir", c.dir, "--bin", c.bin)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	return ended, nil
}

// serve is the supervisor: it runs the lab until SIGTERM.
func (c control) serve() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	pid := strconv.Itoa(os.Getpid()) + "\n"
	if err := os.WriteFile(c.path("supervisor.pid"), []byte(pid), 0o644); err != nil {
		return err
	}
	l, err := lab.Start(ctx, lab.Options{Dir: c.dir, Bin: c.bin, Daemons: c.bin != "", Antivirus: c.bin != ""})
	if err != nil {
		return err
	}
	if err := c.publish(l); err != nil {
		return errors.Join(err, l.Stop())
	}
	<-ctx.Done()
	return l.Stop()
}

// publish writes the env file last of all: who waits for the lab waits for it. It belongs, with the keys that the lab
// gives away, to whom sudo started this for.
func (c control) publish(l *lab.Lab) error {
	if err := os.WriteFile(c.path("env.new"), []byte(l.Env()), 0o600); err != nil {
		return err
	}
	if err := lab.HandOver(append(l.Gifts(), c.path("env.new"))...); err != nil {
		return err
	}
	return os.Rename(c.path("env.new"), c.path("env"))
}

// down ends the supervisor and removes what it leaves, also when it was killed.
func (c control) down() error {
	if _, err := os.Stat(c.dir); errors.Is(err, os.ErrNotExist) {
		fmt.Println("No lab runs.")
		return nil
	}
	if pid := c.running(); pid != 0 {
		if err := c.terminate(pid); err != nil {
			return err
		}
	}
	return c.clean()
}

// terminate sends SIGTERM and waits; SIGKILL is for a supervisor that hangs.
func (c control) terminate(pid int) error {
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		return fmt.Errorf("end the lab: %w", err)
	}
	patience, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for c.running() == pid {
		if (clock.System{}).Sleep(patience, 50*time.Millisecond) != nil {
			return syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	return nil
}

// clean removes a lab whose supervisor is gone.
func (c control) clean() error {
	if err := lab.Sweep(c.dir); err != nil {
		return err
	}
	return os.RemoveAll(c.dir)
}

// running is the process id of the supervisor, 0 when it does not run.
func (c control) running() int {
	raw, err := os.ReadFile(c.path("supervisor.pid"))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil {
		return 0
	}
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || !strings.Contains(string(line), c.dir) {
		return 0
	}
	return pid
}

// status prints the processes of the lab, and where its values are.
func (c control) status() error {
	pid := c.running()
	if pid == 0 {
		return errors.New("no lab runs: start one with make lab")
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintf(w, "PROCESS\tPID\tSTATE\nsupervisor\t%d\truns\n", pid)
	files, _ := filepath.Glob(filepath.Join(c.dir, "pid", "*.pid")) // the pattern is well formed
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		id, state := strings.TrimSpace(string(raw)), "runs"
		if _, err := os.Stat("/proc/" + id); err != nil {
			state = "down"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", strings.TrimSuffix(filepath.Base(f), ".pid"), id, state)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Printf("\nAddresses, ports, users and files: . %s\n", c.path("env"))
	return nil
}
