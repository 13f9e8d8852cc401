package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Fault is one thing that is wrong in a file and what to write instead. Line and Column begin at 1 and count bytes.
type Fault struct {
	File         string
	Line, Column int
	What         string // a sentence without its full stop
	Write        string // what to write, after the word "write"
}

// String is the fault on one line: FILE:LINE:COL: what; write ….
func (f Fault) String() string {
	return fmt.Sprintf("%s:%d:%d: %s; write %s", f.File, f.Line, f.Column, oneLine(f.What), oneLine(f.Write))
}

// oneLine keeps what a file holds from breaking a line or steering a terminal.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if control(r) {
			return ' '
		}
		return r
	}, s)
}

// Faults are all that is wrong in a file, in the order of the file.
type Faults []Fault

// Error has a line for each fault.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, fault := range f {
		lines[i] = fault.String()
	}
	return strings.Join(lines, "\n")
}

// Sort puts f in the order of the file.
func (f Faults) Sort() {
	slices.SortStableFunc(f, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.What, b.What))
	})
}
