package intake

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ceralacca/ceralacca/internal/fsx"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/deposit"
)

// journal says how far a folder was looked at, and by what question: under another one it says nothing.
type journal struct {
	Folder   string   `json:"folder"`
	Scope    string   `json:"scope"`
	Validity uint32   `json:"uid_validity"`
	Done     uint32   `json:"done"`   // all UIDs up to this one were looked at
	Unread   []uint32 `json:"unread"` // but for these, which could not be read
}

func (r *run) journalPath(folder string) string {
	sum := sha256.Sum256([]byte(folder))
	return filepath.Join(r.Dir, deposit.Escape(r.mailbox), hex.EncodeToString(sum[:16])+".json")
}

// scope is the question.
func (r *run) scope() string {
	return fmt.Sprintf("keep %s, since %d, before %d, everything %v", r.Rule(r.mailbox), r.Since.Unix(), r.Before.Unix(), r.Everything)
}

// readJournal returns an empty journal when there is none that holds. What it forgets is looked at again, and known by its key.
func (r *run) readJournal(folder string, validity uint32) (journal, error) {
	fresh := journal{Folder: folder, Scope: r.scope(), Validity: validity}
	text, err := os.ReadFile(r.journalPath(folder))
	if errors.Is(err, fs.ErrNotExist) {
		return fresh, nil
	}
	var j journal
	if err == nil {
		err = json.Unmarshal(text, &j)
	}
	if err != nil {
		return fresh, fmt.Errorf("the journal %s: %w", r.journalPath(folder), err)
	}
	if j.Validity != validity || j.Scope != fresh.Scope {
		return fresh, nil
	}
	return j, nil
}

func (r *run) writeJournal(j journal) error {
	text, err := json.Marshal(j)
	if err != nil {
		return err
	}
	path := r.journalPath(j.Folder)
	if err := fsx.Folder(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return fsx.WriteBytes(path, 0o600, text)
}
