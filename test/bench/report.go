package main

import (
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
)

// report is the result of one goal.
type report struct {
	goal  goal
	began string // when and on what
	rows  []row
}

func (r row) cells() []string {
	holds := "no"
	switch {
	case r.want == none:
		holds = none
	case r.holds:
		holds = "yes"
	}
	return []string{r.what, r.ours, r.peer, r.ratio, r.want, holds}
}

var heads = []string{"what", "ceralacca", "peer", "ratio (min–max)", "goal", "reached"}

// table is for the terminal.
func (r report) table() string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, strings.Join(heads, "\t"))
	for _, one := range r.rows {
		fmt.Fprintln(w, strings.Join(one.cells(), "\t"))
	}
	_ = w.Flush() // a strings.Builder does not fail
	return text.String()
}

// markdown is for a file.
func (r report) markdown() string {
	var text strings.Builder
	fmt.Fprintf(&text, "`make bench GOAL=%s`, %s.\n\n", r.goal.name, r.began)
	fmt.Fprintf(&text, "| %s |\n|%s\n", strings.Join(heads, " | "), strings.Repeat("---|", len(heads)))
	for _, one := range r.rows {
		fmt.Fprintf(&text, "| %s |\n", strings.Join(one.cells(), " | "))
	}
	return text.String()
}

// record puts the result between the marks of its goal in a page.
func (r report) record(page string) error {
	raw, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	start, end := fmt.Sprintf("<!-- %s -->\n", r.goal.name), fmt.Sprintf("<!-- end of %s -->", r.goal.name)
	before, rest, ok := strings.Cut(string(raw), start)
	_, after, ends := strings.Cut(rest, end)
	if !ok || !ends {
		return fmt.Errorf("%s has no marks for %s", page, r.goal.name)
	}
	return os.WriteFile(page, []byte(before+start+r.markdown()+end+after), 0o644)
}
