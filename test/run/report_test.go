package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// module writes a module with one package of tests, outside this one.
func module(t *testing.T, tests string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":    "module example.org/m\n\ngo 1.26.0\n",
		"m_test.go": "package m\n\nimport \"testing\"\n\n" + tests,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	t.Setenv("GOFLAGS", "")
}

func TestRun(t *testing.T) {
	const (
		good  = "func TestGood(t *testing.T) { t.Run(\"a\", func(t *testing.T) {}); t.Run(\"b\", func(t *testing.T) {}) }\n"
		plain = "func TestPlain(t *testing.T) {}\n"
		bad   = "func TestBad(t *testing.T) { t.Run(\"x\", func(t *testing.T) { t.Error(\"broken glass\") }); t.Run(\"y\", func(t *testing.T) {}) }\n"
		top   = "func TestTop(t *testing.T) { t.Run(\"x\", func(t *testing.T) {}); t.Error(\"after all\") }\n"
		skip  = "func TestSkip(t *testing.T) { t.Skip(\"no lab\") }\n"
		panic = "func TestPanic(t *testing.T) { panic(\"boom\") }\n"
		exit  = "func TestMain(m *testing.M) { m.Run(); panic(\"late\") }\n"
	)
	cases := map[string]struct {
		tests  string
		strict bool
		good   bool
		want   []string
	}{
		"all pass":                    {good + plain, true, true, []string{"\n3 passed, 0 failed, 0 skipped\n"}},
		"a subtest fails":             {good + bad, false, false, []string{"broken glass", "example.org/m.TestBad/x", "\n3 passed, 1 failed, 0 skipped\n"}},
		"a parent fails":              {top, false, false, []string{"after all", "\n1 passed, 1 failed, 0 skipped\n"}},
		"a skip":                      {plain + skip, false, true, []string{"TestSkip: m_test.go:6: no lab", "\n1 passed, 0 failed, 1 skipped\n"}},
		"a skip in CI":                {plain + skip, true, false, []string{"A skip is a failure", "\n1 passed, 0 failed, 1 skipped\n"}},
		"a package that runs nothing": {"func TestMain(m *testing.M) {}\n" + plain, true, false, []string{"example.org/m: has tests and ran none"}},
		"a panic":                     {plain + panic, false, false, []string{"boom", " 1 failed, "}},
		"a package that fails":        {plain + exit, false, false, []string{"late", "\n1 passed, 1 failed, 0 skipped\n"}},
		"what does not build":         {plain + "var x int = \"\"\n", false, false, []string{"cannot use", "\n0 passed, 1 failed, 0 skipped\n"}},
		"no test":                     {"var _ testing.TB\n", false, false, []string{"\n0 passed, 0 failed, 0 skipped\n"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			module(t, c.tests)
			var out strings.Builder
			good, err := run([]string{"."}, c.strict, &out)
			if err != nil || good != c.good {
				t.Errorf("good %v, error %v, want good %v\n%s", good, err, c.good, out.String())
			}
			for _, want := range c.want {
				if !strings.Contains("\n"+out.String(), want) {
					t.Errorf("no %q in:\n%s", want, out.String())
				}
			}
		})
	}
}
