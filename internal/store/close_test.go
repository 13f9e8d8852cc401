package store_test

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/ceralacca/ceralacca/internal/store"
)

// A store that is closed has the list of its free pages in the file, where the next opening finds it; while it is open no
// commit writes it.
func TestCloseWritesTheFreePages(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	for range 2 {
		s, err := store.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.Put("table", []byte("k"), make([]byte, 1<<20)) }); err != nil {
			t.Fatal(err)
		}
		if hasFreePages(t, path) {
			t.Error("a commit writes the list")
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if !hasFreePages(t, path) {
			t.Error("the list is not there after the end")
		}
	}
}

// hasFreePages reads the younger of the two first pages of the file, as bbolt writes them.
func hasFreePages(t *testing.T, path string) bool {
	t.Helper()
	const header, list, transaction, none = 16, 16 + 32, 16 + 48, ^uint64(0)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	size := int(binary.LittleEndian.Uint32(raw[header+8:]))
	page := raw[:size]
	if second := raw[size : 2*size]; binary.LittleEndian.Uint64(second[transaction:]) > binary.LittleEndian.Uint64(page[transaction:]) {
		page = second
	}
	return binary.LittleEndian.Uint64(page[list:]) != none
}
