package style

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// use is a mention of a name of another package, as in time.Now.
type use struct {
	name string
	node ast.Node
}

// selectors returns the uses of the package with this import path in a file.
func selectors(f *file, importPath string) []use {
	local := ""
	for _, spec := range f.syntax.Imports {
		if p, err := strconv.Unquote(spec.Path.Value); err == nil && p == importPath {
			local = path.Base(p)
			if spec.Name != nil {
				local = spec.Name.Name
			}
		}
	}
	var uses []use
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok && local != "" {
			if id, ok := sel.X.(*ast.Ident); ok && id.Name == local && id.Obj == nil {
				uses = append(uses, use{sel.Sel.Name, sel})
			}
		}
		return true
	})
	return uses
}

// clockOnly: time is read and waited for in internal/clock, so that tests can
// hand in a time of their own.
func clockOnly(t *tree) []string {
	real := []string{"Now", "Sleep", "After", "AfterFunc", "Since", "Until", "Tick", "NewTicker", "NewTimer"}
	var faults []string
	for _, f := range t.product() {
		if f.dir() == "internal/clock" {
			continue
		}
		for _, u := range selectors(f, "time") {
			if slices.Contains(real, u.name) {
				faults = append(faults, fmt.Sprintf("%s: time.%s belongs to internal/clock.", t.at(u.node), u.name))
			}
		}
	}
	return faults
}

var wireWord = regexp.MustCompile(`(?i)posta[- _]?cert|accettazione|consegna|errore|\bmittente|destinatari|in[- ]carico|` +
	`ricevuta|trasporto|riferimento|rilevazione|preavviso|identificativo|\boggetto\b|gestore|ricezione|intestazione|` +
	`risposte|daticert|sintetica|\bcompleta\b|\bbreve\b|verificasicurezza|certificato|\besterno\b|rifiuto|casella|messaggio|indirizzo`)

// exampleAddress is what documents show; a name in it is nobody's word.
var exampleAddress = regexp.MustCompile(`[\w.-]+@[\w.-]+\.example\b`)

// italianFiles hold the words of the wire and the texts of pec for people.
var italianFiles = []string{"pec/wire.go", "pec/reasons.go", "pec/texts/texts.go"}

// italian: the words of the wire stand in one file of package pec, so that a
// reader of English finds them all explained there.
func italian(t *tree) []string {
	var faults []string
	for _, f := range t.product() {
		if slices.Contains(italianFiles, f.path) {
			continue
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			literal, ok := n.(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING {
				return true
			}
			if word := wireWord.FindString(exampleAddress.ReplaceAllString(literal.Value, "")); word != "" {
				faults = append(faults, fmt.Sprintf("%s: the Italian word %q belongs to pec/wire.go or a text of pec.", t.at(n), word))
			}
			return true
		})
	}
	return faults
}

// noInit: dependencies are arguments; nothing happens by being imported.
func noInit(t *tree) []string {
	var faults []string
	for _, f := range t.product() {
		for _, decl := range f.syntax.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				faults = append(faults, fmt.Sprintf("%s: there is no init here.", t.at(fn)))
			}
		}
	}
	return faults
}

// durableFiles: what must survive a crash is written by internal/fsx.
func durableFiles(t *tree) []string {
	var faults []string
	for _, f := range t.product() {
		if f.dir() == "internal/fsx" {
			continue
		}
		for _, u := range selectors(f, "os") {
			if u.name == "Rename" {
				faults = append(faults, fmt.Sprintf("%s: os.Rename alone does not survive a crash; use internal/fsx.", t.at(u.node)))
			}
		}
	}
	return faults
}

var (
	machinePath = regexp.MustCompile("(?m)(?:^|[\\s\"'`=(:,])(/" + "work/|/tmp/bash" + "_jobs)")
	sharedPath  = regexp.MustCompile(`\.\./` + `shared\b`)
	todo        = regexp.MustCompile(`\b(?:TODO|FIXME|XXX)\b(?:\(#\d+\):)?`)
)

// places: a clean clone is all there is.
func places(t *tree) []string {
	var faults []string
	for _, f := range t.files {
		for n, line := range strings.Split(string(f.data), "\n") {
			if machinePath.MatchString(line) {
				faults = append(faults, fmt.Sprintf("%s:%d: a path of somebody's machine.", f.path, n+1))
			}
			if sharedPath.MatchString(line) {
				faults = append(faults, fmt.Sprintf("%s:%d: nothing outside the tree may be read.", f.path, n+1))
			}
		}
	}
	return faults
}

// todos carry the number of their issue.
func todos(t *tree) []string {
	var faults []string
	for _, f := range t.files {
		if !f.isGo() || f.generated {
			continue
		}
		for _, group := range f.syntax.Comments {
			for _, c := range group.List {
				if found := todo.FindString(c.Text); found != "" && !strings.Contains(found, "#") {
					faults = append(faults, fmt.Sprintf("%s: write TODO(#issue): or nothing.", t.at(c)))
				}
			}
		}
	}
	return faults
}
