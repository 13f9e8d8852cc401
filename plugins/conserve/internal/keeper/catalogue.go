package keeper

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ceralacca/ceralacca/plugins/conserve/internal/deposit"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/journal"
)

// Catalogue is the folder with an entry for each package that is preserved: MAILBOX/DAY-NUMBER.json.
type Catalogue string

// Entry is what is known of a package without the store.
type Entry struct {
	Mailbox string `json:"mailbox"`
	Day     string `json:"day"`
	Number  int    `json:"number"`
	Items   int64  `json:"items"`
	Bytes   int64  `json:"bytes"`
}

func (c Catalogue) path(mailbox, day string, number int) string {
	return filepath.Join(string(c), deposit.Escape(mailbox), fmt.Sprintf("%s-%03d.json", day, number))
}

// Enter makes an entry, for good.
func (c Catalogue) Enter(e Entry) error {
	return journal.Write(c.path(e.Mailbox, e.Day, e.Number), e)
}

// Has says whether there is an entry.
func (c Catalogue) Has(mailbox, day string, number int) (bool, error) {
	_, err := os.Stat(c.path(mailbox, day, number))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Last is the number of the last package of a day, 0 when there is none.
func (c Catalogue) Last(mailbox, day string) (int, error) {
	for n := 1; ; n++ {
		if there, err := c.Has(mailbox, day, n); !there || err != nil {
			return n - 1, err
		}
	}
}

// Mailboxes lists those that have entries.
func (c Catalogue) Mailboxes() ([]string, error) {
	entries, err := os.ReadDir(string(c))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var all []string
	for _, e := range entries {
		all = append(all, deposit.Unescape(e.Name()))
	}
	return all, err
}

// Entries lists those of a mailbox, by day and number.
func (c Catalogue) Entries(mailbox string) ([]Entry, error) {
	folder := filepath.Join(string(c), deposit.Escape(mailbox))
	files, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var all []Entry
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".json") {
			continue // a file that is being written
		}
		text, err := os.ReadFile(filepath.Join(folder, f.Name()))
		if err != nil {
			return nil, err
		}
		var e Entry
		if err := json.Unmarshal(text, &e); err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name(), err)
		}
		all = append(all, e)
	}
	return all, err
}
