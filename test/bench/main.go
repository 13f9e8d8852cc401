package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

func main() {
	if len(os.Args) == 3 && os.Args[1] == "noop" {
		fail(noop(os.Args[2]))
	}
	if len(os.Args) > 2 && os.Args[1] == "seal" {
		fail(sealFile(os.Args[2:]))
	}
	if len(os.Args) > 2 && os.Args[1] == "hardware" {
		fail(hardwareOnce(os.Args[2:]))
	}
	if len(os.Args) > 2 && os.Args[1] == "call" {
		fail(callOnce(os.Args[2:]))
	}
	if len(os.Args) > 2 && os.Args[1] == "open" {
		fail(openProcess(os.Args[2:]))
	}
	if len(os.Args) == 3 && os.Args[1] == "sink" {
		fail(runSink(os.Args[2]))
	}
	if name, ok := strings.CutPrefix(filepath.Base(os.Args[0]), plugPrefix); ok {
		fail(plug(name))
	}
	os.Exit(run(os.Args[1:]))
}

// fail ends a helper process with its error.
func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// run returns 0 when everything was measured and what must hold holds, 1 when not, 2 for wrong usage.
func run(args []string) int {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	name := flags.String("goal", "", "goals of docs/performance.md, such as P4 or P1,P2,P3; empty: all")
	bin := flags.String("bin", "bin/ceralacca", "the program to measure")
	dir := flags.String("dir", ".bench", "folder for results and logs")
	n := flags.Int("rounds", 5, "rounds of each comparison")
	env := flags.String("env", "", "added to the environment of the daemons, such as GODEBUG=gctrace=1")
	antivirus := flags.Bool("antivirus", false, "put an antivirus plug-in that reads all and finds nothing into the way of the milters")
	record := flags.Bool("record", false, "write the results into docs/performance.md")
	if flags.Parse(args) != nil {
		return 2
	}
	wanted := choose(*name)
	if *antivirus && *record {
		fmt.Fprintln(os.Stderr, "bench: what is measured with an antivirus is not what docs/performance.md holds")
		return 2
	}
	if len(wanted) == 0 || *n < 1 {
		fmt.Fprintf(os.Stderr, "bench: no goal %q; there are %s\n", *name, strings.Join(names(), ", "))
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	b, err := newBench(ctx, options{*bin, *dir, *env, *n, *antivirus, bare(wanted)})
	if err == nil {
		err = errors.Join(b.measure(wanted, *record), b.close())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	}
	return 0
}

// measure goes through the goals; one that fails does not keep the others from being measured.
func (b *bench) measure(goals []goal, record bool) error {
	var failed []error
	for _, g := range goals {
		b.say("%s: %s", g.name, g.text)
		began := b.conditions(g)
		rows, err := g.run(b)
		if err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", g.name, err))
		}
		if len(rows) == 0 || b.ctx.Err() != nil {
			continue
		}
		r := report{goal: g, began: began, rows: rows}
		fmt.Print("\n", r.table(), "\n")
		failed = append(failed, os.WriteFile(filepath.Join(b.dir, g.name+".md"), []byte(r.markdown()), 0o644))
		if record {
			failed = append(failed, r.record("docs/performance.md"))
		}
	}
	return errors.Join(failed...)
}
