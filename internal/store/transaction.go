package store

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"go.etcd.io/bbolt"
)

// transaction is the part of one update, or of one view, in a transaction of bbolt. It remembers what its writes
// replaced, so that one update can fail alone in a commit that it shares.
type transaction struct {
	tx      *bbolt.Tx
	changes []change
}

var _ Tx = (*transaction)(nil)

// change is what a write replaced. A key that is nil stands for the number of the table.
type change struct {
	table  string
	key    []byte
	value  []byte // nil: there was no row
	number uint64
}

// Get implements Tx.
func (t *transaction) Get(table string, key []byte) ([]byte, bool) {
	bucket := t.tx.Bucket([]byte(table))
	if bucket == nil {
		return nil, false
	}
	value := bucket.Get(key)
	return value, value != nil
}

// Put implements Tx.
func (t *transaction) Put(table string, key, value []byte) error {
	bucket, err := t.bucket(table)
	if err != nil {
		return err
	}
	key, value = bytes.Clone(key), append([]byte{}, value...) // bbolt keeps both
	old := bucket.Get(key)
	t.changes = append(t.changes, change{table: table, key: key, value: bytes.Clone(old)})
	return wrap(table, bucket.Put(key, value))
}

// PutNew implements Tx.
func (t *transaction) PutNew(table string, key, value []byte) (bool, error) {
	if _, exists := t.Get(table, key); exists {
		return false, nil
	}
	err := t.Put(table, key, value)
	return err == nil, err
}

// Delete implements Tx.
func (t *transaction) Delete(table string, key []byte) error {
	if !t.tx.Writable() {
		return ErrReadOnly
	}
	old, exists := t.Get(table, key)
	if !exists {
		return nil
	}
	t.changes = append(t.changes, change{table: table, key: bytes.Clone(key), value: bytes.Clone(old)})
	return wrap(table, t.tx.Bucket([]byte(table)).Delete(key))
}

// Append implements Tx.
func (t *transaction) Append(table string, value []byte) (uint64, error) {
	bucket, err := t.bucket(table)
	if err != nil {
		return 0, err
	}
	t.changes = append(t.changes, change{table: table, number: bucket.Sequence()})
	number, err := bucket.NextSequence()
	if err != nil {
		return 0, wrap(table, err)
	}
	return number, t.Put(table, binary.BigEndian.AppendUint64(nil, number), value)
}

// Scan implements Tx.
func (t *transaction) Scan(table string, prefix []byte, fn func(key, value []byte) error) error {
	return t.walk(table, prefix, func(key, value []byte) (bool, error) {
		if !bytes.HasPrefix(key, prefix) {
			return false, nil
		}
		return true, fn(key, value)
	})
}

// ScanFrom implements Tx.
func (t *transaction) ScanFrom(table string, from []byte, fn func(key, value []byte) error) error {
	return t.walk(table, from, func(key, value []byte) (bool, error) { return true, fn(key, value) })
}

func (t *transaction) walk(table string, from []byte, fn func(key, value []byte) (bool, error)) error {
	bucket := t.tx.Bucket([]byte(table))
	if bucket == nil {
		return nil
	}
	cursor := bucket.Cursor()
	for key, value := cursor.Seek(from); key != nil; key, value = cursor.Next() {
		if more, err := fn(key, value); err != nil || !more {
			return err
		}
	}
	return nil
}

func (t *transaction) bucket(table string) (*bbolt.Bucket, error) {
	if !t.tx.Writable() {
		return nil, ErrReadOnly
	}
	bucket, err := t.tx.CreateBucketIfNotExists([]byte(table))
	return bucket, wrap(table, err)
}

// undo takes back the writes, the last one first.
func (t *transaction) undo() error {
	for n := len(t.changes) - 1; n >= 0; n-- {
		if err := t.restore(t.changes[n]); err != nil {
			return wrap(t.changes[n].table, err)
		}
	}
	return nil
}

func (t *transaction) restore(c change) error {
	bucket := t.tx.Bucket([]byte(c.table))
	switch {
	case c.key == nil:
		return bucket.SetSequence(c.number)
	case c.value == nil:
		return bucket.Delete(c.key)
	default:
		return bucket.Put(c.key, c.value)
	}
}

func wrap(table string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("store: table %s: %w", table, err)
}
