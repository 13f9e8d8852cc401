package conformance

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
)

// CoverageVariable names the environment variable that holds the folder where
// tests that run leave what they covered.
const CoverageVariable = "CERALACCA_COVERAGE"

// Covers says that the calling test proves the rows with these ids. It ends the
// test at once on an id that the table does not have. When [CoverageVariable]
// names a folder, the result of the test is recorded there as it ends. It MUST
// be called before the test registers clean-ups that can fail, best first.
func Covers(t testing.TB, ids ...string) {
	t.Helper()
	table, err := tableOfTest()
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		if table.Row(id) == nil {
			t.Fatalf("conformance.Covers: %s has no row %q", TablePath, id)
		}
	}
	if dir := os.Getenv(CoverageVariable); dir != "" {
		t.Cleanup(func() { record(t, dir, ids) })
	}
}

// tableOfTest loads the table of the module in which the test runs: go test
// starts every test in the folder of its package.
func tableOfTest() (*Table, error) {
	dir, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	root, err := Root(dir)
	if err != nil {
		return nil, err
	}
	return Load(root)
}

// record appends to the file of this process; one write per test, so that tests
// that run side by side do not mix their lines.
func record(t testing.TB, dir string, ids []string) {
	result := Passed
	switch {
	case t.Failed():
		result = Failed
	case t.Skipped():
		result = Skipped
	}
	var lines strings.Builder
	for _, id := range ids {
		fmt.Fprintf(&lines, "%s\t%s\t%s\t%s\n", id, testedPackage(), t.Name(), result)
	}
	if err := appendTo(filepath.Join(dir, fmt.Sprintf("%d.tsv", os.Getpid())), lines.String()); err != nil {
		t.Errorf("conformance: the coverage is not recorded: %v", err)
	}
}

func appendTo(path, text string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	if _, err := file.WriteString(text); err != nil {
		_ = file.Close() // the write has failed already
		return err
	}
	return file.Close()
}

// testedPackage is the path of the package under test from the root of the
// module; the linker calls a test binary by its package and ".test".
func testedPackage() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	path := strings.TrimSuffix(info.Path, ".test")
	return strings.TrimPrefix(strings.TrimPrefix(path, info.Main.Path), "/")
}
