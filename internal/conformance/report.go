package conformance

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// ReportPath is the place of the report without results, which is made of the table alone.
const ReportPath = "docs/conformance.html"

// Run is what a report says of the run of the tests that it is about.
type Run struct {
	// Date and Commit are texts for the reader.
	Date, Commit string
	// Coverage is what the tests said.
	Coverage Coverage
}

// NotRun is the result, in a report, of a test that a row names and that did not run.
const NotRun Result = "not run"

//go:embed report.html
var reportText string

type reportPage struct {
	Run      *Run
	Up       string // from the report to the root of the module
	Sections []reportSection
	Rows     map[string]int // by status
	Total    int
	Tests    map[string]int // by result
	Bad      []reportRow    // with a test that failed or was skipped
}

type reportSection struct {
	section
	Rows []reportRow
	Done int
}

type reportRow struct {
	Row
	Section string
	Places  []reportPlace
	Results []reportResult
	Worst   Result // the worst of Results that ran; empty when none did
}

type reportPlace struct {
	File  string
	Lines []int
}

type reportResult struct {
	Test   string
	Result Result // empty when the report is about no run
}

// HTML writes the report as one page that needs nothing else. Without a run it is the same for the same table, names no
// lines of code, and up is the way from it to the root of the module; with one it also says how each test ended, and
// where below root the code stands that cites the row.
func (t *Table) HTML(root, up string, run *Run) ([]byte, error) {
	page, err := t.page(root, up, run)
	if err != nil {
		return nil, err
	}
	tmpl, err := template.New("report").Funcs(template.FuncMap{"join": strings.Join, "word": func(v any) string {
		return strings.NewReplacer(" ", "-", "/", "").Replace(fmt.Sprint(v))
	}}).Parse(reportText)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := tmpl.Execute(&out, page); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func (t *Table) page(root, up string, run *Run) (*reportPage, error) {
	page := &reportPage{Run: run, Up: up, Rows: map[string]int{}, Tests: map[string]int{}, Total: len(t.Rows)}
	ended := map[string]Result{}
	for _, row := range t.Rows {
		r, err := reportOn(root, row, run)
		if err != nil {
			return nil, err
		}
		page.Rows[string(row.Status)]++
		for _, one := range r.Results {
			if had, seen := ended[one.Test]; !seen || had == NotRun || one.Result != NotRun && worse(one.Result, had) {
				ended[one.Test] = one.Result
			}
		}
		if r.Worst == Failed || r.Worst == Skipped {
			page.Bad = append(page.Bad, r)
		}
		page.add(r)
	}
	for _, result := range ended {
		page.Tests[string(result)]++
	}
	return page, nil
}

// add puts a row into its section.
func (p *reportPage) add(r reportRow) {
	s := sectionOf(r.ID)
	if n := len(p.Sections); n == 0 || p.Sections[n-1].Letter != s.Letter {
		p.Sections = append(p.Sections, reportSection{section: s})
	}
	last := &p.Sections[len(p.Sections)-1]
	last.Rows = append(last.Rows, r)
	if r.Status == Done {
		last.Done++
	}
}

func reportOn(root string, row Row, run *Run) (reportRow, error) {
	r := reportRow{Row: row, Section: sectionOf(row.ID).Letter}
	for _, file := range row.Code {
		place := reportPlace{File: file}
		if run != nil {
			text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(file)))
			if err != nil {
				return r, err
			}
			place.Lines = Cited(text, row.ID)
		}
		r.Places = append(r.Places, place)
	}
	if run == nil {
		for _, test := range row.Tests {
			r.Results = append(r.Results, reportResult{Test: test})
		}
		return r, nil
	}
	ran := run.Coverage[row.ID]
	tests := slices.Concat(row.Tests, slices.Collect(maps.Keys(ran))) // one that failed is not in the table any more
	slices.Sort(tests)
	for _, test := range slices.Compact(tests) {
		result, did := ran[test]
		if !did {
			result = NotRun
		} else if r.Worst == "" || worse(result, r.Worst) {
			r.Worst = result
		}
		r.Results = append(r.Results, reportResult{test, result})
	}
	return r, nil
}

// TSV writes the report for programs: a line for each row and test.
func (t *Table) TSV(root string, run Run) ([]byte, error) {
	var out bytes.Buffer
	out.WriteString("id\tlevel\tcomponent\trequirement\tstatus\tcode\ttest\tresult\tnote\n")
	for _, row := range t.Rows {
		r, err := reportOn(root, row, &run)
		if err != nil {
			return nil, err
		}
		var code []string
		for _, p := range r.Places {
			code = append(code, p.String())
		}
		if len(r.Results) == 0 {
			r.Results = []reportResult{{}}
		}
		for _, one := range r.Results {
			out.WriteString(strings.Join([]string{row.ID, row.Level, row.Component, row.What, string(row.Status),
				strings.Join(code, " "), one.Test, string(one.Result), row.Note}, "\t") + "\n")
		}
	}
	return out.Bytes(), nil
}

// String is the file with the lines that cite the row, "lda/a.go:3,7".
func (p reportPlace) String() string {
	if len(p.Lines) == 0 {
		return p.File
	}
	return p.File + ":" + strings.ReplaceAll(strings.Trim(fmt.Sprint(p.Lines), "[]"), " ", ",")
}
