package restoration

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
	if err := readJSON(b.path("unfinished.json"), &open); err != nil {
		return "", err
	}
	switch {
	case named != "":
		return named, nil
	case open.Question == question:
		return open.Folder, nil
	}
	return preset, writeJSON(b.path("unfinished.json"), unfinished{Question: question, Folder: preset})
}

// end forgets what begin has noted.
func (b book) end() error {
	var open unfinished
	if err := readJSON(b.path("unfinished.json"), &open); err != nil || open.Folder != b.folder {
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
	if err := readJSON(b.pagePath(day), &p); err != nil || p.Validity != b.validity {
		return fresh, err
	}
	return p, nil
}

func (b book) write(p page) error { return writeJSON(b.pagePath(p.Day), p) }

// readJSON leaves v as it is where there is no file.
func readJSON(path string, v any) error {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(text, v)
	}
	if err != nil {
		return fmt.Errorf("the journal %s: %w", path, err)
	}
	return nil
}

func writeJSON(path string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := fsx.Folder(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return fsx.WriteBytes(path, 0o600, text)
}
