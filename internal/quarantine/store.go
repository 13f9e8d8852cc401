package quarantine

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ceralacca/ceralacca/internal/fsx"
)

// Why a message cannot be had; test with [errors.Is].
var (
	// ErrNone says that there is no message of that id.
	ErrNone = errors.New("no such message in the quarantine")
	// ErrAltered says that the message is not, or not whole, what was put in.
	ErrAltered = errors.New("the message in the quarantine is not what was put in")
)

// Store is a folder of infected messages. It is safe for concurrent use, also by several processes.
type Store struct{ folder string }

// folderName is the name of the folder under the state.
const folderName = "quarantine"

// In returns the store under a state folder. It makes nothing: the first [Store.Put] does.
func In(state string) *Store { return &Store{filepath.Join(state, folderName)} }

// Folder is where the messages are.
func (s *Store) Folder() string { return s.folder }

// Put stores what write writes, with its description, and returns when both would survive a crash; the description comes
// last, so that what has one is whole. A second Put of the same id writes the same again. It returns the entry with size
// and digest. [C027] [C067]
func (s *Store) Put(e Entry, write func(io.Writer) error) (Entry, error) {
	if err := e.check(); err != nil {
		return e, err
	}
	if err := fsx.Folder(s.folder, 0o700); err != nil {
		return e, err
	}
	hash := sha256.New()
	count := &counter{}
	err := fsx.Write(s.message(e.ID), 0o600, func(w io.Writer) error { return write(io.MultiWriter(w, hash, count)) })
	if err != nil {
		return e, err
	}
	e.Size, e.SHA256 = count.n, hex.EncodeToString(hash.Sum(nil))
	text, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		return e, err
	}
	return e, fsx.WriteBytes(s.description(e.ID), 0o600, append(text, '\n'))
}

// counter counts what is written.
type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}

func (s *Store) message(id string) string     { return filepath.Join(s.folder, id+".eml") }
func (s *Store) description(id string) string { return filepath.Join(s.folder, id+".json") }

// List returns all entries, the oldest first. A store that nothing was ever put in is empty. What cannot be read is
// joined to the error, and the others are returned all the same.
func (s *Store) List() ([]*Entry, error) {
	files, err := os.ReadDir(s.folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var entries []*Entry
	var failures []error
	for _, f := range files {
		id, is := strings.CutSuffix(f.Name(), ".json")
		if !is || !idForm.MatchString(id) {
			continue
		}
		e, err := s.Get(id)
		if errors.Is(err, ErrNone) {
			continue // removed since
		}
		if err != nil {
			failures = append(failures, err)
			continue
		}
		entries = append(entries, e)
	}
	slices.SortStableFunc(entries, func(a, b *Entry) int { return a.Time.Compare(b.Time) })
	return entries, errors.Join(failures...)
}

// Get returns the entry of an id; [ErrNone] when there is none.
func (s *Store) Get(id string) (*Entry, error) {
	if !idForm.MatchString(id) {
		return nil, fmt.Errorf("%w: %q is not an id: 32 hexadecimal digits in lower case", ErrNone, id)
	}
	data, err := os.ReadFile(s.description(id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", ErrNone, id)
	}
	if err != nil {
		return nil, err
	}
	return decode(id, data)
}

// Check says whether the message of an id is there with its description, and as long as that says. [ErrNone] and
// [ErrAltered] say that it is not.
func (s *Store) Check(id string) error {
	e, err := s.Get(id)
	if err != nil {
		return err
	}
	info, err := os.Stat(s.message(id))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: %s: the file is gone", ErrAltered, id)
	case err != nil:
		return err
	case info.Size() != e.Size:
		return fmt.Errorf("%w: %s: %d bytes, and %d when it was put in", ErrAltered, id, info.Size(), e.Size)
	}
	return nil
}

// Copy writes the message of an entry to w as it came. [ErrAltered] comes after the last byte: w MUST NOT be used then.
func (s *Store) Copy(e *Entry, w io.Writer) error {
	file, err := os.Open(s.message(e.ID))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %s: the file is gone", ErrAltered, e.ID)
	}
	if err != nil {
		return err
	}
	defer file.Close() // it was only read
	hash := sha256.New()
	if _, err := io.Copy(io.MultiWriter(w, hash), file); err != nil {
		return err
	}
	if got := hex.EncodeToString(hash.Sum(nil)); got != e.SHA256 {
		return fmt.Errorf("%w: %s: SHA-256 %s, and %s when it was put in", ErrAltered, e.ID, got, e.SHA256)
	}
	return nil
}

// Export writes the message of an entry to a new file, mode 0600, when it is what was put in. A file that is there stays,
// and the error is [fs.ErrExist].
func (s *Store) Export(e *Entry, to string) error {
	if _, err := os.Lstat(to); err == nil {
		return &fs.PathError{Op: "export", Path: to, Err: fs.ErrExist}
	}
	return fsx.WriteNew(to, 0o600, func(w io.Writer) error { return s.Copy(e, w) })
}

// RemoveMessage removes the message of an entry. The description stays, until [Store.Forget], so that a removal that was
// interrupted is seen.
func (s *Store) RemoveMessage(e *Entry) error { return fsx.Remove(s.message(e.ID)) }

// Forget removes the description of an entry whose message is gone.
func (s *Store) Forget(e *Entry) error { return fsx.Remove(s.description(e.ID)) }
