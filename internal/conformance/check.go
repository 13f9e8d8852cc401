package conformance

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Check compares table, tree and coverage, and returns one sentence for each
// fault, none when all agree. A nil coverage stands for tests that were not run:
// what depends on them is not judged.
func Check(root string, table *Table, citations Citations, coverage Coverage) []string {
	c := checker{root: root, table: table, citations: citations, coverage: coverage, sources: map[string]string{}}
	c.unknownIDs()
	seen := map[string]bool{}
	for _, row := range table.Rows {
		if seen[row.ID] {
			c.fault("%s stands in the table twice.", row.ID)
		}
		seen[row.ID] = true
		c.row(row)
	}
	return c.faults
}

type checker struct {
	root      string
	table     *Table
	citations Citations
	coverage  Coverage
	sources   map[string]string // of the tests of a package, by its folder
	faults    []string
}

func (c *checker) fault(format string, args ...any) {
	c.faults = append(c.faults, TablePath+": "+fmt.Sprintf(format, args...))
}

func (c *checker) unknownIDs() {
	for _, id := range slices.Sorted(maps.Keys(c.citations)) {
		if c.table.Row(id) == nil {
			c.fault("%s, cited in %s, is not in the table.", id, c.citations[id][0])
		}
	}
	for _, id := range slices.Sorted(maps.Keys(c.coverage)) {
		if c.table.Row(id) == nil {
			test := slices.Sorted(maps.Keys(c.coverage[id]))[0]
			c.fault("%s, covered by %s, is not in the table.", id, test)
		}
	}
}

func (c *checker) row(row Row) {
	if row.What == "" || row.Level == "" || row.Component == "" || row.Issue == "" {
		c.fault("%s does not say what is asked, of whom, how firmly and in which issue.", row.ID)
	}
	c.status(row)
	for _, path := range row.Code {
		if _, err := os.Stat(filepath.Join(c.root, filepath.FromSlash(path))); err != nil {
			c.fault("%s names %s, which does not exist.", row.ID, path)
		}
	}
	for _, test := range row.Tests {
		if !c.declared(test) {
			c.fault("%s names the test %s, which does not exist.", row.ID, test)
		}
	}
	if c.coverage != nil {
		c.tests(row)
	}
}

// declared says whether a test stands in the source, so that one that was renamed is found without running any.
func (c *checker) declared(test string) bool {
	dot := strings.LastIndexByte(test, '.')
	if dot < 0 {
		return false
	}
	dir := test[:dot]
	text, read := c.sources[dir]
	if !read {
		files, _ := filepath.Glob(filepath.Join(c.root, filepath.FromSlash(dir), "*_test.go")) // the pattern is well formed
		for _, file := range files {
			data, _ := os.ReadFile(file) // what cannot be read declares nothing
			text += string(data)
		}
		c.sources[dir] = text
	}
	name, _, _ := strings.Cut(test[dot+1:], "/") // a subtest is its parent's
	return strings.Contains(text, "\nfunc "+name+"(")
}

func (c *checker) status(row Row) {
	switch row.Status {
	case Open:
	case Partly, NotApplicable:
		if row.Note == "" {
			c.fault("%s is %s without a note that says why.", row.ID, row.Status)
		}
	case Done:
		if len(row.Code) == 0 {
			c.fault("%s is done, but names no code.", row.ID)
		}
		if len(row.Tests) == 0 {
			c.fault("%s is done, but names no test.", row.ID)
		}
		if len(c.citations.Code(row.ID)) == 0 {
			c.fault("%s is done, but no code cites it.", row.ID)
		}
	default:
		c.fault("%s has the unknown status %q.", row.ID, row.Status)
	}
}

// tests holds a row against what ran: a named test that did not is a lie in any
// row, one that did not pass only in a row that is done.
func (c *checker) tests(row Row) {
	ran := c.coverage[row.ID]
	passed := 0
	for _, test := range row.Tests {
		result, did := ran[test]
		switch {
		case !did:
			c.fault("%s names the test %s, which did not run for it.", row.ID, test)
		case result == Passed:
			passed++
		case row.Status == Done:
			c.fault("%s is done, but its test %s %s.", row.ID, test, past(result))
		}
	}
	if row.Status == Done && len(row.Tests) > 0 && passed == 0 {
		c.fault("%s is done, but none of its tests ran and passed.", row.ID)
	}
}

func past(r Result) string {
	if r == Skipped {
		return "was skipped"
	}
	return string(r)
}
