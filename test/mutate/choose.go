package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ceralacca/ceralacca/internal/conformance"
)

// candidate is a row to be proven.
type candidate struct {
	id      string
	changes []change            // in the order to be tried
	tests   map[string][]string // by package, from the root of the module
}

// choose picks the rows of a seed, or those asked for, with the changes that can be made to each.
func choose(root string, o options) ([]candidate, error) {
	table, err := conformance.Load(root)
	if err != nil {
		return nil, err
	}
	citations, err := conformance.FindCitations(root)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, row := range table.Rows {
		if row.Status == conformance.Done && len(testsOf(row, o.units)) > 0 {
			ids = append(ids, row.ID)
		}
	}
	if o.only != "" {
		ids = strings.Split(o.only, ",")
	} else {
		random := rand.New(rand.NewPCG(o.seed, 0))
		random.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
		ids = ids[:min(o.rows, len(ids))]
	}
	var all []candidate
	for _, id := range ids {
		row := table.Row(id)
		if row == nil {
			return nil, fmt.Errorf("%s is not in %s", id, conformance.TablePath)
		}
		c := candidate{id: id, tests: testsOf(*row, o.units)}
		if c.changes, err = changesOf(root, id, citations.Code(id)); err != nil {
			return nil, err
		}
		shuffle(c.changes, o.seed, id)
		all = append(all, c)
	}
	return all, nil
}

// shuffle orders the changes of a row by the seed and the row, whatever other rows are picked; then it puts one of each
// file first, so that a few tries look at all places.
func shuffle(changes []change, seed uint64, id string) {
	var n uint64
	for _, b := range []byte(id) {
		n = n*131 + uint64(b)
	}
	random := rand.New(rand.NewPCG(seed, n))
	random.Shuffle(len(changes), func(i, j int) { changes[i], changes[j] = changes[j], changes[i] })
	turn := map[string]int{}
	order := map[change]int{}
	for _, c := range changes {
		turn[c.file]++
		order[c] = turn[c.file]
	}
	slices.SortStableFunc(changes, func(a, b change) int { return order[a] - order[b] })
}

// testsOf are the tests of a row by package.
func testsOf(row conformance.Row, units bool) map[string][]string {
	tests := map[string][]string{}
	for _, test := range row.Tests {
		dot := strings.LastIndexByte(test, '.')
		if dot < 0 || units && strings.HasPrefix(test, "test/") {
			continue
		}
		tests[test[:dot]] = append(tests[test[:dot]], test[dot+1:])
	}
	return tests
}

// changesOf are all changes of what stands under the citations of a row.
func changesOf(root, id string, files []string) ([]change, error) {
	var all []change
	for _, file := range files {
		text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(file)))
		if err != nil {
			return nil, err
		}
		lines := conformance.Cited(text, id)
		find := lineChanges
		if strings.HasSuffix(file, ".go") {
			find = goChanges
		}
		found, err := find(file, text, lines)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// lineChanges drops the line that a citation of a configuration file speaks of: the one it ends, or the next that is no
// remark.
func lineChanges(file string, text []byte, cited []int) ([]change, error) {
	var all []change
	lines := bytes.SplitAfter(text, []byte("\n"))
	start := make([]int, len(lines)+1)
	for n, line := range lines {
		start[n+1] = start[n] + len(line)
	}
	for _, at := range cited {
		for n := at - 1; n < len(lines); n++ {
			line := string(bytes.TrimSpace(lines[n]))
			if line == "" || strings.HasPrefix(line, "#") || strings.HasPrefix(line, "//") {
				continue
			}
			all = append(all, change{file: file, line: n + 1, from: start[n], to: start[n+1], text: "", what: "drop " + short(line)})
			break
		}
	}
	return all, nil
}
