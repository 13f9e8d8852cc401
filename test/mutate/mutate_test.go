package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// seeded is a small module with two rows: the test of C001 looks, that of C002 does not; C003 cites a type only. "§" is
// the bracket that opens a citation.
var seeded = map[string]string{
	"go.mod": "module seeded.example\n\ngo 1.25\n",
	"docs/conformance.tsv": "id\tlevel\tcomponent\twhat\tissue\tstatus\tcode\ttests\tnote\n" +
		"C001\tMUST\tALL\twhat\t2\tdone\ta/a.go\ta.TestLooks\t\n" +
		"C002\tMUST\tALL\twhat\t2\tdone\ta/a.go\ta.TestSleeps\t\n" +
		"C003\tMUST\tALL\twhat\t2\tdone\ta/a.go\ta.TestLooks\t\n" +
		"C004\tMUST\tALL\twhat\t2\tdone\ta/a.go\ta.TestFails\t\n" +
		"C005\tMUST\tALL\twhat\t2\tdone\ta/a.conf\ta.TestConf\t\n" +
		"C006\tMUST\tALL\twhat\t2\topen\ta/a.go\t\t\n",
	"a/a.conf": "# first\nsafe = no\n# §C005]\nsafe = yes\n",
	"a/a.go": `package a

import _ "embed"

//go:embed a.conf
var conf string

// Sum adds. §C001]
func Sum(a, b int) int {
	return a + b
}

// Name is a name.
func Name() string {
	// §C002]
	return "name"
}

// T is a type. §C003]
type T struct{ A int }

// §C004]
func one() int { return 1 }
`,
	"a/a_test.go": `package a

import (
	"strings"
	"testing"
)

func TestLooks(t *testing.T) {
	if Sum(2, 3) != 5 {
		t.Error("sum")
	}
}

func TestSleeps(t *testing.T) { _ = Name() }

func TestFails(t *testing.T) { t.Error("always", one()) }

func TestConf(t *testing.T) {
	if !strings.Contains(conf, "safe = yes") {
		t.Error("conf")
	}
}
`,
}

func plant(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range seeded {
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

// A test that looks is told from one that does not, from one that fails anyhow, and from a citation that nothing obeys;
// a second run of the seed remembers what was proven, and the tree stays as it was.
func TestRunTellsWhatIsProven(t *testing.T) {
	root := plant(t)
	t.Chdir(root)
	o, err := parse([]string{"-seed", "3", "-rows", "9", "-timeout", "1m", "-tries", "3"})
	if err != nil {
		t.Fatal(err)
	}
	for _, round := range []string{"first", "second"} {
		var out strings.Builder
		unproven, err := run(t.Context(), o, &out)
		if err != nil || unproven != 3 {
			t.Fatalf("%s run: %d unproven, error %v, want 3 and none\n%s", round, unproven, err, out.String())
		}
		for _, want := range []string{"\tC001\tkilled\ta/a.go:", "\ta.TestLooks\n", "\tC002\tsurvived\t", "survived a/a.go:16 an empty string for \"name\"",
			"\tC003\tno change\t", "\tC004\tsick tests\t", "\tC005\tkilled\ta/a.conf:4\tdrop safe = yes\ta.TestConf\n",
			"seed 3: 5 rows, 2 proven, 3 not\n"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s run: no %q in\n%s", round, want, out.String())
			}
		}
	}
	for name, text := range seeded {
		if got, err := os.ReadFile(name); err != nil || string(got) != strings.ReplaceAll(text, "§", "[") {
			t.Errorf("%s was changed (%v)", name, err)
		}
	}
	data, err := os.ReadFile(filepath.Join(".work", "mutate", "seed-3.tsv"))
	if err != nil || strings.Count(string(data), "\n") != 2 {
		t.Errorf("remembered %q, %v; want the two rows that are proven", data, err)
	}
}

func TestTheSameSeedPicksTheSame(t *testing.T) {
	root := plant(t)
	pick := func(seed uint64) (ids []string) {
		rows, err := choose(root, options{seed: seed, rows: 3})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			ids = append(ids, r.id)
			for _, c := range r.changes {
				ids = append(ids, c.what)
			}
		}
		return ids
	}
	if !slices.Equal(pick(1), pick(1)) {
		t.Error("one seed, two choices")
	}
	if slices.Equal(pick(1), pick(2)) && slices.Equal(pick(1), pick(3)) {
		t.Error("three seeds, one choice")
	}
}

func TestGoChanges(t *testing.T) {
	text := `package a

func f(a, b int) (string, error) {
	// [` + `C001]
	if a == b && ready(true) {
		count = 2
		return "x", nil
	}
	x := g(a) // [` + `C002]
	return x, nil
}

var list = []string{
	// [` + `C003]
	"one",
	"two",
}
`
	for line, want := range map[int][]string{
		4: {"negate a == b && ready(true)", "|| for && in a == b && ready(true)", "!= for == in a == b", "zero value for true",
			"false for true", "drop count = 2", "2 + 1 for 2", `zero value for "x"`, `an empty string for "x"`},
		9:  {"zero value for g(a)", "zero value for a"},
		14: {`an empty string for "one"`, `drop "one"`},
	} {
		changes, err := goChanges("a.go", []byte(text), []int{line})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, c := range changes {
			got = append(got, c.what)
		}
		if !slices.Equal(got, want) {
			t.Errorf("line %d: got %q, want %q", line, got, want)
		}
	}
}

func TestQuestionsThatAreWrong(t *testing.T) {
	root := plant(t)
	if _, err := choose(root, options{only: "C999"}); err == nil || !strings.Contains(err.Error(), "C999 is not in") {
		t.Errorf("an unknown row: %v", err)
	}
	for _, args := range [][]string{{"-rows"}, {"-rows", "x"}, {"C001"}} {
		if _, err := parse(args); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}
