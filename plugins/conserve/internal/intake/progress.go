package intake

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"

	"github.com/ceralacca/ceralacca/plugins/conserve/internal/deposit"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/journal"
)

// progress says how far a folder was looked at, and by what question: under another one it says nothing.
type progress struct {
	Folder   string   `json:"folder"`
	Scope    string   `json:"scope"`
	Validity uint32   `json:"uid_validity"`
	Done     uint32   `json:"done"`   // all UIDs up to this one were looked at
	Unread   []uint32 `json:"unread"` // but for these, which could not be read
}

func (r *run) progressPath(folder string) string {
	sum := sha256.Sum256([]byte(folder))
	return filepath.Join(r.Dir, deposit.Escape(r.mailbox), hex.EncodeToString(sum[:16])+".json")
}

// scope is the question.
func (r *run) scope() string {
	return fmt.Sprintf("keep %s, since %d, before %d, everything %v", r.Rule(r.mailbox), r.Since.Unix(), r.Before.Unix(), r.Everything)
}

// readProgress returns an empty one when there is none that holds. What it forgets is looked at again, and known by its key.
func (r *run) readProgress(folder string, validity uint32) (progress, error) {
	fresh := progress{Folder: folder, Scope: r.scope(), Validity: validity}
	var p progress
	if err := journal.Read(r.progressPath(folder), &p); err != nil || p.Validity != validity || p.Scope != fresh.Scope {
		return fresh, err
	}
	return p, nil
}

func (r *run) writeProgress(p progress) error { return journal.Write(r.progressPath(p.Folder), p) }
