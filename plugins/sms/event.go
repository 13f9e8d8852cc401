package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ceralacca/ceralacca/internal/fsx"
)

// The classes of events. Those of one class are told together, each class with its own text.
const (
	classMail  = "mail"
	classQuota = "quota"
	classFill  = "fill"
	classTest  = "test"
)

// event is something to tell the holder of a mailbox, as it lies in the folder of what is waiting.
type event struct {
	Mailbox string    `json:"mailbox"`
	Kind    string    `json:"kind"`
	Percent int       `json:"percent,omitempty"`
	Days    int       `json:"days,omitempty"`
	Taken   time.Time `json:"taken"`

	name string // of its file: the same key, the same name
}

func (e event) class() string {
	switch e.Kind {
	case kindQuota:
		return classQuota
	case kindFill:
		return classFill
	case kindTest:
		return classTest
	default:
		return classMail
	}
}

// nameOf is the name of what has a key.
func nameOf(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:16])
}

// store is the state folder. What is in it:
//
//	in/NAME        events that no notice has yet
//	out/ID         notices that are not finished
//	sent/DAY/ID    notices that are
//	done/DAY/NAME  events that are part of a notice, so that a key that comes again is known
//	spool/         what the commands of this program hand over
//	usage/NAME     how full a mailbox was, and when
//
// An event is moved to done after the notice that has it is on the disk: after a crash in between, the notice says so.
type store string

// remembered is how long a key that comes again is known, in days. The host repeats what it was not answered; that takes
// seconds, or as long as the host was down.
const remembered = 8

func (s store) path(parts ...string) string {
	return filepath.Join(append([]string{string(s)}, parts...)...)
}

// make makes the folders. That the state folder itself is there is the administrator's.
func (s store) make() error {
	if info, err := os.Stat(string(s)); err != nil || !info.IsDir() {
		return fmt.Errorf("state: %s is no folder that this user can use; make it, mode 0750, owned by the plug-in's user", string(s))
	}
	for _, f := range []string{"in", "out", "sent", "done", "usage"} {
		if err := fsx.Folder(s.path(f), 0o750); err != nil {
			return fmt.Errorf("state: %w; its owner must be the plug-in's user", err)
		}
	}
	// Dovecot's hook hands over as another user. Who may do so is the administrator's: a folder that is there stays as it is.
	if err := fsx.Folder(s.path("spool"), 0o770); err != nil {
		return fmt.Errorf("state: %w", err)
	}
	return nil
}

// knows says whether an event was taken before. It looks where events come from before it looks where they go to.
func (s store) knows(name string, now time.Time) (bool, error) {
	places := []string{s.path("in", name)}
	for day := -1; day < remembered; day++ {
		places = append(places, s.path("done", dayOf(now.AddDate(0, 0, -day)), name))
	}
	for _, place := range places {
		if _, err := os.Lstat(place); err == nil {
			return true, nil
		} else if !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
	}
	return false, nil
}

// take keeps an event, once. Fresh is false when it was taken before.
func (s store) take(e event) (fresh bool, err error) {
	if known, err := s.knows(e.name, e.Taken); known || err != nil {
		return false, err
	}
	data, err := json.Marshal(e)
	if err == nil {
		err = fsx.WriteNewBytes(s.path("in", e.name), 0o640, data)
	}
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	return err == nil, err
}

// events are those in a folder.
func (s store) events() ([]event, error) {
	var out []event
	err := s.each("in", func(name string, data []byte) error {
		e := event{name: name}
		if err := json.Unmarshal(data, &e); err != nil {
			return err
		}
		out = append(out, e)
		return nil
	})
	return out, err
}

// each calls fn for the files of a folder. What a killed writer left is swept.
func (s store) each(folder string, fn func(name string, data []byte) error) error {
	entries, err := os.ReadDir(s.path(folder))
	if err != nil {
		return err
	}
	for _, entry := range entries {
		path := s.path(folder, entry.Name())
		if strings.HasPrefix(entry.Name(), ".") || !entry.Type().IsRegular() {
			continue
		}
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if folder == "spool" && errors.Is(err, fs.ErrPermission) {
			data, err = nil, nil // it is none of ours, and must not stand in the way of those that are
		}
		if err == nil {
			err = fn(entry.Name(), data)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

// dayOf names the folder of a day.
func dayOf(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// finish moves the events of a notice to those that are done. One that is not there was moved before.
func (s store) finish(n *notice, now time.Time) error {
	folder := s.path("done", dayOf(now))
	if err := fsx.Folder(folder, 0o750); err != nil {
		return err
	}
	for _, name := range n.Events {
		if err := fsx.Move(s.path("in", name), filepath.Join(folder, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
