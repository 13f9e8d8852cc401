// Package deposit holds what was taken and is not in a package yet, and for ever what became of each key. It knows no
// package format, no signature and no authority.
//
// Below its folder stand keys/HH/HASH.json, one record for each key, whose presence is the deposit; and
// spool/MAILBOX/DAY/HASH.eml, the content until it lies in a package. The content is written first: one without a record
// is of a deposit that was never answered.
package deposit

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/internal/fsx"
)

var (
	// ErrContent says that the content is not what was announced. It may come whole another time.
	ErrContent = errors.New("the content does not have the size and SHA-256 that were announced")
	// ErrKey says that another content is kept under the key. It will never be otherwise.
	ErrKey = errors.New("other content is kept under this key")
)

// Record is one deposit.
type Record struct {
	Key       string `json:"key"`
	Mailbox   string `json:"mailbox"`
	Event     string `json:"event"`
	MediaType string `json:"media_type"`
	Day       string `json:"day"`    // 2026-11-30, legal time
	SHA256    string `json:"sha256"` // hex
	Size      int64  `json:"size"`   // bytes
	Time      int64  `json:"time"`   // of the event, seconds since 1970
	// Package and Object say where it is preserved, empty until then.
	Package string `json:"package,omitempty"`
	Object  string `json:"object,omitempty"`
}

// Group is what a mailbox has of one day.
type Group struct{ Mailbox, Day string }

// Box is the folder. It is safe for concurrent use, also by several processes.
type Box struct {
	dir string
	// mu keeps a folder from being removed while something is put into it.
	mu sync.RWMutex
}

// Open makes the folders.
func Open(dir string) (*Box, error) {
	for _, sub := range []string{"keys", "spool"} {
		if err := fsx.Folder(filepath.Join(dir, sub), 0o700); err != nil {
			return nil, fmt.Errorf("the state: %w", err)
		}
	}
	return &Box{dir: dir}, nil
}

// Existing is the box of a folder that Open has made before, for who only reads: it makes nothing.
func Existing(dir string) (*Box, error) {
	if _, err := os.Stat(filepath.Join(dir, "spool")); err != nil {
		return nil, fmt.Errorf("the state cannot be read; the plug-in makes it when it starts for the first time: %w", err)
	}
	return &Box{dir: dir}, nil
}

// Escape makes a file name of a mailbox, which Unescape takes back.
func Escape(mailbox string) string {
	name := url.PathEscape(mailbox)
	if strings.HasPrefix(name, ".") {
		name = "%2E" + name[1:]
	}
	return name
}

// Unescape is the mailbox of a file name.
func Unescape(name string) string {
	mailbox, err := url.PathUnescape(name)
	if err != nil {
		return name
	}
	return mailbox
}

