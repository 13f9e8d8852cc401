package lab

import (
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/ceralacca/ceralacca/deploy/dovecot"
	"github.com/ceralacca/ceralacca/deploy/postfix"
)

//go:embed base
var base embed.FS

// part is one file of a configuration; a target made of several is their sequence.
type part struct {
	files fs.FS
	name  string
}

func ofBase(name string) part    { return part{base, "base/" + name} }
func ofPostfix(name string) part { return part{postfix.Files, name} }
func ofDovecot(name string) part { return part{dovecot.Files, name} }

// write renders the parts one after the other into a file that everybody may read:
// configuration here names secrets and holds none.
func write(target string, v values, parts ...part) error {
	var all string
	for _, p := range parts {
		raw, err := fs.ReadFile(p.files, p.name)
		if err != nil {
			return err
		}
		text, err := v.render(string(raw))
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		all += text
	}
	return os.WriteFile(target, []byte(all), 0o644)
}

// writeMaps renders lookup tables of deploy/postfix into a folder.
func writeMaps(folder string, v values, names ...string) error {
	for _, n := range names {
		if err := write(filepath.Join(folder, path.Base(n)), v, ofPostfix(n)); err != nil {
			return err
		}
	}
	return nil
}

// writeSecret writes a file that its owner alone may read.
func writeSecret(name string, data []byte, owner int) error {
	if err := os.WriteFile(name, data, 0o600); err != nil {
		return err
	}
	return os.Chown(name, owner, -1)
}

// folders makes folders that everybody may enter.
func folders(names ...string) error {
	for _, n := range names {
		if err := os.MkdirAll(n, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// ownedFolder makes a folder of a user and a group.
func ownedFolder(name string, mode fs.FileMode, uid, gid int) error {
	if err := os.MkdirAll(name, mode); err != nil {
		return err
	}
	if err := os.Chown(name, uid, gid); err != nil {
		return err
	}
	return os.Chmod(name, mode)
}
