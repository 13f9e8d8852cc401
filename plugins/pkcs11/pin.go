//go:build cgo

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"github.com/miekg/pkcs11"
	"golang.org/x/sys/unix"

	"github.com/ceralacca/ceralacca/internal/fsx"
	"github.com/ceralacca/ceralacca/internal/secret"
)

// maxPIN is the longest PIN file, in bytes.
const maxPIN = 1024

// What is remembered of a PIN file, after its identity.
const (
	pinTried   = " tried"   // somebody was at it, and may have died over it
	pinRefused = " refused" // the token said no
)

// pin is the PIN file. A token counts wrong PINs and locks after a few, so a file is tried once: whoever tries writes that
// down first, for the other daemon's process and those that come later. The PIN itself is not written anywhere.
type pin struct{ path string }

func (p pin) mark() string { return p.path + ".refused" }

// try calls login with the PIN, unless it was refused before. One process at a time does.
func (p pin) try(token pkcs11.TokenInfo, login func(pin string) error) error {
	lock, err := p.lock()
	if err != nil {
		return err
	}
	defer lock.Close() // and with it the lock
	text, identity, err := p.read()
	if err != nil {
		return err
	}
	if err := p.allowed(identity, token.Flags); err != nil {
		return err
	}
	if err := fsx.WriteBytes(p.mark(), 0o600, []byte(identity+pinTried)); err != nil {
		return fmt.Errorf("pin_file: a PIN is not tried unless that can be written down: %w", err)
	}
	err = login(text)
	if refusesPIN(err) {
		return errors.Join(fmt.Errorf("%w: %w; it is not tried again until %s changes", errPIN, err, p.path),
			fsx.WriteBytes(p.mark(), 0o600, []byte(identity+pinRefused)))
	}
	return errors.Join(err, fsx.Remove(p.mark()))
}

// lock waits for the file. One that another took the place of meanwhile locks nobody out: then it locks that one.
func (p pin) lock() (*os.File, error) {
	for {
		file, err := os.Open(p.path)
		if err != nil {
			return nil, fmt.Errorf("pin_file: %w", err)
		}
		if err := unix.Flock(int(file.Fd()), unix.LOCK_EX); err != nil {
			return nil, errors.Join(fmt.Errorf("pin_file: %s: %w", p.path, err), file.Close())
		}
		locked, err := file.Stat()
		if err == nil {
			var there os.FileInfo
			if there, err = os.Stat(p.path); err == nil && os.SameFile(locked, there) {
				return file, nil
			}
		}
		if failed := errors.Join(err, file.Close()); failed != nil {
			return nil, fmt.Errorf("pin_file: %w", failed)
		}
	}
}

// read returns the PIN, and which file it is from.
func (p pin) read() (text, identity string, err error) {
	before, err := p.identity()
	if err != nil {
		return "", "", err
	}
	content, err := secret.Read(p.path, maxPIN)
	if err != nil {
		return "", "", fmt.Errorf("pin_file: %w", err)
	}
	after, err := p.identity()
	if err == nil && after != before {
		err = fmt.Errorf("pin_file: %s changes at this moment", p.path)
	}
	text = strings.TrimRight(string(content), "\r\n")
	if err == nil && text == "" {
		err = fmt.Errorf("pin_file: %s has no PIN in it", p.path)
	}
	return text, after, err
}

// identity changes when the file is written, replaced or touched.
func (p pin) identity() (string, error) {
	info, err := os.Stat(p.path)
	if err != nil {
		return "", fmt.Errorf("pin_file: %w", err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "", fmt.Errorf("pin_file: %s: its inode is not known", p.path)
	}
	return fmt.Sprintf("%d %d %d", stat.Ino, info.Size(), info.ModTime().UnixNano()), nil
}

// allowed says why the PIN must not be tried: it was refused, somebody died over it and the token says that a try failed, or
// it would be the last try.
func (p pin) allowed(identity string, flags uint) error {
	known, err := os.ReadFile(p.mark())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("pin_file: %w", err)
	}
	failed := flags&(pkcs11.CKF_USER_PIN_COUNT_LOW|pkcs11.CKF_USER_PIN_FINAL_TRY) != 0
	switch {
	case flags&pkcs11.CKF_USER_PIN_LOCKED != 0:
		return fmt.Errorf("%w: the token has locked it; have its security officer set a new one, and write it into %s", errPIN, p.path)
	case flags&pkcs11.CKF_USER_PIN_FINAL_TRY != 0:
		return fmt.Errorf("%w: the token says that one try is left, which is yours; log in by hand once (pkcs11-tool --login --test), then it is tried again", errPIN)
	case string(known) == identity+pinRefused, string(known) == identity+pinTried && failed:
		return fmt.Errorf("%w: the token refused the PIN in %s; it is not tried again until that file changes: write the right one, or touch it", errPIN, p.path)
	}
	return nil
}
