package store

import (
	"context"
	"errors"
)

// What can be wrong with a store; test with [errors.Is]. Every error of a store is temporary for the peer that waits.
var (
	// ErrLocked says that another process has the store open.
	ErrLocked = errors.New("store: another process has it open")
	// ErrReadOnly says that a change was asked of a store or transaction that only reads.
	ErrReadOnly = errors.New("store: it only reads")
	// ErrBroken says that the disk failed in the middle of a commit: nothing is certain until the process is restarted
	// on a disk that holds what it is given.
	ErrBroken = errors.New("store: broken by a failed commit")
	// ErrClosed says that the store was closed.
	ErrClosed = errors.New("store: closed")
)

// Store keeps tables of rows. Implementations are safe for concurrent use.
type Store interface {
	// Update runs fn once, alone, and makes all it wrote durable before it returns nil: when it returns an error nothing
	// of fn is there, but for an [ErrBroken], which leaves the outcome open. Callers that run at the same time share one
	// flush of the disk; a lone one waits for nobody. fn MUST NOT call the store, and MUST NOT end its goroutine. The
	// end of ctx is obeyed until fn begins, not after.
	Update(ctx context.Context, fn func(Tx) error) error
	// View runs fn on the rows as they are at this moment. fn MUST NOT call Update, and should be short: what it sees
	// cannot be freed meanwhile.
	View(ctx context.Context, fn func(Tx) error) error
	// Close waits for what runs and gives back the file.
	Close() error
}

// Tx is one transaction, valid while the function runs that got it, in that goroutine. What it returns or hands on is
// valid as long, and MUST NOT be changed; what it is given is copied. A table exists as soon as a row is put into it,
// and keys are ordered as bytes.
type Tx interface {
	// Get returns the value of a key.
	Get(table string, key []byte) ([]byte, bool)
	// Put writes a row, over an older one.
	Put(table string, key, value []byte) error
	// PutNew writes a row unless the key has one, and says whether it did.
	PutNew(table string, key, value []byte) (bool, error)
	// Delete removes a row, if there is one.
	Delete(table string, key []byte) error
	// Append writes a row under the next number of the table, in eight bytes, the highest first. Numbers begin at 1 and
	// never come back.
	Append(table string, value []byte) (uint64, error)
	// Scan hands on the rows whose key begins with prefix, in order, and ends with the first error of fn. fn MUST NOT
	// write to the table.
	Scan(table string, prefix []byte, fn func(key, value []byte) error) error
	// ScanFrom is Scan over the rows whose key is from or comes after it.
	ScanFrom(table string, from []byte, fn func(key, value []byte) error) error
}
