//go:build cgo

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab/softhsm"
)

// What serves the token aside, from the packages p11-kit and p11-kit-modules.
const (
	asideServer   = "/usr/bin/p11-kit"
	asideModule   = "/usr/lib/x86_64-linux-gnu/pkcs11/p11-kit-client.so"
	asideVariable = "P11_KIT_SERVER_ADDRESS"
)

// device is a token as those who sign reach it.
type device struct {
	name   string
	cpu    string // what the CPU times are of
	module string
	env    []string
	pinned []string // in front of a command
}

// within is the token in the process of who signs: each signature is CPU time of the machine.
func (t benchToken) within() device {
	return device{name: "in SoftHSM, RSA-", cpu: "CPU of one, token included", module: softhsm.Module, env: []string{softhsm.ConfVariable + "=" + t.Conf}}
}

// run has a process sign for a round.
func (d device) run(ctx context.Context, args ...string) (sample, error) {
	args = append(d.pinned[:len(d.pinned):len(d.pinned)], args...)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), d.env...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return sample{}, err
	}
	var s spent
	err = json.Unmarshal(out, &s)
	return s.sample(), err
}

// asideToken is the token behind a server that has a processor of its own, as a device has, and signs one at a time; all others have
// the other processor.
type asideToken struct {
	device
	server *exec.Cmd
}

func startAside(ctx context.Context, t *benchToken) (*asideToken, error) {
	socket := filepath.Join(t.Store, "p11-kit") // where that user may write
	server := exec.CommandContext(ctx, "taskset", "-c", "1", asideServer, "server", "-f", "-n", socket, "-p", softhsm.Module, "pkcs11:token="+t.Label)
	server.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobodyUID, Gid: nobodyUID}} // whom the token belongs to
	server.Dir = "/"
	server.Env = append(os.Environ(), softhsm.ConfVariable+"="+t.Conf)
	if err := server.Start(); err != nil {
		return nil, err
	}
	a := &asideToken{server: server, device: device{name: "in a token with a processor of its own, RSA-", cpu: "CPU of one, without the token",
		module: asideModule, env: []string{asideVariable + "=unix:path=" + socket}, pinned: []string{"taskset", "-c", "0"}}}
	for range 100 {
		if _, err := os.Stat(socket); err == nil {
			return a, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	a.end()
	return nil, errors.New("p11-kit server does not make its socket: are p11-kit and p11-kit-modules installed?")
}

func (a *asideToken) end() {
	if err := errors.Join(a.server.Process.Kill(), a.server.Wait()); a.server.ProcessState == nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
	}
}
