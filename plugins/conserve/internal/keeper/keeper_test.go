package keeper_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/google/go-cmp/cmp"

	"github.com/ceralacca/ceralacca/plugins/conserve/internal/conservetest"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/deposit"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/keeper"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/pack"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/store"
)

const box = "mario@alfa.example"

// work is a keeper with a clock of its own.
type work struct {
	*keeper.Keeper
	place *conservetest.Place
	clock *conservetest.Clock
	t     *testing.T
}

func newWork(t *testing.T, dir string) *work {
	t.Helper()
	place := conservetest.New(t)
	b, err := deposit.Open(filepath.Join(dir, "state"))
	conservetest.Good(t, err)
	zone, err := time.LoadLocation("Europe/Rome")
	conservetest.Good(t, err)
	c := &conservetest.Clock{}
	return &work{t: t, place: place, clock: c, Keeper: &keeper.Keeper{Box: b, Catalogue: keeper.Catalogue(filepath.Join(dir, "state", "catalogue")),
		Store: store.Directory(filepath.Join(dir, "store")), Stamps: place.Verifier.Stamps, Key: place.Key, Parts: place.Parts, Owner: "Alfa S.p.A.", Version: "1",
		Zone: zone, Delay: 30 * time.Minute, Clock: c, Log: slog.New(slog.DiscardHandler), Books: &sync.Mutex{}}}
}

func (w *work) take(mailbox, day string, keys ...string) {
	w.t.Helper()
	for _, key := range keys {
		conservetest.Take(w.t, w.Box, conservetest.Record(key, mailbox, day, key), key)
	}
}

// documents verifies a package and says how many documents it has, 0 when it is not there.
func (w *work) documents(mailbox, day string, number int) int {
	w.t.Helper()
	p, found, err := w.Store.Package(w.t.Context(), pack.Name(mailbox, day, number))
	conservetest.Good(w.t, err)
	if !found {
		return 0
	}
	v, err := w.place.Verifier.Verify(w.t.Context(), p)
	conservetest.Good(w.t, err)
	return len(v.Index.Files)
}

// A day is over at legal midnight and the delay, whether it had 23, 24 or 25 hours; and an instant is of the legal day.
func TestDayIsOver(t *testing.T) {
	t.Parallel()
	w := newWork(t, t.TempDir())
	for day, test := range map[string]struct{ begins, over string }{
		"2026-03-28": {"2026-03-27T23:00:00Z", "2026-03-28T23:30:00Z"},
		"2026-03-29": {"2026-03-28T23:00:00Z", "2026-03-29T22:30:00Z"}, // 23 hours
		"2026-10-25": {"2026-10-24T22:00:00Z", "2026-10-25T23:30:00Z"}, // 25 hours
		"2026-12-31": {"2026-12-30T23:00:00Z", "2026-12-31T23:30:00Z"},
	} {
		begins, err := time.Parse(time.RFC3339, test.begins)
		conservetest.Good(t, err)
		over, err := time.Parse(time.RFC3339, test.over)
		conservetest.Good(t, err)
		if before, at := keeper.Day(begins.Add(-time.Second), w.Zone), keeper.Day(begins, w.Zone); before >= day || at != day {
			t.Errorf("%s: the second before its begin is of %s, its begin of %s", day, before, at)
		}
		mailbox := day + "@alfa.example"
		w.take(mailbox, day, day)
		w.clock.At = over.Add(-time.Second)
		conservetest.Good(t, w.Pass(t.Context()))
		if n := w.documents(mailbox, day, 1); n != 0 {
			t.Errorf("%s: a package a second too early", day)
		}
		w.clock.At = over
		conservetest.Good(t, w.Pass(t.Context()))
		if n := w.documents(mailbox, day, 1); n != 1 {
			t.Errorf("%s: %d documents in its package, want 1", day, n)
		}
	}
}

