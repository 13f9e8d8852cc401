package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// lockFile is what litter leaves when it is killed, and what then keeps it from starting.
func lockFile() string { return filepath.Join(filepath.Dir(os.Args[0]), "lock", "file") }

func lock() error {
	file, err := os.OpenFile(lockFile(), os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	return file.Close()
}

// offspring marks the process that serves in place of hydra.
const offspring = "HYDRA"

// serveByOffspring has a process of a session of its own serve, which the end of this one does not end.
func serveByOffspring() {
	cmd := exec.Command(os.Args[0])
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), offspring+"=yes")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// dieAlone ends the process a while after its parent, so that tests leave nothing.
func dieAlone() {
	parent := os.Getppid()
	for os.Getppid() == parent {
		<-pause()
	}
	for range 100 {
		<-pause()
	}
	os.Exit(0)
}
