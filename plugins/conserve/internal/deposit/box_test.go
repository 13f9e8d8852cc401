package deposit_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ceralacca/ceralacca/plugins/conserve/internal/conservetest"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/deposit"
)

const (
	mailbox = "mario@alfa.example"
	day     = "2026-11-03"
)

func open(t *testing.T, dir string) *deposit.Box {
	t.Helper()
	b, err := deposit.Open(dir)
	conservetest.Good(t, err)
	return b
}

// files lists what lies below a folder, without folders.
func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	conservetest.Good(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			names = append(names, strings.TrimPrefix(path, dir))
		}
		return err
	}))
	return names
}

// A deposit is there for the next process, is the same when it comes again, and has its key to itself.
func TestTake(t *testing.T) {
	dir := t.TempDir()
	first := conservetest.Record("key", mailbox, day, "content")
	kept, fresh, err := open(t, dir).Take(first, strings.NewReader("content"))
	if err != nil || !fresh || kept != first {
		t.Fatalf("Take = %+v, %v, %v", kept, fresh, err)
	}
	b := open(t, dir)
	later := first
	later.Time, later.Day = 99, "2026-11-04"
	if kept, fresh, err := b.Take(later, strings.NewReader("content")); err != nil || fresh || kept != first {
		t.Errorf("again: %+v, %v, %v; want the first", kept, fresh, err)
	}
	if _, _, err := b.Take(conservetest.Record("key", mailbox, day, "other"), strings.NewReader("other")); !errors.Is(err, deposit.ErrKey) {
		t.Errorf("other content: %v, want ErrKey", err)
	}
	for name, content := range map[string]string{"short": "conten", "long": "contentt", "changed": "contenT"} {
		if _, _, err := b.Take(conservetest.Record(name, mailbox, day, "content"), strings.NewReader(content)); !errors.Is(err, deposit.ErrContent) {
			t.Errorf("%s: %v, want ErrContent", name, err)
		}
		if _, ok, err := b.Find(name); ok || err != nil {
			t.Errorf("%s is kept, %v", name, err)
		}
	}
	broken := io.MultiReader(strings.NewReader("con"), failing{})
	if _, _, err := b.Take(conservetest.Record("broken", mailbox, day, "content"), broken); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("a content that breaks off: %v", err)
	}
	if names := files(t, dir); len(names) != 2 {
		t.Errorf("there are %q; want a record and a content", names)
	}
	r, err := b.Content(first)
	conservetest.Good(t, err)
	if got, err := io.ReadAll(r); err != nil || string(got) != "content" {
		t.Errorf("Content = %q, %v", got, err)
	}
	conservetest.Good(t, r.Close())
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrClosedPipe }

// Of many at once under one key, one is kept.
func TestTakeAtOnce(t *testing.T) {
	b := open(t, t.TempDir())
	var made atomic.Int32
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			r := conservetest.Record("key", mailbox, day, "content")
			_, fresh, err := b.Take(r, strings.NewReader("content"))
			if err != nil {
				t.Error(err)
			}
			if fresh {
				made.Add(1)
			}
		})
	}
	all.Wait()
	members, err := b.Members(deposit.Group{Mailbox: mailbox, Day: day})
	if made.Load() != 1 || err != nil || len(members) != 1 {
		t.Errorf("%d are new, %d are kept, %v", made.Load(), len(members), err)
	}
}

// Members come by time and key; what is in a package is none, and its content is gone. A group is closed when nothing is left.
func TestGroup(t *testing.T) {
	b := open(t, t.TempDir())
	g := deposit.Group{Mailbox: mailbox, Day: day}
	for i, key := range []string{"d", "b", "c", "a"} {
		r := conservetest.Record(key, mailbox, day, key)
		r.Time = int64(10 - i/2) // d and b at 10, c and a at 9
		conservetest.Take(t, b, r, key)
	}
	keys := func() (keys string) {
		members, err := b.Members(g)
		conservetest.Good(t, err)
		for _, m := range members {
			keys += m.Key
		}
		return keys
	}
	if keys() != "acbd" {
		t.Errorf("Members = %q, want acbd", keys())
	}
	for _, key := range []string{"a", "c", "c"} {
		r, _, err := b.Find(key)
		conservetest.Good(t, err)
		conservetest.Good(t, b.File(r, "package", "object-"+key))
		if _, err := b.Content(r); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the content of %s: %v", key, err)
		}
	}
	if r, ok, err := b.Find("c"); keys() != "bd" || !ok || err != nil || r.Package != "package" || r.Object != "object-c" {
		t.Errorf("Members = %q, c is %+v, %v", keys(), r, err)
	}
	b.Close(g)
	if keys() != "bd" {
		t.Errorf("closed with members: %q are left", keys())
	}
	for _, key := range []string{"b", "d"} {
		r, _, _ := b.Find(key)
		conservetest.Good(t, b.File(r, "package", key))
	}
	b.Close(g)
	if groups, err := b.Groups(); err != nil || len(groups) != 0 {
		t.Errorf("Groups = %v, %v", groups, err)
	}
}

// Whatever a mailbox is called, its folder is one of the spool, and its name comes back.
func TestNames(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	var want []deposit.Group
	for i, name := range []string{"../../etc@x", ".", "..", ".hidden@x", "a/b@x", "%2E@x", "è'\"\n@x", mailbox} {
		conservetest.Take(t, b, conservetest.Record(fmt.Sprint(i), name, day, "x"), "x")
		want = append(want, deposit.Group{Mailbox: name, Day: day})
		if escaped := deposit.Escape(name); strings.ContainsAny(escaped, "/\x00") || strings.HasPrefix(escaped, ".") || deposit.Unescape(escaped) != name {
			t.Errorf("Escape(%q) = %q, back %q", name, escaped, deposit.Unescape(escaped))
		}
	}
	groups, err := b.Groups()
	conservetest.Good(t, err)
	seen := map[deposit.Group]bool{}
	for _, g := range groups {
		seen[g] = true
	}
	for _, g := range want {
		if !seen[g] {
			t.Errorf("%q has no group", g.Mailbox)
		}
	}
	if d := cmp.Diff(len(want), len(groups)); d != "" {
		t.Error(d)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("beside keys and spool: %v, %v", entries, err)
	}
}

// Who only reads makes nothing.
func TestExisting(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "none")
	if _, err := deposit.Existing(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Existing = %v", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it made %s", dir)
	}
}

// On a disk without room a deposit fails, nothing of it is left, and the same is taken when there is room.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("a small file system takes root: %v", err)
	}
	t.Cleanup(func() { conservetest.Good(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
	b := open(t, dir)
	conservetest.Take(t, b, conservetest.Record("small", mailbox, day, "small"), "small")
	before := files(t, dir)
	big := strings.Repeat("x", 300<<10)
	r := conservetest.Record("big", mailbox, day, big)
	if _, _, err := b.Take(r, strings.NewReader(big)); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Take = %v, want no space", err)
	}
	if _, ok, err := b.Find("big"); ok || err != nil {
		t.Errorf("it is kept: %v, %v", ok, err)
	}
	if d := cmp.Diff(before, files(t, dir)); d != "" {
		t.Errorf("something is left: %s", d)
	}
	conservetest.Good(t, syscall.Mount("none", dir, "tmpfs", syscall.MS_REMOUNT, "size=1m"))
	conservetest.Take(t, b, r, big)
	if members, err := b.Members(deposit.Group{Mailbox: mailbox, Day: day}); err != nil || len(members) != 2 {
		t.Errorf("%d members, %v; want two", len(members), err)
	}
}
