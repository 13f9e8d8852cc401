package host

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Program is the executable of a plug-in and how it is run.
type Program struct {
	Path string // absolute
	// SHA256 of the file, in hexadecimal. Empty: it is not pinned, which only `ceralacca plugin` does.
	SHA256 string
	// Isolation is what it may do.
	Isolation Isolation
}

// Checksum returns the SHA-256 of a file in hexadecimal.
func Checksum(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }() // it was only read
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// Verify reads the file afresh: it is [ErrFile] when it is not the pinned one, or when somebody else could change it
// between now and its start.
func (p Program) Verify() error {
	if !filepath.IsAbs(p.Path) {
		return fmt.Errorf("%w: %q is not an absolute path", ErrFile, p.Path)
	}
	path, err := filepath.EvalSymlinks(p.Path)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFile, err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFile, err)
	}
	if !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
		return fmt.Errorf("%w: %s is not an executable file", ErrFile, p.Path)
	}
	if info.Mode()&(os.ModeSetuid|os.ModeSetgid) != 0 {
		return fmt.Errorf("%w: %s runs as its owner, whoever starts it; chmod ug-s %[2]s", ErrFile, p.Path)
	}
	if p.SHA256 == "" {
		return nil
	}
	if err := onlyOurs(path, filepath.Dir(path)); err != nil {
		return err
	}
	want, err := hex.DecodeString(p.SHA256)
	if err != nil || len(want) != sha256.Size {
		return fmt.Errorf("%w: %q is not a SHA-256 in hexadecimal", ErrFile, p.SHA256)
	}
	got, err := Checksum(path)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFile, err)
	}
	if have, _ := hex.DecodeString(got); subtle.ConstantTimeCompare(have, want) != 1 { // just encoded
		return &ChecksumError{Path: p.Path, Got: got, Want: p.SHA256}
	}
	return nil
}

// onlyOurs asks that paths belong to root or to us, and that nobody else may write there.
func onlyOurs(paths ...string) error {
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrFile, err)
		}
		owner := info.Sys().(*syscall.Stat_t).Uid
		if owner != 0 && int(owner) != os.Geteuid() {
			return fmt.Errorf("%w: %s belongs to another user; chown root %[2]s", ErrFile, path)
		}
		if info.Mode()&0o022 != 0 {
			return fmt.Errorf("%w: %s can be written by others; chmod go-w %[2]s", ErrFile, path)
		}
	}
	return nil
}

// cappedBuffer keeps the first bytes of what is written, and takes the rest.
type cappedBuffer struct {
	bytes.Buffer
	limit int
	over  bool
}

// Write implements io.Writer.
func (b *cappedBuffer) Write(p []byte) (int, error) {
	room := max(0, b.limit-b.Len())
	b.over = b.over || len(p) > room
	b.Buffer.Write(p[:min(room, len(p))])
	return len(p), nil
}

// private makes a folder below parent that only we can list, whatever the mask says.
func private(parent, pattern string, mode fs.FileMode) (string, error) {
	dir, err := os.MkdirTemp(parent, pattern)
	if err == nil {
		err = os.Chmod(dir, mode)
	}
	return dir, err
}

// numbered makes a folder for a process below parent, which others may pass and not list. Its name is short: the path of
// a socket begins with it.
func numbered(parent string) (string, error) {
	for n := 0; ; n++ {
		dir := filepath.Join(parent, fmt.Sprintf("%s%d-%d", folderPrefix, os.Getpid(), n))
		err := os.Mkdir(dir, 0o700)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err == nil {
			err = os.Chmod(dir, 0o711)
		}
		return dir, err
	}
}
