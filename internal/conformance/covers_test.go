package conformance

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// spy stands in for a test, so that its failure and its clean-up can be seen.
type spy struct {
	testing.TB
	name     string
	failed   bool
	skipped  bool
	message  string
	cleanups []func()
}

type stopped struct{}

func (s *spy) Helper()          {}
func (s *spy) Name() string     { return s.name }
func (s *spy) Failed() bool     { return s.failed }
func (s *spy) Skipped() bool    { return s.skipped }
func (s *spy) Cleanup(f func()) { s.cleanups = append(s.cleanups, f) }

func (s *spy) Errorf(format string, args ...any) { s.failed = true }

func (s *spy) Fatalf(format string, args ...any) {
	s.failed = true
	s.message = format
	panic(stopped{})
}

func (s *spy) run(body func(testing.TB)) {
	defer func() {
		if what := recover(); what != nil && what != (stopped{}) {
			panic(what)
		}
		for _, f := range s.cleanups {
			f()
		}
	}()
	body(s)
}

func TestCoversRefusesUnknownID(t *testing.T) {
	for _, id := range []string{"C000", "C262", "c043", "", "43"} {
		test := &spy{name: "TestX"}
		test.run(func(tb testing.TB) {
			Covers(tb, "C001", id)
			t.Errorf("Covers(%q) went on", id)
		})
		if !test.failed || !strings.Contains(test.message, "has no row") {
			t.Errorf("Covers(%q): failed %v with %q, want a failure that says there is no such row", id, test.failed, test.message)
		}
	}
}

func TestCoversRecordsHowTheTestEnded(t *testing.T) {
	dir := t.TempDir()
	t.Setenv(CoverageVariable, dir)
	ends := map[string]func(*spy){
		"TestGood":       func(*spy) {},
		"TestBad":        func(s *spy) { s.failed = true },
		"TestNot":        func(s *spy) { s.skipped = true },
		"TestHalf/good":  func(*spy) {},
		"TestHalf/worse": func(s *spy) { s.failed = true },
	}
	for name, end := range ends {
		test := &spy{name: name}
		test.run(func(tb testing.TB) { Covers(tb, "C001", "C261"); end(test) })
	}
	got, err := ReadCoverage(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]Result{"TestGood": Passed, "TestBad": Failed, "TestNot": Skipped, "TestHalf": Failed}
	for _, id := range []string{"C001", "C261"} {
		for name, result := range want {
			if got := got[id]["internal/conformance."+name]; got != result {
				t.Errorf("%s of %s: got %q, want %q", id, name, got, result)
			}
		}
	}
}

func TestCoversLeavesNothingWithoutTheVariable(t *testing.T) {
	t.Setenv(CoverageVariable, "")
	test := &spy{name: "TestX"}
	test.run(func(tb testing.TB) { Covers(tb, "C001") })
	if len(test.cleanups) != 0 {
		t.Errorf("%d clean-ups registered, want none", len(test.cleanups))
	}
}

func TestCoversFailsWhenItCannotRecord(t *testing.T) {
	t.Setenv(CoverageVariable, filepath.Join(t.TempDir(), "absent"))
	test := &spy{name: "TestX"}
	test.run(func(tb testing.TB) { Covers(tb, "C001") })
	if !test.failed {
		t.Error("a test whose coverage is lost passed")
	}
}

func TestReadCoverageRefusesBrokenRecords(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "1.tsv"), []byte("C001\tpec\tTestX\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadCoverage(dir); err == nil {
		t.Error("a record of three fields was read without an error")
	}
}
