package lab

import (
	"fmt"
	"regexp"
	"strings"
)

// values are what placeholders stand for. A line that names a placeholder with
// several values is written once for each, with none not at all.
type values map[string][]string

var placeholder = regexp.MustCompile(`@[A-Z_]+@`)

// set gives a placeholder its one value.
func (v values) set(name string, value any) {
	v["@"+name+"@"] = []string{fmt.Sprint(value)}
}

// list gives a placeholder its values.
func (v values) list(name string, items ...string) {
	v["@"+name+"@"] = items
}

// render fills in every placeholder of a text; one without values is an error.
func (v values) render(text string) (string, error) {
	var out strings.Builder
	for line := range strings.Lines(text) {
		lines, err := v.line(line)
		if err != nil {
			return "", err
		}
		out.WriteString(lines)
	}
	return out.String(), nil
}

func (v values) line(line string) (string, error) {
	lines := []string{line}
	for _, name := range placeholder.FindAllString(line, -1) {
		items, ok := v[name]
		if !ok {
			return "", fmt.Errorf("no value for %s in %q", name, line)
		}
		var next []string
		for _, l := range lines {
			for _, item := range items {
				next = append(next, strings.Replace(l, name, item, 1))
			}
		}
		lines = next
	}
	return strings.Join(lines, ""), nil
}
