package directory

import (
	"context"
	"io/fs"
	"os"
	"time"

	"github.com/ceralacca/ceralacca/internal/fsx"
)

// fileSource is a file of this host. It is not safe for concurrent use.
type fileSource struct {
	path       string
	last, used fs.FileInfo // of the last fetch, and of what is in use
}

var _ source = (*fileSource)(nil)

func (s *fileSource) fetch(context.Context) ([]byte, error) {
	file, err := os.Open(s.path)
	if err != nil {
		return nil, err
	}
	defer file.Close() // it was only read
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	s.last = info
	if s.used != nil && os.SameFile(s.used, info) && s.used.ModTime().Equal(info.ModTime()) && s.used.Size() == info.Size() {
		return nil, nil
	}
	return fsx.ReadLimited(file, maxFile)
}

func (s *fileSource) accepted() { s.used = s.last }

// fresh: somebody else brings the file, and nobody can see from here whether he still does, but by when he last put or
// touched it.
func (s *fileSource) fresh(now time.Time) time.Time {
	if put := s.last.ModTime(); put.Before(now) {
		return put
	}
	return now
}
