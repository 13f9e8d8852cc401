package style

import (
	"bytes"
	"fmt"
	"go/ast"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

// Limits of shape: lines of a function and of a file, parameters of a function.
const (
	maxFunction   = 60
	maxFile       = 400
	maxParameters = 5
)

func sizes(t *tree) []string {
	var faults []string
	for _, f := range t.files {
		if !f.isGo() || f.generated || strings.HasSuffix(f.path, "_test.go") {
			continue
		}
		if lines := bytes.Count(f.data, []byte("\n")); lines > maxFile {
			faults = append(faults, fmt.Sprintf("%s: %d lines, at most %d.", f.path, lines, maxFile))
		}
		for _, decl := range f.syntax.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok {
				faults = append(faults, functionSizes(t, fn)...)
			}
		}
	}
	return faults
}

func functionSizes(t *tree, fn *ast.FuncDecl) []string {
	var faults []string
	lines := t.fset.Position(fn.End()).Line - t.fset.Position(fn.Pos()).Line + 1
	if lines > maxFunction {
		faults = append(faults, fmt.Sprintf("%s: %s has %d lines, at most %d.", t.at(fn), fn.Name.Name, lines, maxFunction))
	}
	if n := fn.Type.Params.NumFields(); n > maxParameters {
		faults = append(faults, fmt.Sprintf("%s: %s has %d parameters, at most %d.", t.at(fn), fn.Name.Name, n, maxParameters))
	}
	return faults
}

var negation = regexp.MustCompile(`(?i)\b(?:not|no|never|nothing|neither|nor|none|without)\b`)

// packageDocs: a package says what it does not do.
func packageDocs(t *tree) []string {
	docs, seen := map[string]string{}, map[string]bool{}
	for _, f := range t.files {
		if !f.isGo() || strings.HasSuffix(f.path, "_test.go") {
			continue
		}
		seen[f.dir()] = true
		docs[f.dir()] += f.syntax.Doc.Text()
	}
	var faults []string
	for dir := range seen {
		switch {
		case docs[dir] == "":
			faults = append(faults, fmt.Sprintf("%s: the package has no comment.", dir))
		case !negation.MatchString(docs[dir]):
			faults = append(faults, fmt.Sprintf("%s: the comment of the package does not say what it does not do.", dir))
		}
	}
	return faults
}

// corpora: what fuzzing once found is in the tree, and every run of the tests tries it again.
func corpora(t *tree) []string {
	var faults []string
	for _, f := range t.files {
		if !f.isGo() || !strings.HasSuffix(f.path, "_test.go") {
			continue
		}
		for _, decl := range f.syntax.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || fn.Recv != nil || !strings.HasPrefix(fn.Name.Name, "Fuzz") {
				continue
			}
			dir := path.Join(f.dir(), "testdata/fuzz", fn.Name.Name)
			if inputs, err := os.ReadDir(filepath.Join(t.root, filepath.FromSlash(dir))); err != nil || len(inputs) == 0 {
				faults = append(faults, fmt.Sprintf("%s: %s has no corpus in %s.", t.at(fn), fn.Name.Name, dir))
			}
		}
	}
	return faults
}

// exportedDocs: what is exported is explained in whole sentences.
func exportedDocs(t *tree) []string {
	var faults []string
	complain := func(n ast.Node, name string) {
		faults = append(faults, fmt.Sprintf("%s: %s has no comment that ends with a period.", t.at(n), name))
	}
	for _, f := range t.product() {
		for _, decl := range f.syntax.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() && exportedReceiver(d) && !sentence(d.Doc) {
					complain(d, d.Name.Name)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					if name := exportedName(spec); name != "" && !sentence(d.Doc) && !sentence(docOf(spec)) {
						complain(spec, name)
					}
				}
			}
		}
	}
	return faults
}

func exportedReceiver(fn *ast.FuncDecl) bool {
	if fn.Recv == nil || len(fn.Recv.List) == 0 {
		return true
	}
	of := fn.Recv.List[0].Type
	if star, ok := of.(*ast.StarExpr); ok {
		of = star.X
	}
	if generic, ok := of.(*ast.IndexExpr); ok {
		of = generic.X
	}
	id, ok := of.(*ast.Ident)
	return ok && id.IsExported()
}

func exportedName(spec ast.Spec) string {
	switch s := spec.(type) {
	case *ast.TypeSpec:
		if s.Name.IsExported() {
			return s.Name.Name
		}
	case *ast.ValueSpec:
		for _, name := range s.Names {
			if name.IsExported() {
				return name.Name
			}
		}
	}
	return ""
}

func docOf(spec ast.Spec) *ast.CommentGroup {
	switch s := spec.(type) {
	case *ast.TypeSpec:
		return s.Doc
	case *ast.ValueSpec:
		if s.Doc != nil {
			return s.Doc
		}
		return s.Comment
	}
	return nil
}

var citations = regexp.MustCompile(`(?:\s*\[C\d+[^\]]*\][.,]?)+\s*$`)

// sentence says whether a comment ends with a period; citations may follow it.
func sentence(doc *ast.CommentGroup) bool {
	if doc == nil {
		return false
	}
	text := strings.TrimSpace(citations.ReplaceAllString(doc.Text(), ""))
	return strings.HasSuffix(text, ".") || strings.HasSuffix(text, ".)") || endsWithCode(doc)
}

// endsWithCode: the last lines of the comment are an example.
func endsWithCode(doc *ast.CommentGroup) bool {
	last := doc.List[len(doc.List)-1].Text
	return strings.HasPrefix(last, "//\t")
}

var pecName = regexp.MustCompile("`pec\\.([A-Z]\\w*)`")

// glossary: the names of package pec that docs/glossary.md explains exist.
func glossary(t *tree) []string {
	names := map[string]bool{}
	for _, f := range t.product() {
		if f.dir() != "pec" {
			continue
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			switch spec := n.(type) {
			case *ast.TypeSpec:
				names[spec.Name.Name] = true
			case *ast.ValueSpec:
				for _, name := range spec.Names {
					names[name.Name] = true
				}
			}
			return true
		})
	}
	var faults []string
	for _, match := range pecName.FindAllStringSubmatch(t.text("docs/glossary.md"), -1) {
		if !names[match[1]] {
			faults = append(faults, fmt.Sprintf("docs/glossary.md: there is no pec.%s.", match[1]))
		}
	}
	return faults
}
