package host_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/plugins"
	"github.com/ceralacca/ceralacca/plugins/host"
)

// rights are what the process may do that others may not.
func rights() string {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err.Error()
	}
	var said []string
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		if name == "CapPrm" || name == "CapEff" || name == "CapAmb" || name == "NoNewPrivs" {
			said = append(said, name+"="+strings.TrimLeft(strings.TrimSpace(value), "0"))
		}
	}
	return strings.Join(said, " ")
}

// runHostAs is a host that is not root: it says in one line what its plug-in is and may do, or what kept it from running,
// and stays.
func runHostAs(path, run string, isolation host.Isolation) {
	syscall.Umask(0o077) // as under systemd
	s, err := host.New(context.Background(), host.Options{
		Name: "files", Kind: plugins.KindAntivirus, Program: host.Program{Path: path, Isolation: isolation},
		Deadline: time.Minute, Concurrency: 1, RunDir: run, Clock: clock.System{}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		fmt.Println("0", err)
		return
	}
	for _, word := range []string{"WHO am I", "RIGHTS of mine"} {
		got, err := host.Antivirus{Supervisor: s}.Scan(context.Background(), content(word))
		if err != nil {
			fmt.Println("0", err)
			return
		}
		fmt.Print(s.Current().PID(), " ", got.Engine, " ")
	}
	fmt.Println()
	select {}
}

// A daemon under systemd is not root. What it may do besides decides how a plug-in is kept apart, and what it says when
// it cannot. However it ends, the plug-in ends with it, also one that belongs to somebody else.
func TestAHostThatIsNotRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can be somebody else")
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	group, err := strconv.Atoi(nobody.Gid)
	if err != nil {
		t.Fatal(err)
	}
	const daemon = 64123
	capabilities := []uintptr{6, 7} // CAP_SETGID, CAP_SETUID
	none := " CapPrm= CapEff= CapAmb= NoNewPrivs=1"
	for _, test := range []struct {
		name    string
		groups  []uint32
		ambient []uintptr
		user    string
		network bool
		want    []string
	}{
		{"its own user", nil, nil, "", false, []string{"uid=64123 groups=[] up=0 own=true file=read env=[]", none}},
		{"its own user, with the network", nil, nil, "", true, []string{"uid=64123 groups=[] up=", none}},
		{"its own user, with the network, and the host has capabilities", nil, capabilities, "", true, []string{"uid=64123 groups=[] up=", none}},
		{"another user", []uint32{uint32(group)}, capabilities, "nobody", false, []string{"uid=" + nobody.Uid + " groups=[] up=0 own=true file=read env=[]", none}},
		{"another user, with the network", []uint32{uint32(group)}, capabilities, "nobody", true, []string{"uid=" + nobody.Uid + " groups=[] up=", none}},
		{"another user without capabilities", []uint32{uint32(group)}, nil, "nobody", false, []string{"CAP_SETUID and CAP_SETGID", "deploy/systemd/plugins.conf"}},
		{"another user whose group it is not in", nil, capabilities, "nobody", false, []string{"SupplementaryGroups=" + nobody.Gid}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := shortDir(t)
			plug, hostAs, run := binary(t, dir, "plug-files"), binary(t, dir, "host-as"), filepath.Join(dir, "run")
			if err := errors.Join(os.Mkdir(run, 0o700), os.Chmod(run, 0o711), os.Chown(run, daemon, daemon)); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(hostAs, plug, run, test.user, strconv.FormatBool(test.network))
			cmd.Stderr = t.Output()
			cmd.SysProcAttr = &syscall.SysProcAttr{AmbientCaps: test.ambient,
				Credential: &syscall.Credential{Uid: daemon, Gid: daemon, Groups: test.groups}}
			line, end := said(t, cmd)
			defer end()
			if strings.Contains(line, "a namespace of users") {
				t.Skip("this machine forbids namespaces of users:", line)
			}
			for _, want := range test.want {
				if !strings.Contains(line, want) {
					t.Errorf("got %q, want %q", line, want)
				}
			}
			if strings.Contains(test.want[0], "up=0") != strings.Contains(line, "up=0") {
				t.Errorf("got %q, network %t", line, test.network)
			}
			number, _, _ := strings.Cut(line, " ")
			pid, err := strconv.Atoi(number)
			if err != nil {
				t.Fatalf("the host said %q", line)
			}
			end()
			if pid > 0 {
				waitFor(t, "the plug-in's end", func() bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) || zombie(pid) })
			}
		})
	}
}

// said starts a command and returns its first line, and what kills it.
func said(t *testing.T, cmd *exec.Cmd) (line string, end func()) {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err = bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Errorf("it said %q, %v", line, err)
	}
	return line, func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()         // it was killed
	}
}
