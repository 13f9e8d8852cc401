package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// patience is how long an opener waits for another process to let go of the file.
const patience = time.Second

// addresses is how much address space, in bytes, the file may fill before bbolt has to map it anew, for which it waits
// until nobody reads. It costs no memory.
const addresses = 1 << 30

// Option changes how [Open] works.
type Option func(*bolt)

// OnCommit has fn called after each commit, with the number of updates that shared its flush. fn MUST be quick: the
// next commit waits for it.
func OnCommit(fn func(updates int)) Option {
	return func(b *bolt) { b.onCommit = fn }
}

// Open opens the store in the file at path, which it makes, mode 0600, when it is not there. One process has it open:
// any other gets [ErrLocked].
func Open(path string, options ...Option) (Store, error) {
	db, err := open(path, false)
	if err != nil {
		return nil, err
	}
	if err := syncFolder(path); err != nil {
		_ = db.Close() // nobody has written
		return nil, err
	}
	b := &bolt{db: db, requests: make(chan *request), closing: make(chan struct{}), stopped: make(chan struct{}),
		onCommit: func(int) {}}
	for _, option := range options {
		option(b)
	}
	go b.write()
	return b, nil
}

// OpenReadOnly opens the store in the file at path for commands, while no process has it open for writing: else it
// returns [ErrLocked]. A file that is not there is the error of the system.
func OpenReadOnly(path string) (Store, error) {
	db, err := open(path, true)
	if err != nil {
		return nil, err
	}
	return readOnly{&bolt{db: db}}, nil
}

// open leaves the list of free pages in memory: written with every commit, it would make each of them as long as the
// list, which after years is longer than all else. It is found again at the opening, by a walk over the file.
func open(path string, reading bool) (*bbolt.DB, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout: patience, ReadOnly: reading, InitialMmapSize: addresses, FreelistType: bbolt.FreelistMapType,
		NoFreelistSync: true,
	})
	if errors.Is(err, berrors.ErrTimeout) {
		return nil, fmt.Errorf("%w: %s", ErrLocked, path)
	}
	if err != nil {
		return nil, fmt.Errorf("store: %s: %w", path, err)
	}
	return db, nil
}

// syncFolder makes the name of a new file durable, which bbolt leaves to the system.
func syncFolder(path string) error {
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	err = folder.Sync()
	if closed := folder.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return nil
}

// readOnly is a store of which only the reading half works.
type readOnly struct{ *bolt }

var _ Store = readOnly{}

// Update implements Store.
func (readOnly) Update(context.Context, func(Tx) error) error { return ErrReadOnly }

// Close implements Store.
func (r readOnly) Close() error { return r.db.Close() }