// An authority that is down for a day is asked ever more seldom, once for all mailboxes, and then all is preserved; how the
// keeper is tells of it.
func TestAuthorityDownForADay(t *testing.T) {
	t.Parallel()
	w := newWork(t, t.TempDir())
	for i := range 5 {
		w.take(fmt.Sprintf("m%d@alfa.example", i), "2026-11-03", fmt.Sprint("a", i), fmt.Sprint("b", i))
	}
	w.clock.At = time.Date(2026, 11, 4, 3, 0, 0, 0, time.UTC)
	up := w.clock.At.Add(24 * time.Hour)
	w.place.Down.Store(true)
	ctx, end := context.WithCancel(t.Context())
	w.clock.Before = func(now time.Time) error {
		if s := w.State(); now.Before(up) && (s.Waiting != 5 || !strings.Contains(s.Problem, "503") || strings.Count(s.Problem, "\n") != 0) {
			t.Errorf("while it is down: %+v", s)
		}
		w.place.Down.Store(now.Before(up))
		if w.State().Failures == 0 {
			end()
		}
		return ctx.Err()
	}
	w.Run(ctx, func() float64 { return 0.5 })
	if s := w.State(); s != (keeper.State{}) {
		t.Errorf("afterwards: %+v", s)
	}
	for i := range 5 {
		if n := w.documents(fmt.Sprintf("m%d@alfa.example", i), "2026-11-03", 1); n != 2 {
			t.Errorf("mailbox %d has %d documents preserved, want 2", i, n)
		}
	}
	first := []time.Duration{2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second}
	for i := range first {
		first[i] += first[i] / 4 // the jitter
	}
	if d := cmp.Diff(first, w.clock.Slept[:len(first)]); d != "" {
		t.Error(d)
	}
	for _, pause := range w.clock.Slept {
		if pause > 15*time.Minute {
			t.Errorf("a pause of %v", pause)
		}
	}
	if asked := w.place.Asked.Load(); asked > 135+5 { // a day in pauses of 12.5 minutes, the first ones, and the five stamps
		t.Errorf("it was asked %d times", asked)
	}
	if at := w.clock.At; at.Sub(up) > 30*time.Minute {
		t.Errorf("all is preserved %v after it is back", at.Sub(up))
	}
}

// far is a store that is down, and counts what it is asked.
type far struct {
	store.Directory
	down       error
	reach, put int
}

func (f *far) Reach(context.Context) error {
	f.reach++
	return f.down
}

func (f *far) Put(ctx context.Context, name string, files []store.File) error {
	f.put++
	if f.down != nil {
		return f.down
	}
	return f.Directory.Put(ctx, name, files)
}

// A store that is down is asked once in a pass; packages are signed and stamped meanwhile, once, and go as they are when it is
// back, also when the configuration has changed by then.
func TestStoreDown(t *testing.T) {
	t.Parallel()
	w := newWork(t, t.TempDir())
	f := &far{Directory: store.Directory(t.TempDir()), down: errors.New("down for repair")}
	w.Store = f
	w.clock.At = time.Date(2026, 11, 4, 3, 0, 0, 0, time.UTC)
	if err := w.Pass(t.Context()); err == nil || !strings.Contains(err.Error(), "down for repair") {
		t.Errorf("with nothing to put: %v", err)
	}
	for i := range 3 {
		w.take(fmt.Sprintf("m%d@alfa.example", i), "2026-11-03", fmt.Sprint("a", i))
	}
	for range 3 {
		if err := w.Pass(t.Context()); err == nil || strings.Count(err.Error(), "down for repair") != 1 || w.State().Waiting != 3 {
			t.Errorf("%v, %+v", err, w.State())
		}
	}
	if f.reach != 4 || f.put != 0 || w.place.Asked.Load() != 3 {
		t.Errorf("the store was asked %d times and given %d packages, the authority asked %d times; want 4, 0, 3", f.reach, f.put, w.place.Asked.Load())
	}
	f.down, w.Parts.Readme = nil, []byte("others")
	conservetest.Good(t, w.Pass(t.Context()))
	for i := range 3 {
		if n := w.documents(fmt.Sprintf("m%d@alfa.example", i), "2026-11-03", 1); n != 1 {
			t.Errorf("mailbox %d has %d documents preserved", i, n)
		}
		p, _, err := w.Store.Package(t.Context(), pack.Name(fmt.Sprintf("m%d@alfa.example", i), "2026-11-03", 1))
		conservetest.Good(t, err)
		text, err := os.ReadFile(filepath.Join(string(p.(store.Folder)), pack.Readme))
		if err != nil || string(text) == "others" {
			t.Errorf("the instructions are %q, %v: they changed under way", text, err)
		}
	}
	conservetest.Good(t, w.Pass(t.Context()))
	if w.place.Asked.Load() != 3 || f.reach != 5 {
		t.Errorf("the authority was asked %d times, the store %d", w.place.Asked.Load(), f.reach)
	}
}

