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
