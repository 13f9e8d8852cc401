package conformance

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// tree writes files under a new root; "§" stands for the bracket that opens a
// citation, lest these seeds count as citations of this very tree.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "§", "[")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func goodFiles() map[string]string {
	return map[string]string{
		"milter/a.go":      "package milter\n\n// §C001]\nfunc a() {}\n",
		"milter/a_test.go": "package milter\n\n// §C002]\nfunc TestA(t *testing.T) {}\n",
		"docs/x.md":        "see §C003]\n",
		"deploy/main.cf":   "# §C004–C005, C001]\n",
		".lab/old.go":      "// §C777]\n",
		"lda/testdata/x":   "§C778]\n",
	}
}

func goodTable() *Table {
	row := func(id string, status Status) Row {
		return Row{ID: id, Level: "MUST", Component: "ALL", What: "what", Issue: "2", Status: status}
	}
	done := row("C001", Done)
	done.Code, done.Tests = []string{"milter/a.go"}, []string{"milter.TestA"}
	partly := row("C002", Partly)
	partly.Note = "half"
	return &Table{Rows: []Row{done, partly, row("C003", Open), row("C004", Open), row("C005", Open)}}
}

func goodCoverage() Coverage {
	return Coverage{"C001": {"milter.TestA": Passed, "milter.TestB": Failed}, "C003": {"milter.TestA": Passed}}
}

