package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/internal/fsx"
)

// An import makes deposits beside a plug-in that runs, which counts its own. It holds a lock while it does, and writes down
// that it began: a plug-in that finds this new counts again, and once more after the lock is free, however the import ended.

func (s settings) importFolder() string { return filepath.Join(s.Folder, "import") }

func (s settings) importLock() string { return filepath.Join(s.importFolder(), "lock") }

func (s settings) importMark() string { return filepath.Join(s.importFolder(), "recount") }

// beginImport keeps other imports out, and has a running plug-in count again.
func (s settings) beginImport(ctx context.Context) (end func(), err error) {
	if err := fsx.Folder(s.importFolder(), 0o700); err != nil {
		return nil, err
	}
	for try := 0; ; try++ {
		end, err = lock(s.importLock())
		if !errors.Is(err, syscall.EWOULDBLOCK) || try == 20 {
			break
		}
		if err := (clock.System{}).Sleep(ctx, 100*time.Millisecond); err != nil { // a plug-in may be looking at it
			return nil, err
		}
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, errors.New("another import is at work; wait for its end")
	}
	if err != nil {
		return nil, err
	}
	mark := fmt.Sprintf("%d %d\n", os.Getpid(), clock.System{}.Now().UnixNano())
	return end, fsx.WriteBytes(s.importMark(), 0o600, []byte(mark))
}

// importing says whether an import is at work.
func (s settings) importing() (bool, error) {
	file, err := os.Open(s.importLock())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer func() { _ = file.Close() }() // and with it the lock
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return true, nil
	}
	return false, err
}

// follower is what a plug-in knows of imports.
type follower struct {
	mark  string // that it has seen
	dirty bool   // there may be deposits that it has not counted
}

// look counts again when there is cause to.
func (f *follower) look(s settings, counted *space) error {
	text, err := os.ReadFile(s.importMark())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f.dirty = f.dirty || string(text) != f.mark
	if !f.dirty {
		return nil
	}
	busy, err := s.importing() // before they are counted: what ends while they are is counted once more
	if err != nil {
		return err
	}
	if err := counted.reload(); err != nil {
		return err
	}
	f.mark, f.dirty = string(text), busy
	return nil
}

// follow counts again what imports have taken, until ctx ends.
func (d *depositor) follow(ctx context.Context) {
	system, known, pause := clock.System{}, follower{}, time.Second
	for system.Sleep(ctx, pause) == nil {
		began := system.Now()
		if err := known.look(d.settings, d.space); err != nil {
			d.log.Error("the space of the mailboxes cannot be counted", "error", err)
		}
		pause = max(time.Second, 20*system.Now().Sub(began))
	}
}
