package host

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin/runner"
)

// process is a child in the shape that go-plugin wants.
type process struct {
	program Program
	dir     string // working directory
	sockets string // folder of its sockets
	env     []string
	child   *child

	out   *stdout
	said  *lines
	read  *io.PipeReader // what go-plugin reads of its output
	write *io.PipeWriter
}

var _ runner.Runner = (*process)(nil)

// newProcess makes it ready to start. The folder of the sockets becomes its user's.
func newProcess(p Program, dir, sockets string, env []string, log *slog.Logger) (*process, error) {
	who, err := p.Isolation.account()
	if err != nil {
		return nil, err
	}
	if err := who.give(sockets); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrIsolation, err)
	}
	r := &process{program: p, dir: dir, sockets: sockets, env: env, said: newStderr(log)}
	r.read, r.write = io.Pipe()
	r.out = newStdout(r.write)
	return r, nil
}

// runnerFunc is what go-plugin calls; made hears of what it gets.
func runnerFunc(p Program, dir string, log *slog.Logger, made func(*process)) func(hclog.Logger, *exec.Cmd, string) (runner.Runner, error) {
	return func(_ hclog.Logger, cmd *exec.Cmd, sockets string) (runner.Runner, error) {
		r, err := newProcess(p, dir, sockets, cmd.Env, log)
		if err != nil {
			return nil, err
		}
		made(r)
		return r, nil
	}
}

// Start implements runner.Runner.
func (r *process) Start(context.Context) error {
	if err := r.program.Verify(); err != nil {
		return err
	}
	c, err := spawn(r.program, surroundings{dir: r.dir, env: r.env, out: r.out, errors: r.said})
	if err != nil {
		return err
	}
	r.child = c
	go func() {
		<-c.done
		_ = r.write.Close() // go-plugin waits no more for a handshake
	}()
	return nil
}

// Wait implements runner.Runner.
func (r *process) Wait(context.Context) error {
	<-r.child.done
	return r.child.err
}

// Kill implements runner.Runner.
func (r *process) Kill(context.Context) error { return r.child.kill() }

// Stdout implements runner.Runner: the handshake, and nothing else.
func (r *process) Stdout() io.ReadCloser { return r.read }

// Stderr implements runner.Runner: nothing, since we log it ourselves.
func (r *process) Stderr() io.ReadCloser { return io.NopCloser(strings.NewReader("")) }

// Diagnose implements runner.Runner.
func (r *process) Diagnose(context.Context) string { return "" }

// Name implements runner.Runner.
func (r *process) Name() string { return r.program.Path }

// ID implements runner.Runner.
func (r *process) ID() string {
	if r.child == nil {
		return ""
	}
	return strconv.Itoa(r.child.pid())
}

// PluginToHost implements runner.Runner: a plug-in may send us to a socket of its own only.
func (r *process) PluginToHost(network, address string) (string, string, error) {
	if network != "unix" || filepath.Dir(filepath.Clean(address)) != filepath.Clean(r.sockets) {
		return "", "", fmt.Errorf("it listens on %s %q, not on a unix socket in PLUGIN_UNIX_SOCKET_DIR", network, address)
	}
	return network, address, nil
}

// HostToPlugin implements runner.Runner.
func (*process) HostToPlugin(network, address string) (string, string, error) {
	return network, address, nil
}