func hash(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

func (b *Box) recordPath(hash string) string {
	return filepath.Join(b.dir, "keys", hash[:2], hash+".json")
}

// GroupDir is the folder of a group, where its keeper may put files of its own; their names must not end in .eml.
func (b *Box) GroupDir(g Group) string {
	return filepath.Join(b.dir, "spool", Escape(g.Mailbox), g.Day)
}

func (b *Box) contentPath(r Record) string {
	return filepath.Join(b.GroupDir(Group{r.Mailbox, r.Day}), hash(r.Key)+".eml")
}

// Take keeps a deposit and returns it as it stands, which for a key that was taken before is as then; it reads all of the
// content in any case. When it returns without an error a crash does not lose the deposit.
func (b *Box) Take(r Record, content io.Reader) (kept Record, fresh bool, err error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	found, ok, err := b.Find(r.Key)
	if err != nil {
		return Record{}, false, err
	}
	if ok {
		return again(found, r, content)
	}
	if err := b.write(r, content); err != nil {
		return Record{}, false, err
	}
	return b.enter(r)
}

// tries is how often a folder is made anew that another process removes, as it is empty, before there is anything in it.
const tries = 100

func (b *Box) write(r Record, content io.Reader) error {
	path := b.contentPath(r)
	for try := 1; ; try++ {
		begun := false
		err := fsx.Folder(filepath.Dir(path), 0o700)
		if err == nil {
			err = fsx.Write(path, 0o600, func(w io.Writer) error {
				begun = true // there is a file in the folder: it stays
				return copyExactly(w, content, r)
			})
		}
		if begun || try == tries || !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
}

// enter writes the record, which makes the deposit.
func (b *Box) enter(r Record) (Record, bool, error) {
	path := b.recordPath(hash(r.Key))
	text, err := json.Marshal(r)
	if err != nil {
		return Record{}, false, err
	}
	if err := fsx.Folder(filepath.Dir(path), 0o700); err != nil {
		return Record{}, false, err
	}
	err = fsx.WriteNewBytes(path, 0o600, text)
	if errors.Is(err, fs.ErrExist) { // two calls at once
		found, _, err := b.Find(r.Key)
		if err == nil && found.SHA256 != r.SHA256 {
			err = ErrKey
		}
		return found, false, err
	}
	return r, true, err
}

// again reads what comes once more.
func again(found, r Record, content io.Reader) (Record, bool, error) {
	if err := copyExactly(io.Discard, content, r); err != nil {
		return Record{}, false, err
	}
	if found.SHA256 != r.SHA256 || found.Size != r.Size {
		return Record{}, false, ErrKey
	}
	return found, false, nil
}

func copyExactly(w io.Writer, content io.Reader, r Record) error {
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(w, sum), content)
	if err != nil {
		return err
	}
	if n != r.Size || hex.EncodeToString(sum.Sum(nil)) != r.SHA256 {
		return ErrContent
	}
	return nil
}

// Find returns the record of a key.
func (b *Box) Find(key string) (r Record, ok bool, err error) { return b.read(hash(key)) }

func (b *Box) read(hash string) (r Record, ok bool, err error) {
	text, err := os.ReadFile(b.recordPath(hash))
	if errors.Is(err, fs.ErrNotExist) {
		return Record{}, false, nil
	}
	if err != nil {
		return Record{}, false, err
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return Record{}, false, fmt.Errorf("%s: %w", b.recordPath(hash), err)
	}
	return r, true, nil
}

// Content opens what is not in a package yet. The error is fs.ErrNotExist when it is no longer here.
func (b *Box) Content(r Record) (io.ReadCloser, error) { return os.Open(b.contentPath(r)) }

// File notes where a deposit is preserved, and lets go of its content. It may be called again.
func (b *Box) File(r Record, pack, object string) error {
	r.Package, r.Object = pack, object
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := fsx.WriteBytes(b.recordPath(hash(r.Key)), 0o600, text); err != nil {
		return err
	}
	return fsx.Remove(b.contentPath(r))
}

// Groups lists the folders of the spool.
func (b *Box) Groups() ([]Group, error) {
	boxes, err := os.ReadDir(filepath.Join(b.dir, "spool"))
	if err != nil {
		return nil, err
	}
	var groups []Group
	for _, box := range boxes {
		days, err := os.ReadDir(filepath.Join(b.dir, "spool", box.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue // it has just become empty
		}
		if err != nil {
			return nil, err
		}
		for _, day := range days {
			groups = append(groups, Group{Unescape(box.Name()), day.Name()})
		}
	}
	return groups, nil
}

// Each calls fn for what a group has in no package, in no order; it holds none of it.
func (b *Box) Each(g Group, fn func(Record) error) (err error) {
	folder, err := os.Open(b.GroupDir(g))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, folder.Close()) }()
	for {
		entries, err := folder.ReadDir(1000)
		for _, e := range entries {
			if err := b.member(e.Name(), fn); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// member calls fn for the record of a file of a group.
func (b *Box) member(file string, fn func(Record) error) error {
	name, ok := strings.CutSuffix(file, ".eml")
	if !ok {
		return nil
	}
	r, ok, err := b.read(name)
	if err == nil && ok && r.Package == "" {
		err = fn(r)
	}
	return err
}

// Members lists what a group has in no package, in the order of time and key.
func (b *Box) Members(g Group) ([]Record, error) {
	var members []Record
	err := b.Each(g, func(r Record) error {
		members = append(members, r)
		return nil
	})
	slices.SortFunc(members, func(a, b Record) int {
		if a.Time != b.Time {
			return cmp.Compare(a.Time, b.Time)
		}
		return strings.Compare(a.Key, b.Key)
	})
	return members, err
}

// abandoned is how old a file must be that was being written before it is taken for that of a process that was killed.
const abandoned = time.Hour

// Close removes the folder of a group when there is nothing left in it but what is preserved: of two calls with one key the
// slower may have written after the faster had its content in a package; and what a process was writing when it was killed.
func (b *Box) Close(g Group) {
	b.mu.Lock()
	defer b.mu.Unlock()
	entries, _ := os.ReadDir(b.GroupDir(g)) // what cannot be read stays
	for _, e := range entries {
		if info, err := e.Info(); err == nil && e.Name()[0] == '.' && (clock.System{}).Now().Sub(info.ModTime()) > abandoned {
			_ = fsx.Remove(filepath.Join(b.GroupDir(g), e.Name())) // it is tried again
		}
		if name, ok := strings.CutSuffix(e.Name(), ".eml"); ok {
			if r, ok, err := b.read(name); ok && err == nil && r.Package != "" {
				_ = fsx.Remove(filepath.Join(b.GroupDir(g), e.Name())) // it is tried again
			}
		}
	}
	if os.Remove(b.GroupDir(g)) == nil { // refused by the system unless it is empty
		_ = os.Remove(filepath.Dir(b.GroupDir(g)))
	}
}
