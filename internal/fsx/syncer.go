package fsx

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Syncer waits until all that was written to some file systems is on disk. It is safe for concurrent use.
//
// An error stands for good: the kernel tells of a page it could not write once, and afterwards takes the page for
// written, so that a later success would say nothing of what was written before.
type Syncer struct {
	folders []*os.File // one per file system
	syncfs  func(fd int) error

	mu      sync.Mutex
	running bool
	waiting *round // those that come while a round is running wait for the next one
	failed  error
}

// round is one call per file system, for all that came before it began.
type round struct {
	done chan struct{}
	err  error
}

// SyncerOption changes how a Syncer works.
type SyncerOption func(*Syncer)

// SystemCall replaces syncfs(2) by fn, which gets the descriptor of a folder: tests make disks fail.
func SystemCall(fn func(fd int) error) SyncerOption {
	return func(s *Syncer) { s.syncfs = fn }
}

// NewSyncer makes a Syncer for the file systems on which the folders stand, each of which must exist.
func NewSyncer(folders []string, options ...SyncerOption) (*Syncer, error) {
	if len(folders) == 0 {
		return nil, errors.New("fsx: no folder to sync")
	}
	s := &Syncer{syncfs: unix.Syncfs}
	for _, option := range options {
		option(s)
	}
	seen := map[uint64]bool{}
	for _, path := range folders {
		if err := s.add(path, seen); err != nil {
			_ = s.Close() // what was opened is not used
			return nil, err
		}
	}
	return s, nil
}

// add opens a folder, unless its file system is in seen. It stays open: the kernel keeps a failed write for those who
// had the file system open when it failed.
func (s *Syncer) add(path string, seen map[uint64]bool) error {
	folder, err := os.OpenFile(path, os.O_RDONLY|syscall.O_DIRECTORY, 0)
	if err != nil {
		return fmt.Errorf("fsx: %w", err)
	}
	info, err := folder.Stat()
	if err != nil {
		_ = folder.Close() // it is not used
		return fmt.Errorf("fsx: %w", err)
	}
	device := info.Sys().(*syscall.Stat_t).Dev
	if seen[device] {
		return folder.Close()
	}
	seen[device] = true
	s.folders = append(s.folders, folder)
	return nil
}

// Sync returns nil when all that was written before the call is on disk. Calls that wait at the same time share one
// system call per file system. The end of ctx ends the wait only.
func (s *Syncer) Sync(ctx context.Context) error {
	r := s.join()
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// join returns a round that has not begun.
func (s *Syncer) join() *round {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting == nil {
		s.waiting = &round{done: make(chan struct{})}
	}
	r := s.waiting
	if !s.running {
		s.running = true
		go s.run()
	}
	return r
}

// run holds rounds until nobody waits.
func (s *Syncer) run() {
	for r := s.next(); r != nil; r = s.next() {
		r.err = s.syncAll()
		close(r.done)
	}
}

func (s *Syncer) next() *round {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.waiting
	s.waiting = nil
	s.running = r != nil
	return r
}

// syncAll calls for each file system, until once there was an error. Only the goroutine of run gets here.
func (s *Syncer) syncAll() error {
	if s.failed != nil {
		return s.failed
	}
	var errs []error
	for _, folder := range s.folders {
		if err := s.syncfs(int(folder.Fd())); err != nil {
			errs = append(errs, fmt.Errorf("fsx: syncfs %s: %w", folder.Name(), err))
		}
	}
	s.failed = errors.Join(errs...)
	return s.failed
}

// Close gives back the folders. Nobody may wait any more.
func (s *Syncer) Close() error {
	var errs []error
	for _, folder := range s.folders {
		errs = append(errs, folder.Close())
	}
	return errors.Join(errs...)
}
