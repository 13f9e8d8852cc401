package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"github.com/ceralacca/ceralacca/internal/secret"
)

// FileKind is what a path in the configuration should lead to. Its zero value is a path that is not looked at.
type FileKind int

// The kinds of file.
const (
	FilePublic FileKind = iota + 1 // a regular file that can be read
	FileSecret                     // the same, closed to group and others and owned by root or the daemon's user
	FileFolder                     // a folder
)

// ErrNotFolder says that there is something other than a folder.
var ErrNotFolder = errors.New("not a folder")

// CheckFiles looks at the files that must be there before a daemon starts, and returns what is wrong with them in the
// order of the configuration. How to look is look's business; [Look] looks on this host.
func (c *Config) CheckFiles(look func(path string, kind FileKind) error) Faults {
	var faults Faults
	// A copy with values of its own: the list of keys sets as it reads.
	again := &Config{}
	r := reader{doc: &c.doc, good: map[string]bool{}}
	for _, s := range sections(again) {
		r.readSection(s)
		for _, k := range s.keys {
			if k.file == 0 || !r.good[s.name+"."+k.name] {
				continue
			}
			for _, path := range k.value.paths() {
				if err := look(path, k.file); err != nil {
					faults = append(faults, c.fileFault(s.name, k.name, path, err))
				}
			}
		}
	}
	faults = append(faults, c.checkPluginFiles(look)...)
	faults = append(faults, c.checkEnvironmentFiles(look)...)
	faults.Sort()
	return faults
}

// Fault is a fault of what a key of a section names, at the place of the key in the file.
func (c *Config) Fault(section, key, what, write string) Fault {
	return c.doc.fault(section, key, what, write)
}

func (c *Config) fileFault(section, key, path string, err error) Fault {
	what := fmt.Sprintf("%s.%s: %v", section, key, err)
	switch {
	case errors.Is(err, secret.ErrMode):
		return c.doc.fault(section, key, what, "its mode: chmod 0600 "+path)
	case errors.Is(err, secret.ErrOwner):
		return c.doc.fault(section, key, what, "its owner: chown root "+path+", or the user of the daemon")
	case errors.Is(err, ErrNotFolder):
		return c.doc.fault(section, key, what, "the path of a folder")
	default:
		return c.doc.fault(section, key, what, "the path of what is there and can be read")
	}
}

// Look judges a file of this host. It sees with the rights of its own user: root, who cannot know the user of the
// daemon, is told nothing of the owner of a secret; the daemon judges that when it starts.
func Look(path string, kind FileKind) error {
	if kind == FileSecret {
		err := secret.Check(path)
		if errors.Is(err, secret.ErrOwner) && os.Geteuid() == 0 {
			return nil
		}
		return err
	}
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe without a writer does not hold us up
	if err != nil {
		return err
	}
	defer file.Close() // it was only looked at
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if kind == FileFolder {
		if !info.IsDir() {
			return &fs.PathError{Op: "open", Path: path, Err: ErrNotFolder}
		}
		return nil
	}
	if !info.Mode().IsRegular() {
		return &fs.PathError{Op: "open", Path: path, Err: secret.ErrNotRegular}
	}
	return nil
}
