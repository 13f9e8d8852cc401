package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ceralacca/ceralacca/internal/conformance"
)

const table = conformance.Header + "\nC001\tMUST\tALL\twhat\t2\topen\t\t\t\n"

func module(t *testing.T) (root, coverage string) {
	t.Helper()
	root, coverage = t.TempDir(), t.TempDir()
	for name, text := range map[string]string{
		filepath.Join(root, "docs", "conformance.tsv"): table,
		filepath.Join(root, "pec.go"):                  "// [" + "C001]\npackage pec\n",
		filepath.Join(root, "pec", "a_test.go"):        "package pec\n\nfunc TestA(t *testing.T) {}\n",
		filepath.Join(coverage, "1.tsv"):               "C001\tpec\tTestA/sub\tpassed\n",
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root, coverage
}

func TestFillDoneCheck(t *testing.T) {
	root, coverage := module(t)
	for _, args := range [][]string{{"fill", "-coverage", coverage}, {"done", "C001"}, {"check", "-coverage", coverage}} {
		var out strings.Builder
		if err := run(root, args, &out); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out.String())
		}
	}
	got, err := os.ReadFile(filepath.Join(root, "docs", "conformance.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	want := conformance.Header + "\nC001\tMUST\tALL\twhat\t2\tdone\tpec.go\tpec.TestA\t\n"
	if string(got) != want {
		t.Errorf("table:\n%s\nwant:\n%s", got, want)
	}
}

// The report says of each test how it ended, also of one that failed and that no row names any more, and of one that did
// not run; the page in docs is the same for the same table, and check misses it when it is old.
func TestReport(t *testing.T) {
	root, coverage := module(t)
	text := conformance.Header + "\nC001\tMUST\tALL\ta <b> & c\t2\tdone\tpec.go\tpec.TestA pec.TestZ\twhy\n" +
		"C029\tMUST\tAP\tother\t2\topen\t\t\t\n"
	if err := os.WriteFile(filepath.Join(root, "docs", "conformance.tsv"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	more := "C001\tpec\tTestB\tfailed\nC001\tpec\tTestC\tskipped\n"
	if err := os.WriteFile(filepath.Join(coverage, "2.tsv"), []byte(more), 0o600); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(root, ".work", "conformance")
	var out strings.Builder
	if err := run(root, []string{"report", "-coverage", coverage, "-out", to}, &out); err != nil {
		t.Fatal(err)
	}
	page := read(t, filepath.Join(to, "conformance.html"))
	for _, want := range []string{
		"<b>2</b> requirements", "<b>1</b> done", "<b>1</b> open", "<b>1</b> tests passed", `<li class="test failed"><b>1</b> failed`,
		`<li class="test skipped"><b>1</b> skipped`, "<b>1</b> not in this run", "a &lt;b&gt; &amp; c", `<li class="failed"><code>pec.TestB</code> failed`,
		`<li class="not-run"><code>pec.TestZ</code> not run`, `<h2 id="B">B. Access point: submission`, `<a href="../../pec.go"><code>pec.go:1</code>`,
		`<article id="C001" data-status="done" data-section="A" data-result="failed">`, `<a href="#C001">C001</a> <code class="failed">pec.TestB</code> failed`,
		"commit <code>unknown</code>",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %q", want)
		}
	}
	for _, outside := range []string{"http:", "https:", "src=", "<link"} {
		if strings.Contains(page, outside) {
			t.Errorf("the page needs something else: %s", outside)
		}
	}
	want := "C001\tMUST\tALL\ta <b> & c\tdone\tpec.go:1\tpec.TestB\tfailed\twhy\n"
	if lines := read(t, filepath.Join(to, "conformance.tsv")); !strings.Contains(lines, want) || !strings.HasSuffix(lines, "\topen\t\t\t\t\n") {
		t.Errorf("no line %q, or a row without tests is missing, in\n%s", want, lines)
	}
	if err := run(root, []string{"check"}, &out); err == nil || !strings.Contains(out.String(), "docs/conformance.html: It is not what the table says") {
		t.Errorf("check without the page: %v\n%s", err, out.String())
	}
	t.Setenv(conformance.CoverageVariable, "")
	if err := run(root, []string{"report"}, &out); err == nil {
		t.Error("a report about no run: no error")
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestRefusals(t *testing.T) {
	root, coverage := module(t)
	for name, args := range map[string][]string{
		"no command":             nil,
		"unknown command":        {"chekc"},
		"done without tests":     {"done", "C001"},
		"no coverage where said": {"check", "-coverage", filepath.Join(coverage, "1.tsv", "x")},
	} {
		if err := run(root, args, &strings.Builder{}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestCheckFailsOnAFault(t *testing.T) {
	root, coverage := module(t)
	if err := os.WriteFile(filepath.Join(root, "lda.go"), []byte("// ["+"C002]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	err := run(root, []string{"check", "-coverage", coverage}, &out)
	if err == nil || !strings.Contains(out.String(), "C002, cited in lda.go, is not in the table.") {
		t.Errorf("error %v, output %q, want a failure that names C002", err, out.String())
	}
}
