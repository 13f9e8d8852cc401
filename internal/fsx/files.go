package fsx

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// Write makes the file at path with what fn writes, mode as given, and returns when it would survive a crash: a reader
// finds the old file or the whole new one, never a part. The folder must exist. When fn fails nothing is changed.
func Write(path string, mode fs.FileMode, fn func(io.Writer) error) (err error) {
	return place(path, mode, fn, os.Rename)
}

// WriteNew is [Write] for a file that must not be there yet: one that is stays as it is, and the error is [fs.ErrExist].
func WriteNew(path string, mode fs.FileMode, fn func(io.Writer) error) error {
	return place(path, mode, fn, func(from, to string) error {
		if err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE); err != nil {
			return &fs.PathError{Op: "write", Path: to, Err: err}
		}
		return nil
	})
}

// place writes aside and has put bring the file to its place.
func place(path string, mode fs.FileMode, fn func(io.Writer) error, put func(from, to string) error) (err error) {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("fsx: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(file.Name()) // it was never part of anything
		}
	}()
	if err := fill(file, mode, fn); err != nil {
		return err
	}
	if err := put(file.Name(), path); err != nil {
		return fmt.Errorf("fsx: %w", err)
	}
	return syncFolder(path)
}

func fill(file *os.File, mode fs.FileMode, fn func(io.Writer) error) error {
	err := fn(file)
	if err == nil {
		err = file.Chmod(mode)
	}
	if err == nil {
		err = file.Sync()
	}
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("fsx: %w", err)
	}
	return nil
}

// WriteBytes is [Write] for content that is in memory.
func WriteBytes(path string, mode fs.FileMode, content []byte) error {
	return Write(path, mode, func(w io.Writer) error {
		_, err := io.Copy(w, bytes.NewReader(content))
		return err
	})
}

// WriteNewBytes is [WriteNew] for content that is in memory.
func WriteNewBytes(path string, mode fs.FileMode, content []byte) error {
	return WriteNew(path, mode, func(w io.Writer) error {
		_, err := io.Copy(w, bytes.NewReader(content))
		return err
	})
}

// Rewrite is [WriteBytes] for a file that is there: its mode and owner stay.
func Rewrite(path string, content []byte) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("fsx: %w", err)
	}
	return place(path, info.Mode().Perm(), func(w io.Writer) error {
		if _, err := io.Copy(w, bytes.NewReader(content)); err != nil {
			return err
		}
		file, owner := w.(*os.File), info.Sys().(*syscall.Stat_t)
		return file.Chown(int(owner.Uid), int(owner.Gid))
	}, os.Rename)
}

// Exchange gives each of two files of one file system the place of the other, in one step, and returns when that would survive a
// crash. Each keeps its mode and owner.
func Exchange(a, b string) error {
	if err := unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE); err != nil {
		return fmt.Errorf("fsx: exchange %s and %s: %w", a, b, err)
	}
	return errors.Join(syncFolder(a), syncFolder(b))
}

// Remove removes the file at path, and returns when a crash would not bring it back. A file that is not there is no
// error.
func Remove(path string) error {
	if err := os.Remove(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("fsx: %w", err)
	}
	return syncFolder(path)
}

// Folder makes the folder at path and those above it, where they are not there, and returns when they would survive a
// crash.
func Folder(path string, mode fs.FileMode) error {
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return nil
	case err == nil:
		return fmt.Errorf("fsx: %s: not a folder", path)
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("fsx: %w", err)
	}
	if err := Folder(filepath.Dir(path), mode); err != nil {
		return err
	}
	if err := os.Mkdir(path, mode); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("fsx: %w", err)
	}
	return syncFolder(path)
}

// Move puts what is at from at to, in the same file system, over what is there. A crash may take it back: it is for
// what does not outlive the process, as sockets.
func Move(from, to string) error { return os.Rename(from, to) }

// syncFolder makes the entry of path in its folder durable.
func syncFolder(path string) error {
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("fsx: %w", err)
	}
	err = folder.Sync()
	if closed := folder.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("fsx: %w", err)
	}
	return nil
}

// Carry is [Move] that returns when a crash would not take it back.
func Carry(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return fmt.Errorf("fsx: %w", err)
	}
	return errors.Join(syncFolder(to), syncFolder(from))
}

// ReadLimited reads all of r, which must have something and at most limit bytes; anything else is an error.
func ReadLimited(r io.Reader, limit int64) ([]byte, error) {
	content, err := io.ReadAll(io.LimitReader(r, limit+1))
	switch {
	case err != nil:
		return nil, err
	case int64(len(content)) > limit:
		return nil, fmt.Errorf("it has more than %d bytes", limit)
	case len(content) == 0:
		return nil, errors.New("it is empty")
	}
	return content, nil
}