// deaf is a store whose answer to the first Put gets lost.
type deaf struct {
	store.Directory
	heard bool
}

func (d *deaf) Put(ctx context.Context, name string, files []store.File) error {
	err := d.Directory.Put(ctx, name, files)
	if err == nil && !d.heard {
		d.heard = true
		return errors.New("no answer")
	}
	return err
}

// A package that is stored and not entered is not stored again, and what comes later goes into the next one.
func TestGoesOn(t *testing.T) {
	t.Parallel()
	w := newWork(t, t.TempDir())
	w.Store = &deaf{Directory: store.Directory(t.TempDir())}
	w.clock.At = time.Date(2026, 11, 4, 3, 0, 0, 0, time.UTC)
	w.take(box, "2026-11-03", "a", "b")
	if w.Pass(t.Context()) == nil {
		t.Fatal("the pass is content")
	}
	w.take(box, "2026-11-03", "late")
	conservetest.Good(t, w.Pass(t.Context()))
	if a, b, c := w.documents(box, "2026-11-03", 1), w.documents(box, "2026-11-03", 2), w.documents(box, "2026-11-03", 3); a != 2 || b != 1 || c != 0 {
		t.Errorf("%d, %d and %d documents, want 2, 1 and none", a, b, c)
	}
	for key, want := range map[string]string{"a": "001", "b": "001", "late": "002"} {
		if r, _, err := w.Box.Find(key); err != nil || !strings.HasSuffix(r.Package, want) {
			t.Errorf("%s is in %q, %v", key, r.Package, err)
		}
	}
	if entries, err := w.Catalogue.Entries(box); err != nil || len(entries) != 2 || entries[0].Items != 2 {
		t.Errorf("the catalogue has %+v, %v", entries, err)
	}
}

// fast is a folder in memory, where thousands of files are not waited for.
func fast(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "keeper")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// 10,001 documents of a day make two packages.
func TestMoreThanAPackageHolds(t *testing.T) {
	t.Parallel()
	w := newWork(t, fast(t))
	w.clock.At = time.Date(2026, 11, 4, 3, 0, 0, 0, time.UTC)
	for i := range pack.MaxMembers + 1 {
		w.take(box, "2026-11-03", fmt.Sprint("key-", i))
	}
	conservetest.Good(t, w.Pass(t.Context()))
	if a, b, c := w.documents(box, "2026-11-03", 1), w.documents(box, "2026-11-03", 2), w.documents(box, "2026-11-03", 3); a != 10_000 || b != 1 || c != 0 {
		t.Errorf("%d, %d and %d documents, want 10000, 1 and none", a, b, c)
	}
	if groups, err := w.Box.Groups(); err != nil || len(groups) != 0 {
		t.Errorf("left: %v, %v", groups, err)
	}
}

// On a disk without room a package waits, nothing of it is to be seen, and it is made when there is room.
func TestFullStore(t *testing.T) {
	dir := t.TempDir()
	w := newWork(t, dir)
	at := filepath.Join(dir, "store")
	conservetest.Good(t, os.Mkdir(at, 0o755))
	if err := syscall.Mount("none", at, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("a small file system takes root: %v", err)
	}
	t.Cleanup(func() { conservetest.Good(t, syscall.Unmount(at, syscall.MNT_DETACH)) })
	w.clock.At = time.Date(2026, 11, 4, 3, 0, 0, 0, time.UTC)
	filling := filepath.Join(at, "filling")
	conservetest.Good(t, os.WriteFile(filling, make([]byte, 200<<10), 0o600))
	big := strings.Repeat("x", 100<<10)
	conservetest.Take(t, w.Box, conservetest.Record("big", box, "2026-11-03", big), big)
	if err := w.Pass(t.Context()); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Pass = %v, want no space", err)
	}
	if n := w.documents(box, "2026-11-03", 1); n != 0 || w.State().Waiting != 1 {
		t.Errorf("%d documents, %+v", n, w.State())
	}
	conservetest.Good(t, os.Remove(filling))
	conservetest.Good(t, w.Pass(t.Context()))
	if n := w.documents(box, "2026-11-03", 1); n != 1 {
		t.Errorf("%d documents with room, want 1", n)
	}
}
