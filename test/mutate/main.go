package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/ceralacca/ceralacca/internal/conformance"
)

// options are what one asks for.
type options struct {
	seed    uint64
	rows    int
	only    string
	tries   int
	units   bool
	timeout time.Duration
	work    string
}

func main() {
	o, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	unproven, err := run(ctx, o, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(2)
	}
	if unproven > 0 {
		os.Exit(1)
	}
}

func parse(args []string) (o options, err error) {
	f := flag.NewFlagSet("mutate", flag.ContinueOnError)
	f.Uint64Var(&o.seed, "seed", 1, "picks rows and changes: the same seed, the same run")
	f.IntVar(&o.rows, "rows", 20, "how many rows")
	f.StringVar(&o.only, "only", "", "these rows, with commas between them, instead of picked ones")
	f.IntVar(&o.tries, "tries", 6, "how many changes to try for a row before it counts as unproven")
	f.BoolVar(&o.units, "units", false, "pick only rows with tests outside test/, and run only those")
	f.DurationVar(&o.timeout, "timeout", 4*time.Minute, "how long the tests of one package may take")
	f.StringVar(&o.work, "work", filepath.Join(".work", "mutate"), "folder for what is known already; nothing else is written")
	f.Usage = func() {
		fmt.Fprintf(f.Output(), "Shows that the tests of %s fail when the code they prove is changed.\n\n"+
			"  go run ./test/mutate -seed 7 -rows 20\n\nAn interrupted run, or one with rows that are not proven, goes on with the same seed.\n"+
			"Ends with 1 when a row is not proven, 2 when it could not look.\n\n", conformance.TablePath)
		f.PrintDefaults()
	}
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("%q is no flag; see -help", f.Arg(0))
	}
	return o, nil
}

// run tries every row and returns how many are not proven.
func run(ctx context.Context, o options, out io.Writer) (unproven int, err error) {
	root, err := os.Getwd()
	if err == nil {
		root, err = conformance.Root(root)
	}
	if err != nil {
		return 0, err
	}
	rows, err := choose(root, o)
	if err != nil {
		return 0, err
	}
	memory, err := remember(o)
	if err != nil {
		return 0, err
	}
	lab, err := newLab(ctx, root, o)
	if err != nil {
		return 0, err
	}
	defer lab.close()
	for n, r := range rows {
		v, known := memory.killed[r.id]
		if !known {
			v = lab.prove(r)
		}
		if ctx.Err() != nil {
			return 0, fmt.Errorf("interrupted at %s: the same seed goes on from there", r.id)
		}
		if v.outcome != killed {
			unproven++
		}
		fmt.Fprintf(out, "%d/%d\t%s\n", n+1, len(rows), strings.Join(v.columns(), "\t"))
		for _, s := range v.survivors {
			fmt.Fprintf(out, "\t\t%s\n", s)
		}
		if err := memory.add(v); err != nil {
			return 0, err
		}
	}
	fmt.Fprintf(out, "seed %d: %d rows, %d proven, %d not\n", o.seed, len(rows), len(rows)-unproven, unproven)
	return unproven, memory.end(unproven)
}
