package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
)

// change replaces some bytes of a file.
type change struct {
	file     string // from the root of the module, with slashes
	line     int
	from, to int // offsets
	text     string
	what     string // for a human
}

// apply returns the changed text.
func (c change) apply(text []byte) []byte {
	out := append([]byte{}, text[:c.from]...)
	out = append(out, c.text...)
	out = append(out, text[c.to:]...)
	if strings.Contains(c.text, zeroName) {
		out = append(out, zeroFunc...)
	}
	return out
}

// zeroFunc makes the zero value of an expression whose type only the compiler knows.
const (
	zeroName = "zeroOfMutation"
	zeroFunc = "\nfunc zeroOfMutation[T any](T) (zero T) { return }\n"
)

func short(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > 70 {
		s = s[:67] + "…"
	}
	return s
}

// goChanges finds what can be changed under the cited lines of a Go file.
func goChanges(name string, text []byte, cited []int) ([]change, error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	f := &finder{name: name, text: text, fset: fset, file: file, seen: map[change]bool{}}
	for _, line := range cited {
		node := f.governed(line)
		if node == nil {
			continue
		}
		f.collect(node)
		if e, ok := node.(ast.Expr); ok {
			f.element(e) // of a list; elsewhere it does not compile
		}
	}
	return f.found, nil
}

// finder collects the changes of one file.
type finder struct {
	name  string
	text  []byte
	fset  *token.FileSet
	file  *ast.File
	found []change
	seen  map[change]bool
}

func (f *finder) line(p token.Pos) int   { return f.fset.Position(p).Line }
func (f *finder) offset(p token.Pos) int { return f.fset.Position(p).Offset }

func (f *finder) source(n ast.Node) string {
	return string(f.text[f.offset(n.Pos()):f.offset(n.End())])
}

// governed is the outermost declaration, statement or element that a cited line speaks of: the one that begins on that
// line, when the citation ends it, or just below its comment.
func (f *finder) governed(cited int) ast.Node {
	below := cited
	for _, group := range f.file.Comments {
		if f.line(group.Pos()) <= cited && cited <= f.line(group.End()) {
			below = f.line(group.End()) + 1
		}
	}
	if node := f.begins(cited); node != nil {
		return node
	}
	return f.begins(below)
}

// begins is the outermost node that begins on a line, its comment not counted.
func (f *finder) begins(line int) (found ast.Node) {
	ast.Inspect(f.file, func(n ast.Node) bool {
		if n == nil || found != nil {
			return false
		}
		at := n.Pos()
		switch n := n.(type) {
		case *ast.Comment, *ast.CommentGroup:
			return false
		case *ast.File:
			return true
		case *ast.Ident:
			return false
		case *ast.FuncDecl:
			at = n.Type.Func
		case *ast.GenDecl:
			at = n.TokPos
		}
		if f.line(at) == line {
			found = n
			return false
		}
		return true
	})
	return found
}

func (f *finder) add(from, to token.Pos, text, what string) {
	c := change{file: f.name, line: f.line(from), from: f.offset(from), to: f.offset(to), text: text, what: short(what)}
	if !f.seen[c] {
		f.seen[c] = true
		f.found = append(f.found, c)
	}
}

func (f *finder) drop(n ast.Node) { f.add(n.Pos(), n.End(), "", "drop "+f.source(n)) }

func (f *finder) zero(n ast.Expr) {
	if id, ok := n.(*ast.Ident); ok && (id.Name == "nil" || id.Name == "err" || id.Name == "ctx" || id.Name == "_") {
		return
	}
	if _, isFunc := n.(*ast.FuncLit); isFunc {
		return
	}
	f.add(n.Pos(), n.End(), zeroName+"("+f.source(n)+")", "zero value for "+f.source(n))
}

// collect adds the changes of a node and of all that it holds.
func (f *finder) collect(root ast.Node) {
	ast.Inspect(root, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			f.leaveEarly(n)
		case *ast.StructType, *ast.InterfaceType, *ast.ImportSpec, *ast.CommentGroup:
			return false
		case ast.Stmt:
			f.statement(n)
		case ast.Expr:
			f.expression(n)
		}
		return true
	})
}

