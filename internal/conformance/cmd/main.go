// Command cmd keeps docs/conformance.tsv: it checks the table against the code
// and the tests that ran, fills in what they say, and shows how far we are.
// It does not run tests.
//
//	go run ./internal/conformance/cmd check [-coverage DIR]
//	go run ./internal/conformance/cmd fill [-coverage DIR]
//	go run ./internal/conformance/cmd show
//	go run ./internal/conformance/cmd done C001 C002
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

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
		return fmt.Errorf("usage: check|fill [-coverage DIR], show, done ID…")
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	dir := flags.String("coverage", os.Getenv(conformance.CoverageVariable), "folder of what the tests covered")
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
	for _, fault := range faults {
		fmt.Fprintln(out, fault)
	}
	if len(faults) > 0 {
		return fmt.Errorf("conformance: %d faults", len(faults))
	}
	fmt.Fprintf(out, "conformance: %d rows agree with code and tests\n", len(w.table.Rows))
	return nil
}

func (w *work) save(out io.Writer) error {
	path := filepath.Join(w.root, filepath.FromSlash(conformance.TablePath))
	if err := os.WriteFile(path, w.table.Bytes(), 0o644); err != nil {
		return err
	}
	_, err := io.WriteString(out, w.table.Summary(w.citations))
	return err
}
