package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// event is what go test -json writes; see go doc test2json.
type event struct {
	Action     string
	Package    string
	ImportPath string
	Test       string
	Elapsed    float64
	Output     string
}

// slow is from how many seconds on a test has a line of its own.
const slow = 5

// report collects the events of one run.
type report struct {
	out     io.Writer
	results map[string]map[string]string        // package, test, last action
	output  map[string]map[string]*bytes.Buffer // package, test ("" for the package), text
	failed  []string
	skipped []string
	idle    []string // packages that decided not to run their tests
	passed  int
}

func newReport(out io.Writer) *report {
	return &report{out: out, results: map[string]map[string]string{}, output: map[string]map[string]*bytes.Buffer{}}
}

// line takes one line of go test; what is not an event is passed on.
func (r *report) line(data []byte) {
	var e event
	if json.Unmarshal(data, &e) != nil {
		_, _ = r.out.Write(data) // a report has nowhere to report to
		return
	}
	if e.Package == "" {
		e.Package, _, _ = strings.Cut(e.ImportPath, " ")
	}
	switch e.Action {
	case "output", "build-output":
		r.keep(e)
	case "pass", "fail", "skip":
		r.ended(e)
	}
}

func (r *report) keep(e event) {
	if r.output[e.Package] == nil {
		r.output[e.Package] = map[string]*bytes.Buffer{}
	}
	if r.output[e.Package][e.Test] == nil {
		r.output[e.Package][e.Test] = &bytes.Buffer{}
	}
	r.output[e.Package][e.Test].WriteString(e.Output)
}

func (r *report) ended(e event) {
	if e.Test == "" {
		r.endedPackage(e)
		return
	}
	if r.results[e.Package] == nil {
		r.results[e.Package] = map[string]string{}
	}
	r.results[e.Package][e.Test] = e.Action
	if e.Elapsed >= slow && !strings.Contains(e.Test, "/") {
		r.printf("        %s %s (%.1f s)\n", e.Action, e.Test, e.Elapsed)
	}
	if e.Action == "pass" {
		delete(r.output[e.Package], e.Test)
	}
}

// endedPackage counts the tests of a package and shows what went wrong in it.
func (r *report) endedPackage(e event) {
	results := r.results[e.Package]
	failures := 0
	for _, test := range slices.Sorted(maps.Keys(results)) {
		action := results[test]
		if parent(test, results) && !(action == "fail" && !failsBelow(test, results)) {
			continue
		}
		name := short(e.Package) + "." + test
		switch action {
		case "pass":
			r.passed++
		case "skip":
			r.skipped = append(r.skipped, name+": "+r.reason(e.Package, test))
		case "fail":
			failures++
			r.failed = append(r.failed, name)
			r.show(e.Package, test)
		}
	}
	if e.Action == "fail" {
		if failures == 0 {
			r.failed = append(r.failed, short(e.Package))
		}
		r.show(e.Package, "")
	}
	if len(results) == 0 && e.Action == "pass" {
		r.idle = append(r.idle, short(e.Package)+": has tests and ran none")
	}
	if len(results) > 0 || e.Action == "fail" {
		r.printf("%-4s %s (%d tests, %.1f s)\n", strings.ReplaceAll(e.Action, "pass", "ok"), short(e.Package), len(results), e.Elapsed)
	}
	delete(r.output, e.Package)
}

// finish prints what is left to say and tells whether all is well. failure is
// what go test ended with.
func (r *report) finish(failure error, strict bool) bool {
	for _, pkg := range slices.Sorted(maps.Keys(r.output)) {
		r.show(pkg, "") // what did not build is not a package that ended
	}
	if strict {
		r.skipped = append(r.skipped, r.idle...)
	}
	if len(r.skipped) > 0 {
		r.printf("\nskipped:\n  %s\n", strings.Join(r.skipped, "\n  "))
	}
	failed, skipped := len(r.failed), len(r.skipped)
	if strict && skipped > 0 {
		r.printf("A skip is a failure here.\n")
	}
	if failure != nil && failed == 0 {
		r.failed = append(r.failed, "go test: "+failure.Error())
		failed = 1
	}
	if failed > 0 {
		r.printf("\nfailed:\n  %s\n", strings.Join(r.failed, "\n  "))
	}
	r.printf("\n%d passed, %d failed, %d skipped\n", r.passed, failed, skipped)
	return failed == 0 && failure == nil && (skipped == 0 || !strict) && r.passed > 0
}

func (r *report) printf(format string, args ...any) {
	fmt.Fprintf(r.out, format, args...)
}

func (r *report) show(pkg, test string) {
	if text := r.output[pkg][test]; text != nil {
		r.printf("%s", text)
	}
}

// reason is what a skipped test said, in one line.
func (r *report) reason(pkg, test string) string {
	var said []string
	text := r.output[pkg][test]
	if text == nil {
		return ""
	}
	for line := range strings.Lines(text.String()) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "===") && !strings.HasPrefix(line, "---") {
			said = append(said, line)
		}
	}
	return strings.Join(said, " ")
}

// parent says whether a test has subtests, which count in its place.
func parent(test string, results map[string]string) bool {
	return hasBelow(test, results, func(string) bool { return true })
}

// failsBelow says whether a subtest explains why a test failed.
func failsBelow(test string, results map[string]string) bool {
	return hasBelow(test, results, func(action string) bool { return action == "fail" })
}

func hasBelow(test string, results map[string]string, is func(string) bool) bool {
	for other, action := range results {
		if strings.HasPrefix(other, test+"/") && is(action) {
			return true
		}
	}
	return false
}

func short(pkg string) string {
	return strings.TrimPrefix(pkg, "github.com/ceralacca/ceralacca/")
}