// leaveEarly makes a function return zero values at once. Its doc comment is cited: the whole of it obeys.
func (f *finder) leaveEarly(n *ast.FuncDecl) {
	if n.Body == nil {
		return
	}
	var zeros []string
	for _, field := range fields(n.Type.Results) {
		if len(field.Names) > 0 {
			zeros = nil
			break // named results: a bare return does
		}
		zeros = append(zeros, "*new("+f.source(field.Type)+")")
	}
	text := "{ if true { return " + strings.Join(zeros, ", ") + " }; "
	f.add(n.Body.Lbrace, n.Body.Lbrace+1, text, "leave "+n.Name.Name+" at once")
}

func fields(l *ast.FieldList) []*ast.Field {
	if l == nil {
		return nil
	}
	return l.List
}

func (f *finder) statement(n ast.Stmt) {
	switch n := n.(type) {
	case *ast.IfStmt:
		f.add(n.Cond.Pos(), n.Cond.End(), "!("+f.source(n.Cond)+")", "negate "+f.source(n.Cond))
	case *ast.ExprStmt, *ast.IncDecStmt, *ast.SendStmt, *ast.DeferStmt:
		f.drop(n)
	case *ast.BranchStmt:
		if n.Tok == token.CONTINUE || n.Tok == token.BREAK {
			f.drop(n)
		}
	case *ast.AssignStmt:
		f.assignment(n)
	case *ast.ReturnStmt:
		for _, result := range n.Results {
			f.zero(result)
		}
	}
}

// assignment drops one, or sets a zero value where a variable is made.
func (f *finder) assignment(n *ast.AssignStmt) {
	if n.Tok != token.DEFINE {
		f.drop(n)
		return
	}
	if len(n.Rhs) == len(n.Lhs) {
		for _, value := range n.Rhs {
			f.zero(value)
		}
	}
}

// opposites are the operators that mean something else.
func opposite(op token.Token) token.Token {
	return map[token.Token]token.Token{
		token.EQL: token.NEQ, token.NEQ: token.EQL, token.LSS: token.GEQ, token.GEQ: token.LSS, token.GTR: token.LEQ,
		token.LEQ: token.GTR, token.LAND: token.LOR, token.LOR: token.LAND, token.ADD: token.SUB, token.SUB: token.ADD,
	}[op]
}

func (f *finder) expression(n ast.Expr) {
	switch n := n.(type) {
	case *ast.BinaryExpr:
		if to := opposite(n.Op); to != 0 {
			f.add(n.OpPos, n.OpPos+token.Pos(len(n.Op.String())), to.String(), fmt.Sprintf("%s for %s in %s", to, n.Op, f.source(n)))
		}
	case *ast.BasicLit:
		f.literal(n)
	case *ast.Ident:
		if flip := map[string]string{"true": "false", "false": "true"}[n.Name]; flip != "" {
			f.add(n.Pos(), n.End(), flip, flip+" for "+n.Name)
		}
	case *ast.KeyValueExpr:
		f.zero(n.Value)
	case *ast.CallExpr:
		for _, argument := range n.Args {
			f.zero(argument)
		}
	case *ast.CompositeLit:
		for _, element := range n.Elts {
			f.element(element)
		}
	}
}

func (f *finder) literal(n *ast.BasicLit) {
	switch n.Kind {
	case token.STRING:
		if len(n.Value) > 2 {
			f.add(n.Pos(), n.End(), `""`, "an empty string for "+n.Value)
		}
	case token.INT:
		f.add(n.Pos(), n.End(), "("+n.Value+" + 1)", n.Value+" + 1 for "+n.Value)
	}
}

// element drops one element of a list, with its comma.
func (f *finder) element(n ast.Expr) {
	end := f.offset(n.End())
	for end < len(f.text) && strings.IndexByte(" \t\r\n", f.text[end]) >= 0 {
		end++
	}
	if end < len(f.text) && f.text[end] == ',' {
		f.add(n.Pos(), n.End()+token.Pos(end-f.offset(n.End())+1), "", "drop "+f.source(n))
		return
	}
	f.drop(n)
}
