package scaffold

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"

	"github.com/ceralacca/ceralacca/plugins"
	"github.com/ceralacca/ceralacca/plugins/contract"
)

//go:embed files
var files embed.FS

// sdk is the folder of the new module that holds the SDK.
const sdk = "ceralacca"

// ErrName says that a name is none for a plug-in.
var ErrName = errors.New("lower case letters, digits and hyphens, beginning with a letter, at most 32")

// ErrTaken says that a name would get in the way of the Go tools: that of the folder with the SDK, or of a version.
var ErrTaken = errors.New("it gets in the way of the Go tools; take another")

var (
	nameForm = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)
	taken    = regexp.MustCompile(`^(ceralacca|v[0-9]+)$`)
)

// New writes the module of a plug-in of a kind into dir, which must not exist; the folder above it must.
func New(dir, name string, kind plugins.Kind) error {
	if !nameForm.MatchString(name) {
		return fmt.Errorf("%q is no name for a plug-in: %w", name, ErrName)
	}
	if taken.MatchString(name) {
		return fmt.Errorf("%q is no name for a plug-in: %w", name, ErrTaken)
	}
	if err := os.Mkdir(dir, 0o755); errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already, and nothing is overwritten: %w", dir, err)
	} else if err != nil {
		return err
	}
	data := struct{ Name, Kind string }{name, string(kind)}
	for target, source := range map[string]string{
		"go.mod": "go.mod.tmpl", "go.sum": "go.sum.tmpl", "main.go": string(kind) + ".go.tmpl",
		"main_test.go": string(kind) + "_test.go.tmpl", "README.md": "README.md.tmpl", "Makefile": "Makefile.tmpl", ".gitignore": "gitignore.tmpl",
		sdk + "/go.mod": "sdk.mod.tmpl", sdk + "/go.sum": "go.sum.tmpl",
	} {
		if err := render(filepath.Join(dir, target), source, data); err != nil {
			return err
		}
	}
	if err := copyCode(filepath.Join(dir, sdk, "plugins"), plugins.Source()); err != nil {
		return err
	}
	return copyCode(filepath.Join(dir, sdk, "plugins", "contract"), contract.Source())
}

func render(target, source string, data any) error {
	text, err := files.ReadFile("files/" + source)
	if err != nil {
		return err
	}
	t, err := template.New(source).Parse(string(text))
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, data); err != nil {
		return err
	}
	return write(target, b.Bytes())
}

func copyCode(dir string, code fs.FS) error {
	return fs.WalkDir(code, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasSuffix(path, "_test.go") {
			return err
		}
		data, err := fs.ReadFile(code, path)
		if err != nil {
			return err
		}
		return write(filepath.Join(dir, path), data)
	})
}

func write(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o644)
}
