package style

import (
	"fmt"
	"go/ast"
	"go/token"
	"strings"
)

// mutableState: variables of a package are errors, compiled expressions, tables
// and guards; nothing assigns to them.
func mutableState(t *tree) []string {
	var faults []string
	names := map[string]map[string]bool{}
	for _, f := range t.product() {
		for _, spec := range packageVars(f) {
			if names[f.dir()] == nil {
				names[f.dir()] = map[string]bool{}
			}
			for _, name := range spec.Names {
				names[f.dir()][name.Name] = name.Name != "_"
			}
			if why := mutable(spec); why != "" {
				faults = append(faults, fmt.Sprintf("%s: the variable %s is %s; no mutable state in a package.",
					t.at(spec), spec.Names[0].Name, why))
			}
		}
	}
	for _, f := range t.product() {
		faults = append(faults, assignments(t, f, names[f.dir()])...)
	}
	return faults
}

// packageVars returns the declarations of variables of a file, but embedded files.
func packageVars(f *file) []*ast.ValueSpec {
	var specs []*ast.ValueSpec
	for _, decl := range f.syntax.Decls {
		group, ok := decl.(*ast.GenDecl)
		if !ok || group.Tok != token.VAR {
			continue
		}
		for _, spec := range group.Specs {
			value := spec.(*ast.ValueSpec)
			if !embeds(group.Doc) && !embeds(value.Doc) {
				specs = append(specs, value)
			}
		}
	}
	return specs
}

func embeds(doc *ast.CommentGroup) bool {
	if doc == nil {
		return false
	}
	for _, c := range doc.List {
		if strings.HasPrefix(c.Text, "//go:embed ") {
			return true
		}
	}
	return false
}

// mutable says why a declaration is meant to change, or nothing.
func mutable(spec *ast.ValueSpec) string {
	if len(spec.Values) == 0 {
		return "without a value"
	}
	if spec.Names[0].Name == "_" {
		return ""
	}
	for _, value := range spec.Values {
		switch v := value.(type) {
		case *ast.BasicLit:
			return "a constant in disguise"
		case *ast.UnaryExpr:
			if v.Op == token.AND {
				return "a pointer"
			}
		case *ast.CompositeLit:
			if sel, ok := v.Type.(*ast.SelectorExpr); ok && isIdent(sel.X, "sync", "atomic") {
				return "a lock or counter"
			}
		case *ast.CallExpr:
			if isIdent(v.Fun, "make", "new") {
				return "empty and made to be filled"
			}
		}
	}
	return ""
}

func isIdent(e ast.Expr, names ...string) bool {
	id, ok := e.(*ast.Ident)
	for _, name := range names {
		if ok && id.Name == name {
			return true
		}
	}
	return false
}

// assignments finds statements that change a variable of the package.
func assignments(t *tree, f *file, vars map[string]bool) []string {
	var faults []string
	check := func(target ast.Expr) {
		id := root(target)
		if id == nil || !vars[id.Name] || shadowed(id) {
			return
		}
		faults = append(faults, fmt.Sprintf("%s: %s, a variable of the package, is changed.", t.at(target), id.Name))
	}
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		switch s := n.(type) {
		case *ast.AssignStmt:
			for _, target := range s.Lhs {
				if s.Tok != token.DEFINE {
					check(target)
				}
			}
		case *ast.IncDecStmt:
			check(s.X)
		}
		return true
	})
	return faults
}

// root is the variable that an assignment to a field or element changes.
func root(e ast.Expr) *ast.Ident {
	switch x := e.(type) {
	case *ast.Ident:
		return x
	case *ast.SelectorExpr:
		return root(x.X)
	case *ast.IndexExpr:
		return root(x.X)
	case *ast.StarExpr:
		return root(x.X)
	}
	return nil
}

// shadowed says whether the name stands for something declared in a function.
func shadowed(id *ast.Ident) bool {
	if id.Obj == nil {
		return false // declared in another file of the package
	}
	spec, ok := id.Obj.Decl.(*ast.ValueSpec)
	return !ok || id.Obj.Kind != ast.Var || !strings.Contains("|"+topLevel(spec)+"|", "|"+id.Name+"|")
}

func topLevel(spec *ast.ValueSpec) string {
	var names []string
	for _, n := range spec.Names {
		names = append(names, n.Name)
	}
	return strings.Join(names, "|")
}
