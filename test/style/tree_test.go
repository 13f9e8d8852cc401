package style

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ceralacca/ceralacca/internal/conformance"
)

const module = "github.com/ceralacca/ceralacca"

// file is one text of the tree; syntax is nil when it is not Go.
type file struct {
	path      string // slash-separated, from the root
	data      []byte
	syntax    *ast.File
	generated bool
}

// tree is all of the module that we wrote.
type tree struct {
	root  string
	fset  *token.FileSet
	files []*file
}

func (f *file) dir() string { return path.Dir(f.path) }
func (f *file) isGo() bool  { return f.syntax != nil }

// isTest tells code that only tests run: test files, the packages that serve
// them (…test, test/…, the lab), and the tools of the build.
func (f *file) isTest() bool {
	return strings.HasSuffix(f.path, "_test.go") || isTestPackage(f.dir())
}

func isTestPackage(dir string) bool {
	for _, under := range []string{"test", "deploy/lab", "tools", "internal/conformance"} {
		if within(dir, under) {
			return true
		}
	}
	return strings.HasSuffix(dir, "test")
}

// within says whether dir is under or below it.
func within(dir, under string) bool {
	return dir == under || strings.HasPrefix(dir, under+"/")
}

// product returns the Go files that end up in what we ship.
func (t *tree) product() []*file {
	var files []*file
	for _, f := range t.files {
		if f.isGo() && !f.isTest() && !f.generated {
			files = append(files, f)
		}
	}
	return files
}

// at is the place of a node, as path:line.
func (t *tree) at(n ast.Node) string {
	p := t.fset.Position(n.Pos())
	return fmt.Sprintf("%s:%d", p.Filename, p.Line)
}

func loadTree(root string) (*tree, error) {
	t := &tree{root: root, fset: token.NewFileSet()}
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if entry.IsDir() {
			return enter(rel)
		}
		if !entry.Type().IsRegular() || rel == ".git" {
			return nil // in a worktree .git is a file
		}
		return t.add(name, rel)
	})
	return t, err
}

func enter(rel string) error {
	base := path.Base(rel)
	hidden := strings.HasPrefix(base, ".") && rel != "." && rel != ".ci"
	if hidden || rel == "bin" || base == "testdata" {
		return fs.SkipDir
	}
	return nil
}

func (t *tree) add(name, rel string) error {
	data, err := os.ReadFile(name)
	if err != nil || bytes.IndexByte(data, 0) >= 0 {
		return err
	}
	f := &file{path: rel, data: data}
	if strings.HasSuffix(rel, ".go") {
		f.syntax, err = parser.ParseFile(t.fset, rel, data, parser.ParseComments)
		if err != nil {
			return err
		}
		f.generated = ast.IsGenerated(f.syntax)
	}
	t.files = append(t.files, f)
	return nil
}

// rules are all rules, by the name of their subtest.
var rules = map[string]func(*tree) []string{
	"layers":        layers,
	"neighbours":    neighbours,
	"sdk":           sdk,
	"test packages": testPackages,
	"libraries":     libraries,
	"keys":          keys,
	"dependencies":  dependencies,
	"sizes":         sizes,
	"package docs":  packageDocs,
	"exported docs": exportedDocs,
	"corpora":       corpora,
	"clock":         clockOnly,
	"italian":       italian,
	"mutable state": mutableState,
	"init":          noInit,
	"durable files": durableFiles,
	"places":        places,
	"todo":          todos,
	"glossary":      glossary,
}

func TestTree(t *testing.T) {
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	root, err := conformance.Root(dir)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := loadTree(root)
	if err != nil {
		t.Fatal(err)
	}
	for name, rule := range rules {
		t.Run(name, func(t *testing.T) {
			for _, fault := range rule(whole) {
				t.Error(fault)
			}
		})
	}
}
