package fsx_test

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/ceralacca/ceralacca/internal/fsx"
)

func newSyncer(t *testing.T, folders []string, options ...fsx.SyncerOption) *fsx.Syncer {
	t.Helper()
	s, err := fsx.NewSyncer(folders, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

func TestSyncForReal(t *testing.T) {
	folder := t.TempDir()
	if err := newSyncer(t, []string{folder, t.TempDir()}).Sync(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := fsx.NewSyncer([]string{folder, filepath.Join(folder, "none")}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("NewSyncer with a folder that is not there: %v, want ErrNotExist", err)
	}
	if _, err := fsx.NewSyncer(nil); err == nil {
		t.Error("NewSyncer without a folder succeeds")
	}
}

func TestOneCallPerFileSystem(t *testing.T) {
	var calls atomic.Int32
	count := fsx.SystemCall(func(int) error { calls.Add(1); return nil })
	s := newSyncer(t, []string{t.TempDir(), t.TempDir()}, count)
	if err := s.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := calls.Load(); got != 1 {
		t.Errorf("%d calls for two folders of one file system, want 1", got)
	}
	other := newSyncer(t, []string{t.TempDir(), "/proc"}, count)
	if err := other.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := calls.Load(); got != 3 {
		t.Errorf("%d calls for one and two file systems, want 3", got)
	}
}

// Who comes while a call is under way is not served by it, and shares the next.
func TestWaitersShareTheNextCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		gate := make(chan struct{})
		s := newSyncer(t, []string{t.TempDir()}, fsx.SystemCall(func(int) error { calls.Add(1); <-gate; return nil }))
		var group sync.WaitGroup
		finished := make([]atomic.Bool, 11)
		for n := range finished {
			group.Go(func() {
				if err := s.Sync(t.Context()); err != nil {
					t.Errorf("waiter %d: %v", n, err)
				}
				finished[n].Store(true)
			})
			if n == 0 {
				synctest.Wait() // the first call has begun
			}
		}
		synctest.Wait()
		gate <- struct{}{}
		synctest.Wait()
		for n := range finished {
			if got, want := finished[n].Load(), n == 0; got != want {
				t.Errorf("after the first call waiter %d is finished: %v, want %v", n, got, want)
			}
		}
		gate <- struct{}{}
		group.Wait()
		if got := calls.Load(); got != 2 {
			t.Errorf("%d calls for one waiter and ten that came later, want 2", got)
		}
	})
}

func TestEndedContextEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		s := newSyncer(t, []string{t.TempDir()}, fsx.SystemCall(func(int) error { <-gate; return nil }))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.Sync(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Sync: %v, want Canceled", err)
		}
		close(gate)
		if err := s.Sync(t.Context()); err != nil {
			t.Errorf("Sync of another: %v", err)
		}
	})
}

// The kernel reports a lost page once: a later success would be a lie about what was written before.
func TestErrorStands(t *testing.T) {
	failing := true
	s := newSyncer(t, []string{t.TempDir()}, fsx.SystemCall(func(int) error {
		if failing {
			return syscall.EIO
		}
		return nil
	}))
	for range 2 {
		if err := s.Sync(t.Context()); !errors.Is(err, syscall.EIO) {
			t.Errorf("Sync: %v, want EIO", err)
		}
		failing = false
	}
}
