package conformance

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Result is how a test ended.
type Result string

// The values of Result, as recorded.
const (
	// Passed is a test that neither failed nor was skipped.
	Passed Result = "passed"
	// Failed is a test that failed.
	Failed Result = "failed"
	// Skipped is a test that did not look.
	Skipped Result = "skipped"
)

// Coverage is what the tests that ran said: row id, then package.TestName of the
// top-level test, then the worst result of it and its subtests.
type Coverage map[string]map[string]Result

// ReadCoverage reads all that the tests recorded in dir.
func ReadCoverage(dir string) (Coverage, error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	coverage := Coverage{}
	for _, file := range files {
		name := filepath.Join(dir, file.Name())
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(data)) {
			if err := coverage.add(strings.TrimSuffix(line, "\n")); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return coverage, nil
}

func (c Coverage) add(line string) error {
	field := strings.Split(line, "\t")
	if len(field) != 4 {
		return fmt.Errorf("%q is no record of coverage", line)
	}
	id, result := field[0], Result(field[3])
	top, _, _ := strings.Cut(field[2], "/")
	test := field[1] + "." + top
	if c[id] == nil {
		c[id] = map[string]Result{}
	}
	if had, seen := c[id][test]; !seen || worse(result, had) {
		c[id][test] = result
	}
	return nil
}

func worse(a, b Result) bool {
	rank := map[Result]int{Passed: 0, Skipped: 1, Failed: 2}
	return rank[a] > rank[b]
}
