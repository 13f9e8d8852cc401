package conformance

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Citations says which files name a row in square brackets: row id, then the
// sorted slash-separated paths from the root of the module.
type Citations map[string][]string

var (
	citation = regexp.MustCompile(`\[(C\d+(?:(?:, ?|–|-)C\d+)*)\]`)
	idRange  = regexp.MustCompile(`C(\d+)(?:[–-]C(\d+))?`)
)

// maxCiting bounds the files that are searched, in bytes: what is larger was not
// written by hand.
const maxCiting = 1 << 20

// FindCitations searches every text of the tree under root. A citation may be a
// list or a range of ids. Hidden folders, bin and test data are left out.
func FindCitations(root string) (Citations, error) {
	found := Citations{}
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if entry.IsDir() {
			return enter(rel)
		}
		return found.addFile(name, rel, entry)
	})
	return found, err
}

func enter(rel string) error {
	base := path.Base(rel)
	switch {
	case rel == "." || rel == ".ci":
		return nil
	case strings.HasPrefix(base, "."), rel == "bin", base == "testdata":
		return fs.SkipDir
	}
	return nil
}

func (c Citations) addFile(name, rel string, entry fs.DirEntry) error {
	info, err := entry.Info()
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxCiting {
		return err
	}
	data, err := os.ReadFile(name)
	if err != nil || bytes.IndexByte(data, 0) >= 0 {
		return err
	}
	for _, match := range citation.FindAllSubmatch(data, -1) {
		for _, id := range expand(string(match[1])) {
			if !slices.Contains(c[id], rel) {
				c[id] = append(c[id], rel)
			}
		}
	}
	return nil
}

// expand turns "C001–C003, C007" into its four ids.
func expand(list string) []string {
	var ids []string
	for _, match := range idRange.FindAllStringSubmatch(list, -1) {
		ids = append(ids, "C"+match[1])
		from, _ := strconv.Atoi(match[1]) // digits, or too many of them: then there is no range
		to, _ := strconv.Atoi(match[2])
		for n := from + 1; n <= min(to, from+999); n++ {
			ids = append(ids, fmt.Sprintf("C%03d", n))
		}
	}
	return ids
}

// Code returns the files that cite id and are neither tests nor documents.
func (c Citations) Code(id string) []string {
	var code []string
	for _, file := range c[id] {
		if !strings.HasSuffix(file, "_test.go") && !strings.HasSuffix(file, ".md") &&
			!strings.HasPrefix(file, "docs/") && !strings.HasPrefix(file, "test/") {
			code = append(code, file)
		}
	}
	slices.Sort(code)
	return code
}

// Cited returns the lines of a text, from 1, on which it cites id.
func Cited(text []byte, id string) []int {
	var lines []int
	n := 0
	for line := range bytes.Lines(text) {
		n++
		for _, match := range citation.FindAllSubmatch(line, -1) {
			if slices.Contains(expand(string(match[1])), id) && !slices.Contains(lines, n) {
				lines = append(lines, n)
			}
		}
	}
	return lines
}
