package style

import (
	"fmt"
	"regexp"
	"strings"
)

// listed is the first column of a table: a library in back-quotes.
var listed = regexp.MustCompile("(?m)^\\| `([^`]+)` \\|")

// dependencies: each library that something imports has its line, and each line
// its library. Modules of tools have a go.mod of their own.
func dependencies(t *tree) []string {
	var faults []string
	required := t.required()
	documented := map[string]bool{}
	for _, match := range listed.FindAllStringSubmatch(t.text("docs/dependencies.md"), -1) {
		documented[match[1]] = true
		if !required[match[1]] {
			faults = append(faults, fmt.Sprintf("docs/dependencies.md: no go.mod asks for %s.", match[1]))
		}
	}
	missing := map[string]bool{}
	for _, f := range t.files {
		if !f.isGo() {
			continue
		}
		for _, path := range f.imports() {
			if lib := providing(path, required); foreign(path) && !documented[lib] && !missing[lib] {
				missing[lib] = true
				faults = append(faults, fmt.Sprintf("docs/dependencies.md: no line for %s, which %s imports.", lib, f.path))
			}
		}
	}
	return append(faults, t.replaced()...)
}

// required are the modules that the go.mod files of the tree name.
func (t *tree) required() map[string]bool {
	names := map[string]bool{}
	for _, f := range t.files {
		if !strings.HasSuffix("/"+f.path, "/go.mod") {
			continue
		}
		for line := range strings.Lines(string(f.data)) {
			field := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require "))
			if len(field) > 1 && strings.HasPrefix(field[1], "v") {
				names[field[0]] = true
			}
		}
	}
	return names
}

// replaced: what is built is what go.mod names.
func (t *tree) replaced() []string {
	var faults []string
	for _, f := range t.files {
		if !strings.HasSuffix("/"+f.path, "/go.mod") {
			continue
		}
		for line := range strings.Lines(string(f.data)) {
			if strings.HasPrefix(strings.TrimSpace(line), "replace") {
				faults = append(faults, fmt.Sprintf("%s: there is no replace here.", f.path))
			}
		}
	}
	return faults
}

// providing finds the module of a package, the package itself when none is named.
func providing(pkg string, modules map[string]bool) string {
	for at := pkg; at != ""; at = at[:max(strings.LastIndex(at, "/"), 0)] {
		if modules[at] {
			return at
		}
	}
	return pkg
}

func (t *tree) text(name string) string {
	for _, f := range t.files {
		if f.path == name {
			return string(f.data)
		}
	}
	return ""
}