func TestCheckFindsEachFault(t *testing.T) {
	tests := map[string]struct {
		seed func(files map[string]string, table *Table, coverage Coverage)
		want []string
	}{
		"none": {func(map[string]string, *Table, Coverage) {}, nil},
		"unknown citation": {func(f map[string]string, _ *Table, _ Coverage) { f["lda/b.go"] = "// §C999]" },
			[]string{"C999, cited in lda/b.go, is not in the table."}},
		"unknown citation in a range": {func(f map[string]string, _ *Table, _ Coverage) { f["lda/b.go"] = "// §C005–C006]" },
			[]string{"C006, cited in lda/b.go, is not in the table."}},
		"unknown covered id": {func(_ map[string]string, _ *Table, c Coverage) { c["C888"] = map[string]Result{"lda.TestZ": Passed} },
			[]string{"C888, covered by lda.TestZ, is not in the table."}},
		"dead path": {func(_ map[string]string, t *Table, _ Coverage) { t.Rows[2].Code = []string{"gone.go"} },
			[]string{"C003 names gone.go, which does not exist."}},
		"done, failed": {func(_ map[string]string, _ *Table, c Coverage) { c["C001"]["milter.TestA"] = Failed },
			[]string{"C001 is done, but its test milter.TestA failed.", "C001 is done, but none of its tests ran and passed."}},
		"done, skipped": {func(_ map[string]string, _ *Table, c Coverage) { c["C001"]["milter.TestA"] = Skipped },
			[]string{"C001 is done, but its test milter.TestA was skipped.", "C001 is done, but none of its tests ran and passed."}},
		"done, not run": {func(_ map[string]string, _ *Table, c Coverage) { delete(c, "C001") },
			[]string{"C001 names the test milter.TestA, which did not run for it.", "C001 is done, but none of its tests ran and passed."}},
		"done, no test": {func(_ map[string]string, t *Table, _ Coverage) { t.Rows[0].Tests = nil },
			[]string{"C001 is done, but names no test."}},
		"done, not cited": {func(f map[string]string, _ *Table, _ Coverage) {
			f["milter/a.go"] = "package milter"
			f["deploy/main.cf"] = ""
		},
			[]string{"C001 is done, but no code cites it."}},
		"done, no code": {func(_ map[string]string, t *Table, _ Coverage) { t.Rows[0].Code = nil },
			[]string{"C001 is done, but names no code."}},
		"open, test gone": {func(_ map[string]string, t *Table, _ Coverage) { t.Rows[3].Tests = []string{"lda.TestGone"} },
			[]string{"C004 names the test lda.TestGone, which does not exist.", "C004 names the test lda.TestGone, which did not run for it."}},
		"partly without note": {func(_ map[string]string, t *Table, _ Coverage) { t.Rows[1].Note = "" },
			[]string{"C002 is partly without a note that says why."}},
		"n/a without note": {func(_ map[string]string, t *Table, _ Coverage) { t.Rows[2].Status = NotApplicable },
			[]string{"C003 is n/a without a note that says why."}},
		"unknown status": {func(_ map[string]string, t *Table, _ Coverage) { t.Rows[2].Status = "nearly" },
			[]string{`C003 has the unknown status "nearly".`}},
		"twice": {func(_ map[string]string, t *Table, _ Coverage) { t.Rows[4].ID = "C004" },
			[]string{"C005, cited in deploy/main.cf, is not in the table.", "C004 stands in the table twice."}},
		"says nothing": {func(_ map[string]string, t *Table, _ Coverage) { t.Rows[4].What = "" },
			[]string{"C005 does not say what is asked, of whom, how firmly and in which issue."}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			files, table, coverage := goodFiles(), goodTable(), goodCoverage()
			test.seed(files, table, coverage)
			root := tree(t, files)
			citations, err := FindCitations(root)
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			for _, sentence := range test.want {
				want = append(want, TablePath+": "+sentence)
			}
			if diff := cmp.Diff(want, Check(root, table, citations, coverage)); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCheckWithoutCoverageJudgesNoTests(t *testing.T) {
	root := tree(t, goodFiles())
	citations, err := FindCitations(root)
	if err != nil {
		t.Fatal(err)
	}
	if faults := Check(root, goodTable(), citations, nil); faults != nil {
		t.Errorf("faults without coverage: %v, want none", faults)
	}
}

func TestFillTakesWhatRanAndKeepsTheRest(t *testing.T) {
	citations, err := FindCitations(tree(t, goodFiles()))
	if err != nil {
		t.Fatal(err)
	}
	table := goodTable()
	table.Rows[0].Tests = []string{"milter.TestGone", "lda.TestNotRunToday"}
	table.Rows[1].Code = []string{"by/hand"}
	table.Fill(citations, goodCoverage())
	if diff := cmp.Diff([]string{"lda.TestNotRunToday", "milter.TestA"}, table.Rows[0].Tests); diff != "" {
		t.Errorf("tests of C001 (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"deploy/main.cf", "milter/a.go"}, table.Rows[0].Code); diff != "" {
		t.Errorf("code of C001 (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"by/hand"}, table.Rows[1].Code); diff != "" {
		t.Errorf("code of C002, cited by a test only (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"milter.TestA"}, table.Rows[2].Tests); diff != "" {
		t.Errorf("tests of C003 (-want +got):\n%s", diff)
	}
}

func TestPromoteNeedsCodeAndTests(t *testing.T) {
	citations := Citations{"C003": {"pec/a.go"}, "C004": {"pec/a.go"}}
	table := goodTable()
	table.Rows[3].Tests = []string{"pec.TestX"}
	table.Rows[4].Tests = []string{"pec.TestX"}
	for id, want := range map[string]string{
		"C003": "C003 has no test",
		"C005": "C005 has no code that cites it",
		"C999": "C999 is not in the table",
	} {
		err := table.Promote([]string{"C004", id}, citations)
		if err == nil || err.Error() != want {
			t.Errorf("Promote(C004, %s): got error %v, want %q", id, err, want)
		}
		if got := table.Row("C004").Status; got != Open {
			t.Errorf("C004 is %s after a refusal, want open", got)
		}
	}
	if err := table.Promote([]string{"C004"}, citations); err != nil || table.Row("C004").Status != Done {
		t.Errorf("Promote(C004): error %v, status %s", err, table.Row("C004").Status)
	}
}
