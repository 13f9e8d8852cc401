// Command cmd keeps docs/conformance.tsv: it checks the table against the code
// and the tests that ran, fills in what they say, shows how far we are, and
// makes the report for a browser.
// It does not run tests.
//
//	go run ./internal/conformance/cmd check [-coverage DIR]
//	go run ./internal/conformance/cmd fill [-coverage DIR]
//	go run ./internal/conformance/cmd report -coverage DIR [-out DIR]
//	go run ./internal/conformance/cmd show
//	go run ./internal/conformance/cmd done C001 C002
package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/internal/conformance"
)

func main() {
	root, err := os.Getwd()
	if err == nil {
		root, err = conformance.Root(root)
	}
	if err == nil {
		err = run(root, os.Args[1:], os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run does one command on the module at root.
func run(root string, args []string, out io.Writer) error {
	if len(args) == 0 {
		return fmt.Errorf("usage: check|fill [-coverage DIR], report -coverage DIR [-out DIR], show, done ID…")
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	dir := flags.String("coverage", os.Getenv(conformance.CoverageVariable), "folder of what the tests covered")
	to := flags.String("out", filepath.Join(root, ".work", "conformance"), "folder for the report")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	work, err := load(root, *dir)
	if err != nil {
		return err
	}
	switch args[0] {
	case "check":
		return work.check(out)
	case "fill":
		work.table.Fill(work.citations, work.coverage)
		return work.save(out)
	case "report":
		return work.report(*to, out)
	case "show":
		_, err := io.WriteString(out, work.table.Summary(work.citations))
		return err
	case "done":
		if err := work.table.Promote(flags.Args(), work.citations); err != nil {
			return err
		}
		return work.save(out)
	}
	return fmt.Errorf("unknown command %q", args[0])
}

type work struct {
	root      string
	table     *conformance.Table
	citations conformance.Citations
	coverage  conformance.Coverage
}

func load(root, dir string) (*work, error) {
	table, err := conformance.Load(root)
	if err != nil {
		return nil, err
	}
	citations, err := conformance.FindCitations(root)
	if err != nil {
		return nil, err
	}
	w := &work{root: root, table: table, citations: citations}
	if dir != "" {
		w.coverage, err = conformance.ReadCoverage(dir)
	}
	return w, err
}

func (w *work) check(out io.Writer) error {
	faults := conformance.Check(w.root, w.table, w.citations, w.coverage)
	page, err := w.table.HTML(w.root, "../", nil)
	if err != nil {
		return err
	}
	if old, err := os.ReadFile(w.path(conformance.ReportPath)); err != nil || !bytes.Equal(old, page) {
		faults = append(faults, conformance.ReportPath+": It is not what the table says: go run ./internal/conformance/cmd fill writes it.")
	}
	for _, fault := range faults {
		fmt.Fprintln(out, fault)
	}
	if len(faults) > 0 {
		return fmt.Errorf("conformance: %d faults", len(faults))
	}
	fmt.Fprintf(out, "conformance: %d rows agree with code and tests\n", len(w.table.Rows))
	return nil
}

func (w *work) path(slashed string) string { return filepath.Join(w.root, filepath.FromSlash(slashed)) }

// save writes the table, and the page that shows it.
func (w *work) save(out io.Writer) error {
	page, err := w.table.HTML(w.root, "../", nil)
	if err != nil {
		return err
	}
	if err := os.WriteFile(w.path(conformance.TablePath), w.table.Bytes(), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(w.path(conformance.ReportPath), page, 0o644); err != nil {
		return err
	}
	_, err = io.WriteString(out, w.table.Summary(w.citations))
	return err
}

// report writes how the tests of one run ended, for people and for programs.
func (w *work) report(dir string, out io.Writer) error {
	if w.coverage == nil {
		return fmt.Errorf("report: of which run? -coverage names the folder that the tests filled")
	}
	r := conformance.Run{Date: clock.System{}.Now().UTC().Format("2006-01-02 15:04 MST"), Commit: commit(w.root), Coverage: w.coverage}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	up, err := filepath.Rel(dir, w.root)
	if err != nil {
		return err
	}
	page, err := w.table.HTML(w.root, filepath.ToSlash(up)+"/", &r)
	if err != nil {
		return err
	}
	lines, err := w.table.TSV(w.root, r)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, text := range map[string][]byte{"conformance.html": page, "conformance.tsv": lines} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "report: %s\n", filepath.Join(dir, "conformance.html"))
	return nil
}

// commit names the state of the tree, for a human.
func commit(root string) string {
	text, err := exec.Command("git", "-C", root, "describe", "--always", "--dirty=, with changes").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(text))
}
