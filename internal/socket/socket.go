// Package socket opens what a daemon listens on. It does not know what is spoken there.
package socket

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

// mode lets the daemon and the group of the socket connect, in which Postfix is; nobody else.
const mode = 0o660

// Listen opens the socket of a network, as package net names it, at an address. A unix socket has mode 0660; a file of one
// that nobody serves, left by a process that was killed, is removed, while one that is served, or a file of another kind, is
// an error. The caller closes it.
func Listen(network, address string) (net.Listener, error) {
	if network != "unix" {
		return net.Listen(network, address)
	}
	if err := removeStale(address); err != nil {
		return nil, fmt.Errorf("socket %s: %w", address, err)
	}
	l, err := net.Listen(network, address)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(address, mode); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// ListenAsFolder is [Listen]; a unix socket gets the group of its folder besides.
func ListenAsFolder(network, address string) (net.Listener, error) {
	l, err := Listen(network, address)
	if err != nil || network != "unix" {
		return l, err
	}
	if err := groupOfFolder(address); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// removeStale removes the socket of a process that was killed, and nothing else: one that answers is in use.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return errors.New("there is a file that is no socket")
	}
	c, err := net.Dial("unix", path)
	if err == nil {
		return errors.Join(errors.New("another process serves it"), c.Close())
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return err
	}
	return os.Remove(path)
}

func groupOfFolder(path string) error {
	info, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return err
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok {
		return os.Chown(path, -1, int(owner.Gid))
	}
	return nil
}
