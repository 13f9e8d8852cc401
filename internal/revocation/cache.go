package revocation

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ceralacca/ceralacca/internal/fsx"
	"github.com/ceralacca/ceralacca/signer"
)

// suffix ends the names of kept lists.
const suffix = ".crl"

// keep keeps a list, whole or not at all. The daemons of a host write the same under one name.
func (f *Fetcher) keep(name string, content []byte) error {
	if err := fsx.Folder(f.o.Cache, 0o755); err != nil {
		return err
	}
	return fsx.WriteBytes(filepath.Join(f.o.Cache, name+suffix), 0o644, content)
}

// Load offers what is kept to the Trust, so that a restart needs no server, and a list older than the last one in use is
// refused after it too. A file that is of no use is said so, and nothing else. [C113]
func (f *Fetcher) Load(ctx context.Context) {
	paths, _ := filepath.Glob(filepath.Join(f.o.Cache, "*"+suffix)) // the pattern is well formed, but for a folder's brackets
	for _, path := range paths {
		if err := f.load(path); err != nil {
			f.o.Log.WarnContext(ctx, "a kept revocation list is of no use", "file", path, "error", err)
		}
	}
}

func (f *Fetcher) load(path string) error {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // somebody cleared the cache
	}
	if err != nil {
		return err
	}
	defer file.Close() // it was only read
	content, err := fsx.ReadLimited(file, maxList)
	if err != nil {
		return err
	}
	_, err = f.o.Trust.Offer(content, path, f.o.Clock.Now())
	if errors.Is(err, signer.ErrReplayed) || errors.Is(err, signer.ErrSameList) {
		return nil // what is in use is as good
	}
	return err
}
