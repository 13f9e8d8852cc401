package conformance

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Fill writes into the table what can be found out: the code of a row becomes
// the files that cite it, and its tests those that passed. A row without
// citations keeps its code. Tests of packages that left no coverage are kept, so
// that a run of some packages takes nothing away.
func (t *Table) Fill(citations Citations, coverage Coverage) {
	ran := packages(coverage)
	for i := range t.Rows {
		row := &t.Rows[i]
		if code := citations.Code(row.ID); len(code) > 0 {
			row.Code = code
		}
		tests := slices.DeleteFunc(slices.Clone(row.Tests), func(test string) bool { return ran[packageOf(test)] })
		for test, result := range coverage[row.ID] {
			if result == Passed {
				tests = append(tests, test)
			}
		}
		slices.Sort(tests)
		row.Tests = tests
	}
}

// Promote calls the rows with these ids done. It changes nothing and says why
// when one of them has no code that cites it or no test that passed.
func (t *Table) Promote(ids []string, citations Citations) error {
	for _, id := range ids {
		row := t.Row(id)
		if row == nil {
			return fmt.Errorf("%s is not in the table", id)
		}
		if missing := row.missing(citations); missing != "" {
			return fmt.Errorf("%s has %s", id, missing)
		}
	}
	for _, id := range ids {
		t.Row(id).Status = Done
		t.Row(id).Note = ""
	}
	return nil
}

func (r *Row) missing(citations Citations) string {
	switch {
	case len(citations.Code(r.ID)) == 0:
		return "no code that cites it"
	case len(r.Tests) == 0:
		return "no test"
	}
	return ""
}

// Summary says for each issue how many rows have which status, and which rows
// could be called done or lack what.
func (t *Table) Summary(citations Citations) string {
	counts := map[string]map[Status]int{}
	ready := map[string][]string{}
	for i := range t.Rows {
		row := &t.Rows[i]
		if counts[row.Issue] == nil {
			counts[row.Issue] = map[Status]int{}
		}
		counts[row.Issue][row.Status]++
		if row.Status == Open || row.Status == Partly {
			what := row.missing(citations)
			if what == "" {
				what = "code and tests: read them and call it done"
			}
			ready[what] = append(ready[what], row.ID)
		}
	}
	var out strings.Builder
	for _, issue := range slices.Sorted(maps.Keys(counts)) {
		n := counts[issue]
		fmt.Fprintf(&out, "issue %s: %d done, %d partly, %d open, %d n/a\n", issue, n[Done], n[Partly], n[Open], n[NotApplicable])
	}
	for _, what := range slices.Sorted(maps.Keys(ready)) {
		fmt.Fprintf(&out, "not done, with %s: %s\n", what, strings.Join(ready[what], " "))
	}
	return out.String()
}

func packages(coverage Coverage) map[string]bool {
	ran := map[string]bool{}
	for _, tests := range coverage {
		for test := range tests {
			ran[packageOf(test)] = true
		}
	}
	return ran
}

func packageOf(test string) string {
	return test[:max(strings.LastIndex(test, "."), 0)]
}
