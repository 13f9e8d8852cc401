package store

import (
	"errors"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"
)

// A commit that fails after its last page can be seen leaves the outcome open: nothing more may be written.
func TestBrokenAfterTheLastPage(t *testing.T) {
	s, err := Open(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	write := func(tx Tx) error { return tx.Put("t", []byte("k"), nil) }
	if err := s.Update(t.Context(), write); err != nil {
		t.Fatal(err)
	}
	b, id := s.(*bolt), 0
	if err := b.db.View(func(tx *bbolt.Tx) error { id = tx.ID(); return nil }); err != nil {
		t.Fatal(err)
	}
	if err := b.failed(id+1, errors.New("no room")); errors.Is(err, ErrBroken) {
		t.Errorf("a commit that left nothing: %v", err)
	}
	if err := s.Update(t.Context(), write); err != nil {
		t.Errorf("the next update: %v", err)
	}
	if err := b.failed(id+1, errors.New("input/output error")); !errors.Is(err, ErrBroken) {
		t.Errorf("a commit that can be seen: %v, want ErrBroken", err)
	}
	if err := s.Update(t.Context(), write); !errors.Is(err, ErrBroken) {
		t.Errorf("Update of a broken store: %v, want ErrBroken", err)
	}
	if err := s.View(t.Context(), func(Tx) error { return nil }); !errors.Is(err, ErrBroken) {
		t.Errorf("View of a broken store: %v, want ErrBroken", err)
	}
}
