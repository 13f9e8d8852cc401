package wire

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
)

// socketMode lets the group of the socket, in which Postfix is, connect; nobody else.
const socketMode = 0o660

// Listen makes the socket of a network, as package net names it, at an address. A unix socket has mode 0660; a file of
// one that nobody serves, left by a process that was killed, is removed, while one that is served, or a file of another
// kind, is an error.
func Listen(network, path string) (net.Listener, error) {
	if network != "unix" {
		l, err := net.Listen(network, path)
		if err != nil {
			return nil, fmt.Errorf("milter: %w", err)
		}
		return l, nil
	}
	if err := removeStale(path); err != nil {
		return nil, fmt.Errorf("milter: socket %s: %w", path, err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("milter: %w", err)
	}
	if err := os.Chmod(path, socketMode); err != nil {
		_ = l.Close() // the first error is told
		return nil, fmt.Errorf("milter: %w", err)
	}
	return l, nil
}

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
		_ = c.Close() // it only was to see whether somebody answers
		return errors.New("another process serves it")
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return err
	}
	return os.Remove(path)
}
