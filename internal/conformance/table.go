package conformance

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// TablePath is the place of the table, from the root of the module, with slashes.
const TablePath = "docs/conformance.tsv"

// Header is the first line of the table.
const Header = "id\tlevel\tcomponent\twhat\tissue\tstatus\tcode\ttests\tnote"

// Status says how far a row is obeyed.
type Status string

// The values of Status, as written in the table.
const (
	// Open is a row that nothing obeys yet.
	Open Status = "open"
	// Partly is a row of which the note says what is missing.
	Partly Status = "partly"
	// Done is a row with code that cites it and a test that ran and passed.
	Done Status = "done"
	// NotApplicable is a row that cannot be ours; the note says why.
	NotApplicable Status = "n/a"
)

// Row is one requirement.
type Row struct {
	// ID is C and three digits.
	ID string
	// Level is the force of the rule: MUST, DESC, LAW, observed and so on.
	Level string
	// Component names who must obey: access, incoming or delivery point, and so on.
	Component string
	// What is the requirement in our words.
	What string
	// Issue is the number of the issue that owns the row, or "later".
	Issue string
	// Status is how far we are.
	Status Status
	// Code holds slash-separated paths from the root of the module.
	Code []string
	// Tests holds names as package.TestName, the package being a path from the
	// root of the module.
	Tests []string
	// Note gives the reason of a row that is partly done or not applicable.
	Note string
}

// Table is the whole table, in the order of the file.
type Table struct {
	Rows []Row
}

// Root returns the folder of go.mod at or above dir.
func Root(dir string) (string, error) {
	for at := dir; ; at = filepath.Dir(at) {
		if _, err := os.Stat(filepath.Join(at, "go.mod")); err == nil {
			return at, nil
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("conformance: no go.mod at or above %s", dir)
		}
	}
}

// Load reads the table of the module whose root is given.
func Load(root string) (*Table, error) {
	data, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(TablePath)))
	if err != nil {
		return nil, err
	}
	return Parse(data)
}

// Parse reads a table. Errors name the line.
func Parse(data []byte) (*Table, error) {
	lines := bufio.NewScanner(bytes.NewReader(data))
	table := &Table{}
	for n := 1; lines.Scan(); n++ {
		if n == 1 {
			if lines.Text() != Header {
				return nil, fmt.Errorf("%s:1: the first line is not %q", TablePath, Header)
			}
			continue
		}
		row, err := parseRow(lines.Text())
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", TablePath, n, err)
		}
		table.Rows = append(table.Rows, row)
	}
	return table, lines.Err()
}

func parseRow(line string) (Row, error) {
	field := strings.Split(line, "\t")
	if want := strings.Count(Header, "\t") + 1; len(field) != want {
		return Row{}, fmt.Errorf("%d columns, want %d", len(field), want)
	}
	return Row{
		ID: field[0], Level: field[1], Component: field[2], What: field[3], Issue: field[4],
		Status: Status(field[5]), Code: strings.Fields(field[6]), Tests: strings.Fields(field[7]), Note: field[8],
	}, nil
}

// Bytes writes the table as the file holds it.
func (t *Table) Bytes() []byte {
	var out bytes.Buffer
	out.WriteString(Header + "\n")
	for _, r := range t.Rows {
		fields := []string{r.ID, r.Level, r.Component, r.What, r.Issue, string(r.Status),
			strings.Join(r.Code, " "), strings.Join(r.Tests, " "), r.Note}
		out.WriteString(strings.Join(fields, "\t") + "\n")
	}
	return out.Bytes()
}

// Row returns the row of an id, or nil; it stays owned by the table.
func (t *Table) Row(id string) *Row {
	for i := range t.Rows {
		if t.Rows[i].ID == id {
			return &t.Rows[i]
		}
	}
	return nil
}
