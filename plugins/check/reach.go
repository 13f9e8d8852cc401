package check

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ceralacca/ceralacca/plugins/host"
)

// Bounds of a folder that is copied with a script.
const (
	maxCopied = 64 << 20 // bytes
	maxFiles  = 1000
)

// Reachable returns a path by which the user of a program can run it. Authors work in folders that nobody else may enter,
// and root runs plug-ins as another user: then it is that of a copy below dir, and why says who cannot enter what. Of a
// script the folder is copied with it.
func Reachable(p host.Program, dir string) (path, why string, err error) {
	if os.Geteuid() != 0 {
		return p.Path, "", nil
	}
	closed := barrier(p.Path)
	if closed == "" {
		return p.Path, "", nil
	}
	why = fmt.Sprintf("only its owner can enter %s", closed)
	if target := filepath.Join(dir, "copy"); script(p.Path) {
		path, err = filepath.Join(target, filepath.Base(p.Path)), copyFolder(target, filepath.Dir(p.Path))
	} else {
		path, err = filepath.Join(target, filepath.Base(p.Path)), copyFile(target, p.Path)
	}
	if err != nil {
		return "", "", fmt.Errorf("user %q cannot run it, since %s, and it cannot be copied: %w; chmod a+x %s", p.Isolation.User, why, err, closed)
	}
	return path, why, nil
}

// barrier is the topmost folder above a path that not everybody may enter, or nothing.
func barrier(path string) (closed string) {
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err == nil && info.Mode()&0o001 == 0 {
			closed = dir
		}
		if dir == filepath.Dir(dir) {
			return closed
		}
	}
}

func script(path string) bool {
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer func() { _ = file.Close() }() // it was only read
	head := make([]byte, 2)
	_, err = io.ReadFull(file, head)
	return err == nil && bytes.Equal(head, []byte("#!"))
}

func copyFile(dir, path string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // it was only read
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(filepath.Join(dir, filepath.Base(path)), os.O_CREATE|os.O_EXCL|os.O_WRONLY, info.Mode().Perm()|0o444)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// copyFolder copies the files of a folder, as long as they are few and small.
func copyFolder(dir, from string) error {
	files, size := 0, int64(0)
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		files, size = files+1, size+info.Size()
		if files > maxFiles || size > maxCopied {
			return fmt.Errorf("the folder %s is too large", from)
		}
		relative, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		return copyFile(filepath.Dir(filepath.Join(dir, relative)), path)
	})
}
