package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/plugins"
)

// files are all that lie below a folder.
func files(t *testing.T, folder string) (all []string) {
	t.Helper()
	if err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all = append(all, path)
		}
		return nil // files come and go
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

// What the plug-in keeps does not grow with time: after two months there is as much as after one.
func TestTheStateIsBounded(t *testing.T) {
	dir := t.TempDir()
	outgoing, staging := filepath.Join(dir, "outgoing"), filepath.Join(dir, "staging")
	folders(t, outgoing, staging)
	s := newShop(t, settings{Smstools: &spoolSettings{outgoing, staging}}, `{"numbers": ["+393401234567"], "daily_cap": 1000}`)
	left := map[string]bool{filepath.Join(staging, "ceralacca-0123-a"): true, filepath.Join(staging, ".ceralacca-0123-a.1"): true,
		filepath.Join(s.dir, "usage", nameOf("gone@alfa.example")): true, filepath.Join(s.dir, "in", ".0123.1"): true}
	for path := range left {
		if err := os.WriteFile(path, []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	counts := map[int]int{}
	for day := 1; day <= 64; day++ {
		s.later(fmt.Sprintf("+%dh", 24*day))
		for n := range 3 {
			// Files have the time of the machine: what is just being written seems to be of yesterday, and may be swept. A host
			// says again what was not taken.
			s.until("an event", func() bool {
				got, err := s.e.Notify(t.Context(), plugins.Event{Key: fmt.Sprint(day, " ", n), Mailbox: box1, Name: "delivered"})
				return err == nil && got.Outcome == plugins.Done
			})
		}
		s.until("a sample", func() bool { // now and then, for it is a second until it is taken
			return day%16 != 0 || s.e.store.hand(handed{Key: fmt.Sprint(day), Kind: "usage", Fullness: []sample{{box1, float64(day%20) / 20, s.e.clock.Now()}}}) == nil
		})
		s.until("the end of a day", func() bool { return idle(s.dir)() && len(files(t, filepath.Join(s.dir, "spool"))) == 0 })
		for _, path := range files(t, outgoing) { // as smsd does
			_ = os.Remove(path)
		}
		counts[day] = len(files(t, dir)) + len(files(t, s.dir))
	}
	s.until("a sweep", func() bool {
		return !slices.ContainsFunc(append(files(t, dir), files(t, s.dir)...), func(path string) bool { return left[path] })
	})
	t.Logf("files after 10, 30 and 64 days: %d, %d, %d", counts[10], counts[30], counts[64])
	if counts[64] > counts[30]+10 || counts[30] < 20 {
		t.Errorf("%d files after 64 days, %d after 30", counts[64], counts[30])
	}
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	if b := s.e.boxes[box1]; len(s.e.boxes) > 1 || b != nil && len(b.sent) > 20 {
		t.Errorf("%d mailboxes are held, one with %d stamps", len(s.e.boxes), len(b.sent))
	}
}

// Of what lies in the folder beside the spool only that goes which nobody can send any more.
func TestWhatLiesBesideTheSpool(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
	stays := map[string]bool{}
	for name, file := range map[string]struct {
		age   time.Duration
		stays bool
	}{
		"ceralacca-open-a": {100 * time.Hour, true}, "ceralacca-closed-a": {100 * time.Hour, false}, "ceralacca-young-a": {time.Hour, true},
		".ceralacca-closed-a.77": {100 * time.Hour, false}, "of-another": {100 * time.Hour, true},
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, now, now.Add(-file.age)); err != nil {
			t.Fatal(err)
		}
		stays[path] = file.stays
	}
	if err := (spool{staging: dir}).sweep(now, 96*time.Hour, map[string]bool{"open-a": true}); err != nil {
		t.Fatal(err)
	}
	there := files(t, dir)
	for path, want := range stays {
		if got := slices.Contains(there, path); got != want {
			t.Errorf("%s is there: %v, want %v", path, got, want)
		}
	}
}

// When the plug-in does not run what is handed over does not fill the disk, and who hands over hears why.
func TestHandingOverToNobody(t *testing.T) {
	s := store(t.TempDir())
	if err := s.make(); err != nil {
		t.Fatal(err)
	}
	for n := range maxHanded - 1 {
		if err := os.WriteFile(s.path("spool", fmt.Sprint(n)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.hand(handed{Key: "last"}); err != nil {
		t.Errorf("the last that has room: %v", err)
	}
	if err := s.hand(handed{Key: "too much"}); err == nil {
		t.Error("there is no end of it")
	}
}
