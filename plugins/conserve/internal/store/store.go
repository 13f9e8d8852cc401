// Package store keeps whole packages: each is there as a whole or not at all, and does not change. It does not know what is
// in them.
package store

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/ceralacca/ceralacca/internal/fsx"
)

// File is one of a package. Open is called once for each try to put it.
type File struct {
	Name   string // may have folders, with /
	Size   int64
	SHA256 string // hex; what Open gives MUST have it
	Open   func() (io.ReadCloser, error)
}

var (
	// ErrContent says that a file no longer is what the package says of it: the disk, or somebody, changed it.
	ErrContent = errors.New("it is not what the package says of it")
	// ErrOther says that the store has something else under the name of a package. It stays as it is.
	ErrOther = errors.New("the store has something else under this name: has another installation the same store? Give each its own")
)

// Store keeps packages by name, MAILBOX/DAY-NUMBER. It is safe for concurrent use.
type Store interface {
	// Put stores a package and returns when a crash would not lose it. The last file completes it, and MUST be one that no
	// other package of the name would have: a package that is there with it stays as it is, one with another is ErrOther.
	Put(ctx context.Context, name string, files []File) error
	// Package returns one that is whole; found is false otherwise.
	Package(ctx context.Context, name string) (p Package, found bool, err error)
}

// Reacher is a Store that may be out of reach. Reach asks it for as little as shows that key, bucket and the way to it are
// right.
type Reacher interface {
	Reach(ctx context.Context) error
}

// Package is a stored one.
type Package interface {
	// Files lists the names, sorted.
	Files(ctx context.Context) ([]string, error)
	// Open reads one.
	Open(ctx context.Context, name string) (io.ReadCloser, error)
}

// Directory is a store in a folder, on one file system.
type Directory string

var (
	_ Store   = Directory("")
	_ Package = Folder("")
)

// Put implements Store: the package is made aside and moved into place.
func (d Directory) Put(ctx context.Context, name string, files []File) error {
	target := filepath.Join(string(d), filepath.FromSlash(name))
	if _, err := os.Stat(target); err == nil {
		if err := same(target, files[len(files)-1]); err != nil {
			return err
		}
		return fsx.Folder(target, 0o750) // another process may have moved it just now
	}
	aside := filepath.Join(string(d), ".work", filepath.FromSlash(name))
	if err := os.RemoveAll(aside); err != nil { // of a process that was killed
		return err
	}
	if err := putAll(ctx, aside, files); err != nil {
		return err
	}
	if err := fsx.Folder(filepath.Dir(target), 0o750); err != nil {
		return err
	}
	if err := fsx.Move(aside, target); err != nil {
		return err
	}
	return sync(filepath.Dir(target))
}

// atATime is how many files are written at a time: the disk flushes for all who wait at once.
const atATime = 16

func putAll(ctx context.Context, aside string, files []File) error {
	group, running := errgroup.WithContext(ctx)
	group.SetLimit(atATime)
	var ended error
	for _, f := range files {
		if ended = running.Err(); ended != nil { // by the caller, or by one that failed, of which Wait tells
			break
		}
		group.Go(func() error {
			if err := put(filepath.Join(aside, filepath.FromSlash(f.Name)), f); err != nil {
				return fmt.Errorf("%s: %w", f.Name, err)
			}
			return nil
		})
	}
	return cmp.Or(group.Wait(), ended)
}

func put(path string, f File) error {
	if err := fsx.Folder(filepath.Dir(path), 0o750); err != nil {
		return err
	}
	from, err := f.Open()
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }() // it was only read
	return fsx.Write(path, 0o640, func(w io.Writer) error {
		sum := sha256.New()
		if _, err := io.Copy(io.MultiWriter(w, sum), from); err != nil {
			return err
		}
		if hex.EncodeToString(sum.Sum(nil)) != f.SHA256 {
			return ErrContent
		}
		return nil
	})
}

// same says whether a package that is there is the one that the last file completes.
func same(target string, last File) error {
	text, err := os.ReadFile(filepath.Join(target, filepath.FromSlash(last.Name)))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if sum := sha256.Sum256(text); err != nil || hex.EncodeToString(sum[:]) != last.SHA256 {
		return fmt.Errorf("%s: %w", target, ErrOther)
	}
	return nil
}

// sync flushes a folder.
func sync(path string) (err error) {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, folder.Close()) }()
	return folder.Sync()
}

// Package implements Store.
func (d Directory) Package(_ context.Context, name string) (Package, bool, error) {
	path := filepath.Join(string(d), filepath.FromSlash(name))
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	return Folder(path), err == nil, err
}

// Folder is a package in a folder, wherever it came from.
type Folder string

// Files implements Package.
func (f Folder) Files(context.Context) ([]string, error) {
	var names []string
	err := fs.WalkDir(os.DirFS(string(f)), ".", func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			names = append(names, path)
		}
		return err
	})
	slices.Sort(names)
	return names, err
}

// Open implements Package.
func (f Folder) Open(_ context.Context, name string) (io.ReadCloser, error) {
	return os.DirFS(string(f)).Open(name)
}
