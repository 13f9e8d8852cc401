package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// outcome of a change, or of a row.
type outcome string

const (
	killed   outcome = "killed"
	survived outcome = "survived"
	invalid  outcome = "invalid"    // it does not compile
	unasked  outcome = "no change"  // nothing under the citation can be changed
	untested outcome = "no test"    // that may be run
	sick     outcome = "sick tests" // they fail without any change
)

// verdict is what came of a row.
type verdict struct {
	id        string
	outcome   outcome
	change    change // that was killed
	test      string // that failed
	survivors []string
}

func (v verdict) columns() []string {
	place := ""
	if v.change.file != "" {
		place = fmt.Sprintf("%s:%d", v.change.file, v.change.line)
	}
	return []string{v.id, string(v.outcome), place, v.change.what, v.test}
}

// lab runs tests over changed files.
type lab struct {
	ctx     context.Context
	root    string
	o       options
	scratch string
	healthy map[string]error // of tests without any change
}

func newLab(ctx context.Context, root string, o options) (*lab, error) {
	scratch, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return nil, err
	}
	return &lab{ctx: ctx, root: root, o: o, scratch: scratch, healthy: map[string]error{}}, nil
}

func (l *lab) close() { _ = os.RemoveAll(l.scratch) } // nobody needs it

// prove tries the changes of a row until a test of it fails.
func (l *lab) prove(c candidate) verdict {
	v := verdict{id: c.id, outcome: unasked}
	if len(c.tests) == 0 {
		v.outcome = untested
		return v
	}
	tries := 0
	for _, one := range c.changes {
		if tries == l.o.tries || l.ctx.Err() != nil {
			break
		}
		result, test := l.try(one, c.tests)
		switch result {
		case invalid:
			continue
		case survived:
			tries++
			v.outcome = survived
			v.survivors = append(v.survivors, fmt.Sprintf("survived %s:%d %s", one.file, one.line, one.what))
			continue
		}
		v.outcome, v.change, v.test = result, one, test
		return v
	}
	return v
}

// try makes one change and runs the tests of its row, the cheapest package first.
func (l *lab) try(c change, tests map[string][]string) (outcome, string) {
	overlay, err := l.lay(c)
	if err != nil {
		return invalid, err.Error()
	}
	env := l.environment(overlay)
	if c.file[len(c.file)-3:] == ".go" {
		if _, err := l.run(env, "build", "./"+path.Dir(c.file)); err != nil {
			return invalid, ""
		}
	}
	for _, pkg := range slices.SortedFunc(maps.Keys(tests), byCost(c.file)) {
		run := "^(" + strings.Join(tests[pkg], "|") + ")$"
		out, err := l.run(env, "test", "-vet=off", "-timeout", l.o.timeout.String(), "-run", run, "./"+pkg)
		if err == nil {
			continue
		}
		failed := firstFailure(out)
		if failed == "" {
			return invalid, "" // it does not build, or did not run
		}
		if sickness := l.health(pkg, run); sickness != nil {
			return sick, pkg + "." + failed
		}
		return killed, pkg + "." + failed
	}
	return survived, ""
}

// health says whether tests pass without any change: else their failure proves nothing.
func (l *lab) health(pkg, run string) error {
	key := pkg + " " + run
	if known, asked := l.healthy[key]; asked {
		return known
	}
	_, err := l.run(os.Environ(), "test", "-vet=off", "-timeout", l.o.timeout.String(), "-run", run, "./"+pkg)
	l.healthy[key] = err
	return err
}

// lay writes the changed file, and the list that has the go command read it in place of the one in the tree.
func (l *lab) lay(c change) (overlay string, err error) {
	real := filepath.Join(l.root, filepath.FromSlash(c.file))
	text, err := os.ReadFile(real)
	if err != nil {
		return "", err
	}
	changed := filepath.Join(l.scratch, "changed-"+filepath.Base(real))
	list, err := json.Marshal(map[string]map[string]string{"Replace": {real: changed}})
	if err != nil {
		return "", err
	}
	overlay = filepath.Join(l.scratch, "overlay.json")
	return overlay, errors.Join(os.WriteFile(changed, c.apply(text), 0o600), os.WriteFile(overlay, list, 0o600))
}

// environment reaches also what the tests build themselves.
func (l *lab) environment(overlay string) []string {
	return append(os.Environ(), strings.TrimSpace("GOFLAGS="+os.Getenv("GOFLAGS")+" -overlay="+overlay))
}

func (l *lab) run(env []string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(l.ctx, "go", args...)
	cmd.Dir, cmd.Env = l.root, env
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	return cmd.CombinedOutput()
}

// byCost orders packages: the one of the change, then those without servers, then those with some, then whole systems.
func byCost(file string) func(a, b string) int {
	cost := func(pkg string) int {
		switch {
		case strings.HasPrefix(pkg, "test/") || strings.HasPrefix(pkg, "deploy/"):
			return 4
		case pkg == "lda" || pkg == "milter" || pkg == "internal/mailbox" || pkg == "internal/app" || strings.HasPrefix(pkg, "plugins"):
			return 3
		case pkg == path.Dir(file):
			return 1
		}
		return 2
	}
	return func(a, b string) int { return cmp.Or(cost(a)-cost(b), strings.Compare(a, b)) }
}

// firstFailure names the test that failed, or says that all went down; empty when none ran.
func firstFailure(out []byte) string {
	if match := regexp.MustCompile(`--- FAIL: ([^\s/(]+)`).FindSubmatch(out); match != nil {
		return string(match[1])
	}
	if match := regexp.MustCompile(`panic: test timed out[^\n]*\n(?:\s*running tests:\n\s*(\S+))?`).FindSubmatch(out); match != nil {
		return string(match[1]) + " (timed out)"
	}
	if bytes.Contains(out, []byte("\npanic: ")) || bytes.HasPrefix(out, []byte("panic: ")) {
		return "(panic)"
	}
	return ""
}
