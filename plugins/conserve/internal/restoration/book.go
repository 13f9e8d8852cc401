package restoration

import (
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"

	"github.com/ceralacca/ceralacca/internal/fsx"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/deposit"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/journal"
)

// book is the journal of a mailbox.
type book struct {
	dir, mailbox, folder string
	validity             uint32
}

// page is what became of the messages of a day.
type page struct {
	Folder   string   `json:"folder"`
	Day      string   `json:"day"`
	Validity uint32   `json:"uid_validity"`
	Done     []string `json:"done"`
	Doing    []string `json:"doing"` // there, or not
}

// unfinished is a restoration that has not come to its end.
type unfinished struct {
	Question string `json:"question"`
	Folder   string `json:"folder"`
}

func (b book) path(parts ...string) string {
	return filepath.Join(append([]string{b.dir, deposit.Escape(b.mailbox)}, parts...)...)
}

// begin decides the folder: the one that is named, or that of the same question where it was stopped, or the preset one.
func (b book) begin(question, named, preset string) (folder string, err error) {
	var open unfinished
	if err := journal.Read(b.path("unfinished.json"), &open); err != nil {
		return "", err
	}
	switch {
	case named != "":
		return named, nil
	case open.Question == question:
		return open.Folder, nil
	}
	return preset, journal.Write(b.path("unfinished.json"), unfinished{Question: question, Folder: preset})
}

// end forgets what begin has noted.
func (b book) end() error {
	var open unfinished
	if err := journal.Read(b.path("unfinished.json"), &open); err != nil || open.Folder != b.folder {
		return err
	}
	return fsx.Remove(b.path("unfinished.json"))
}

func (b book) pagePath(day string) string {
	sum := sha256.Sum256([]byte(b.folder))
	return b.path(hex.EncodeToString(sum[:16]), day+".json")
}

// read returns an empty page where there is none of this folder.
func (b book) read(day string) (page, error) {
	fresh := page{Folder: b.folder, Day: day, Validity: b.validity}
	var p page
	if err := journal.Read(b.pagePath(day), &p); err != nil || p.Validity != b.validity {
		return fresh, err
	}
	return p, nil
}

func (b book) write(p page) error { return journal.Write(b.pagePath(p.Day), p) }
