// Package archive is the security archive: a copy of each message, to be put back into its mailbox. Nothing of it is signed, and
// nothing is removed. It does not decide what is copied, nor how much room there is.
//
// Below its folder stand keys and spool as of a box of deposits, missing/MAILBOX/HASH.json for each message that has no copy, and
// totals/MAILBOX.json with what was counted of days that are over.
package archive

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/internal/fsx"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/deposit"
)

// Archive is the folder. It is safe for concurrent use, also by several processes.
type Archive struct {
	*deposit.Box
	dir   string
	Clock clock.Clock
}

// Open makes the folder.
func Open(dir string, c clock.Clock) (*Archive, error) {
	box, err := deposit.Open(dir)
	if err == nil {
		err = fsx.Folder(filepath.Join(dir, "missing"), 0o700)
	}
	if err == nil {
		err = fsx.Folder(filepath.Join(dir, "totals"), 0o700)
	}
	return &Archive{Box: box, dir: dir, Clock: c}, err
}

// Existing is the archive of a folder that Open has made before, for who only reads.
func Existing(dir string, c clock.Clock) (*Archive, error) {
	box, err := deposit.Existing(dir)
	return &Archive{Box: box, dir: dir, Clock: c}, err
}

func (a *Archive) missingPath(r deposit.Record) string {
	sum := sha256.Sum256([]byte(r.Key))
	return filepath.Join(a.dir, "missing", deposit.Escape(r.Mailbox), hex.EncodeToString(sum[:])+".json")
}

// Miss notes that a message has no copy, and says whether that is new.
func (a *Archive) Miss(r deposit.Record) (news bool, err error) {
	text, err := json.Marshal(r)
	if err != nil {
		return false, err
	}
	path := a.missingPath(r)
	if err := fsx.Folder(filepath.Dir(path), 0o700); err != nil {
		return false, err
	}
	err = fsx.WriteNewBytes(path, 0o600, text)
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	return err == nil, err
}

// Found strikes a message that has a copy now off those that have none, and says whether it was one.
func (a *Archive) Found(r deposit.Record) (news bool, err error) {
	if _, err := os.Stat(a.missingPath(r)); err != nil {
		return false, nil // it is told of as missing at worst
	}
	return true, fsx.Remove(a.missingPath(r))
}

// Missing counts, by mailbox, the messages that have no copy.
func (a *Archive) Missing() (map[string]int, error) {
	missing := map[string]int{}
	boxes, err := os.ReadDir(filepath.Join(a.dir, "missing"))
	if errors.Is(err, fs.ErrNotExist) {
		return missing, nil
	}
	for _, box := range boxes {
		notes, err := os.ReadDir(filepath.Join(a.dir, "missing", box.Name()))
		if err != nil {
			return nil, err
		}
		for _, note := range notes {
			if !strings.HasPrefix(note.Name(), ".") { // one that is being written
				missing[deposit.Unescape(box.Name())]++
			}
		}
	}
	return missing, err
}

// Days lists those of which there are copies of a mailbox.
func (a *Archive) Days(_ context.Context, mailbox string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(a.dir, "spool", deposit.Escape(mailbox)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var days []string
	for _, e := range entries {
		days = append(days, e.Name())
	}
	return days, err
}

// Members lists the copies of a day, in the order of time.
func (a *Archive) Members(_ context.Context, mailbox, day string) ([]deposit.Record, error) {
	return a.Box.Members(deposit.Group{Mailbox: mailbox, Day: day})
}

// Content opens a copy.
func (a *Archive) Content(_ context.Context, r deposit.Record) (io.ReadCloser, error) {
	return a.Box.Content(r)
}

// Total is what a mailbox has, or one day of it.
type Total struct {
	Changed time.Time `json:"changed"` // the folder of the day, which says whether the rest still holds
	Items   int64     `json:"items"`
	Bytes   int64     `json:"bytes"`
}

// settled is how long a day's folder must be as it is before its count is kept: a copy that is being taken is not counted.
const settled = time.Hour

// Totals counts what each mailbox has. A day is read once and then only looked at: an archive has no end. Who may write keeps
// what was counted.
func (a *Archive) Totals(keep bool) (map[string]Total, error) {
	boxes, err := os.ReadDir(filepath.Join(a.dir, "spool"))
	if err != nil {
		return nil, err
	}
	sums := map[string]Total{}
	for _, box := range boxes {
		mailbox := deposit.Unescape(box.Name())
		days, err := a.Days(context.Background(), mailbox)
		if err != nil {
			return nil, err
		}
		if sums[mailbox], err = a.total(mailbox, days, keep); err != nil {
			return nil, fmt.Errorf("%s: %w", mailbox, err)
		}
	}
	return sums, nil
}

func (a *Archive) total(mailbox string, days []string, keep bool) (sum Total, err error) {
	path := filepath.Join(a.dir, "totals", deposit.Escape(mailbox)+".json")
	known := map[string]Total{}
	if text, err := os.ReadFile(path); err == nil {
		_ = json.Unmarshal(text, &known) // what cannot be read is counted
	}
	news := false
	for _, day := range days {
		g := deposit.Group{Mailbox: mailbox, Day: day}
		info, err := os.Stat(a.GroupDir(g))
		if err != nil {
			return sum, err
		}
		t, ok := known[g.Day]
		if !ok || !t.Changed.Equal(info.ModTime()) {
			if t, err = a.count(g); err != nil {
				return sum, err
			}
			if t.Changed = info.ModTime(); a.Clock.Now().Sub(t.Changed) > settled {
				known[g.Day], news = t, true
			}
		}
		sum.Items, sum.Bytes = sum.Items+t.Items, sum.Bytes+t.Bytes
	}
	if !news || !keep {
		return sum, nil
	}
	text, err := json.Marshal(known)
	if err == nil {
		err = fsx.WriteBytes(path, 0o600, text)
	}
	return sum, err
}

func (a *Archive) count(g deposit.Group) (t Total, err error) {
	err = a.Each(g, func(r deposit.Record) error {
		t.Items, t.Bytes = t.Items+1, t.Bytes+r.Size
		return nil
	})
	return t, err
}
