package secret

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// What is wrong with a file that should hold a secret; test with [errors.Is]. A file that does not exist or cannot be
// opened is the error of the system.
var (
	// ErrNotRegular says that the path is a folder, a pipe, a device or a socket.
	ErrNotRegular = errors.New("not a regular file")
	// ErrOwner says that the file belongs to neither root nor the user of this process.
	ErrOwner = errors.New("owned by another user")
	// ErrMode says that the group or others may do something with the file.
	ErrMode = errors.New("open to group or others")
	// ErrTooLarge says that the file is longer than the reader takes.
	ErrTooLarge = errors.New("too large")
	// ErrEmpty says that there is nothing in the file.
	ErrEmpty = errors.New("empty")
)

// Read returns the whole content of the file at path, at most limit bytes, which the caller owns. The file must be a
// regular one, owned by root or by the effective user of this process, without any permission for group or others;
// a symbolic link is followed and what it leads to is judged. What is judged is what is read: the file is opened once.
func Read(path string, limit int64) ([]byte, error) {
	file, err := open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close() // it was only read
	content, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(content)) > limit {
		return nil, fmt.Errorf("%s: %w: more than %d bytes", path, ErrTooLarge, limit)
	}
	if len(content) == 0 {
		return nil, fmt.Errorf("%s: %w", path, ErrEmpty)
	}
	return content, nil
}

// Check says whether [Read] would read the file at path, its length aside.
func Check(path string) error {
	file, err := open(path)
	if err != nil {
		return err
	}
	return file.Close()
}

// open does not wait for the writer of a pipe.
func open(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil {
		err = judge(path, info)
	}
	if err != nil {
		_ = file.Close() // the file is not used
		return nil, err
	}
	return file, nil
}

func judge(path string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s: %w", path, ErrNotRegular)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s: %w: mode %#o, at most 0600", path, ErrMode, info.Mode().Perm())
	}
	owner := info.Sys().(*syscall.Stat_t).Uid
	if owner != 0 && int(owner) != os.Geteuid() {
		return fmt.Errorf("%s: %w: uid %d", path, ErrOwner, owner)
	}
	return nil
}
