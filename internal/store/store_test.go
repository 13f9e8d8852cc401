package store_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/ceralacca/ceralacca/internal/store"
)

func open(t *testing.T, options ...store.Option) store.Store {
	t.Helper()
	s, err := store.Open(filepath.Join(t.TempDir(), "store"), options...)
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

// rows returns the rows of a table as key=value.
func rows(t *testing.T, s store.Store, table, prefix string) []string {
	t.Helper()
	var found []string
	err := s.View(t.Context(), func(tx store.Tx) error {
		return tx.Scan(table, []byte(prefix), func(k, v []byte) error {
			found = append(found, fmt.Sprintf("%s=%s", k, v))
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func put(table string, pairs ...string) func(store.Tx) error {
	return func(tx store.Tx) error {
		for _, pair := range pairs {
			k, v, _ := strings.Cut(pair, "=")
			if err := tx.Put(table, []byte(k), []byte(v)); err != nil {
				return err
			}
		}
		return nil
	}
}

func update(t *testing.T, s store.Store, fn func(store.Tx) error) {
	t.Helper()
	if err := s.Update(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

func TestRows(t *testing.T) {
	s := open(t)
	update(t, s, put("t", "b=2", "a=1", "ab=3", "c=", "a=4"))
	if diff := cmp.Diff([]string{"a=4", "ab=3", "b=2", "c="}, rows(t, s, "t", "")); diff != "" {
		t.Errorf("all rows (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"a=4", "ab=3"}, rows(t, s, "t", "a")); diff != "" {
		t.Errorf("rows with a prefix (-want +got):\n%s", diff)
	}
	update(t, s, func(tx store.Tx) error {
		if v, found := tx.Get("t", []byte("c")); !found || len(v) != 0 {
			t.Errorf("Get of an empty value: %q, %v; want empty, true", v, found)
		}
		if _, found := tx.Get("none", []byte("c")); found {
			t.Error("Get found a row in a table that does not exist")
		}
		if fresh, err := tx.PutNew("t", []byte("a"), []byte("9")); fresh || err != nil {
			t.Errorf("PutNew over a row: %v, %v; want false, nil", fresh, err)
		}
		if fresh, err := tx.PutNew("t", []byte("z"), []byte("9")); !fresh || err != nil {
			t.Errorf("PutNew of a new row: %v, %v; want true, nil", fresh, err)
		}
		return errors.Join(tx.Delete("t", []byte("ab")), tx.Delete("t", []byte("nope")), tx.Delete("none", []byte("x")))
	})
	if diff := cmp.Diff([]string{"a=4", "b=2", "c=", "z=9"}, rows(t, s, "t", "")); diff != "" {
		t.Errorf("rows after the second update (-want +got):\n%s", diff)
	}
}

func TestScanFromAndItsEnd(t *testing.T) {
	s := open(t)
	update(t, s, put("t", "a=1", "c=2", "d=3"))
	enough := errors.New("enough")
	var found []string
	err := s.View(t.Context(), func(tx store.Tx) error {
		return tx.ScanFrom("t", []byte("b"), func(k, _ []byte) error {
			found = append(found, string(k))
			return enough
		})
	})
	if diff := cmp.Diff([]string{"c"}, found); diff != "" || !errors.Is(err, enough) {
		t.Errorf("ScanFrom: %v, error %v; want [c] and the error of the function", found, err)
	}
}

func TestNumbersNeverComeBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	var numbers []uint64
	for range 2 {
		s, err := store.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			update(t, s, func(tx store.Tx) error {
				n, err := tx.Append("log", []byte("x"))
				numbers = append(numbers, n)
				return errors.Join(err, tx.Delete("log", []byte{0, 0, 0, 0, 0, 0, 0, byte(n)}))
			})
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]uint64{1, 2, 3, 4}, numbers); diff != "" {
		t.Errorf("numbers over two openings, all rows deleted (-want +got):\n%s", diff)
	}
}

// A writer is held in its update; who comes meanwhile shares the next flush, and those that fail among them leave
// nothing behind.
func TestUpdatesShareAFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var commits []int
		s := open(t, store.OnCommit(func(updates int) { commits = append(commits, updates) }))
		update(t, s, put("t", "old=0"))
		commits = nil
		gate := make(chan struct{})
		var group sync.WaitGroup
		group.Go(func() { update(t, s, func(store.Tx) error { <-gate; return nil }) })
		synctest.Wait()
		failure := errors.New("failure")
		for n := range 40 {
			group.Go(func() {
				err := s.Update(t.Context(), func(tx store.Tx) error {
					number, err := tx.Append("log", []byte("x"))
					if err != nil {
						return err
					}
					err = put("t", fmt.Sprintf("k%02d=%d", n, number), "old=1")(tx)
					if err == nil && n%4 == 0 {
						err = errors.Join(failure, tx.Delete("t", []byte("old")))
					}
					return err
				})
				if got, want := errors.Is(err, failure), n%4 == 0; got != want {
					t.Errorf("update %d: error %v", n, err)
				}
			})
		}
		synctest.Wait()
		close(gate)
		group.Wait()
		if diff := cmp.Diff([]int{1, 30}, commits); diff != "" {
			t.Errorf("updates by commit (-want +got):\n%s", diff)
		}
		if got := rows(t, s, "t", "old"); len(got) != 1 || got[0] != "old=1" {
			t.Errorf("the shared row is %v, want old=1", got)
		}
		if got := rows(t, s, "t", "k"); len(got) != 30 {
			t.Errorf("%d rows of 30 good updates: %v", len(got), got)
		}
		last := uint64(0)
		update(t, s, func(tx store.Tx) (err error) { last, err = tx.Append("log", nil); return err })
		if last != 31 {
			t.Errorf("the number after 30 good appends and 10 that failed is %d, want 31", last)
		}
	})
}

func TestLoneWriterHasItsOwnFlush(t *testing.T) {
	var commits []int
	s := open(t, store.OnCommit(func(updates int) { commits = append(commits, updates) }))
	for range 3 {
		update(t, s, put("t", "a=1"))
	}
	if diff := cmp.Diff([]int{1, 1, 1}, commits); diff != "" {
		t.Errorf("updates by commit (-want +got):\n%s", diff)
	}
}

func TestPanicFailsItsOwnUpdateOnly(t *testing.T) {
	s := open(t)
	func() {
		defer func() {
			if got := recover(); got != "boom" {
				t.Errorf("the caller got the panic %v, want boom", got)
			}
		}()
		_ = s.Update(t.Context(), func(tx store.Tx) error {
			_ = put("t", "bad=1")(tx)
			panic("boom")
		})
	}()
	update(t, s, put("t", "good=1"))
	if diff := cmp.Diff([]string{"good=1"}, rows(t, s, "t", "")); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

func TestEndedContext(t *testing.T) {
	s := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Update(ctx, put("t", "a=1")); !errors.Is(err, context.Canceled) {
		t.Errorf("Update: %v, want Canceled", err)
	}
	if err := s.View(ctx, func(store.Tx) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("View: %v, want Canceled", err)
	}
	if got := rows(t, s, "t", ""); got != nil {
		t.Errorf("rows of an update that must not begin: %v", got)
	}
}

func TestViewOnlyReads(t *testing.T) {
	s := open(t)
	update(t, s, put("t", "a=1"))
	err := s.View(t.Context(), func(tx store.Tx) error {
		for name, err := range map[string]error{
			"Put": tx.Put("t", []byte("b"), nil), "Delete": tx.Delete("t", []byte("a")),
		} {
			if !errors.Is(err, store.ErrReadOnly) {
				t.Errorf("%s in a view: %v, want ErrReadOnly", name, err)
			}
		}
		if _, err := tx.Append("t", nil); !errors.Is(err, store.ErrReadOnly) {
			t.Errorf("Append in a view: %v, want ErrReadOnly", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestOneOpener(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	s, err := store.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	update(t, s, put("t", "a=1"))
	if _, err := store.OpenReadOnly(path); !errors.Is(err, store.ErrLocked) {
		t.Errorf("OpenReadOnly of an open store: %v, want ErrLocked", err)
	}
	if _, err := store.Open(path); !errors.Is(err, store.ErrLocked) {
		t.Errorf("Open of an open store: %v, want ErrLocked", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Update(t.Context(), put("t", "b=1")); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Update after Close: %v, want ErrClosed", err)
	}
	if err := s.View(t.Context(), func(store.Tx) error { return nil }); !errors.Is(err, store.ErrClosed) {
		t.Errorf("View after Close: %v, want ErrClosed", err)
	}
}

func TestReadOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	if _, err := store.OpenReadOnly(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("OpenReadOnly of nothing: %v, want ErrNotExist", err)
	}
	s, err := store.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	update(t, s, put("t", "a=1"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // two readers at once
		r, err := store.OpenReadOnly(path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if diff := cmp.Diff([]string{"a=1"}, rows(t, r, "t", "")); diff != "" {
			t.Errorf("rows (-want +got):\n%s", diff)
		}
		if err := r.Update(t.Context(), put("t", "b=1")); !errors.Is(err, store.ErrReadOnly) {
			t.Errorf("Update: %v, want ErrReadOnly", err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	type row struct {
		A string
		B []byte
		C map[string]uint64
	}
	good, err := store.Encode(row{A: "x", B: []byte{0, 255}, C: map[string]uint64{"y": 1}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte{})
	f.Add([]byte{2, '{', '}'})
	f.Add([]byte{1, '{'})
	f.Fuzz(func(t *testing.T, data []byte) {
		var r row
		if err := store.Decode(data, &r); err != nil {
			if !errors.Is(err, store.ErrRow) {
				t.Errorf("Decode(%q): %v, want ErrRow", data, err)
			}
			return
		}
		again, err := store.Encode(r)
		if err != nil {
			t.Fatalf("what was decoded cannot be encoded: %v", err)
		}
		var same row
		if err := store.Decode(again, &same); err != nil || !cmp.Equal(r, same) {
			t.Errorf("a second pass: %v, error %v; want %v", same, err, r)
		}
	})
}
