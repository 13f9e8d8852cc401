// Command run runs go test and says in few lines what came of it: one line for
// each package, the output of what failed, the reason of what was skipped, and
// a last line "N passed, N failed, N skipped". Tests with subtests count by
// their subtests. With CI set in the environment, a skip is a failure: there
// everything that the tests need is installed.
//
// It does not choose, order or repeat tests, and knows nothing of their lab.
//
//	go run ./test/run [flags and packages of go test]
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
)

func main() {
	good, err := run(os.Args[1:], os.Getenv("CI") != "", os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "test/run:", err)
		os.Exit(2)
	}
	if !good {
		os.Exit(1)
	}
}

// run starts go test and reports what it says; strict makes skips failures.
func run(args []string, strict bool, out io.Writer) (good bool, err error) {
	cmd := exec.Command("go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = os.Stderr
	events, err := cmd.StdoutPipe()
	if err != nil {
		return false, err
	}
	// An interrupt reaches go test by itself; what it says last is still reported.
	// Ignoring the signal would be inherited, catching it is not.
	signal.Notify(make(chan os.Signal, 1), os.Interrupt)
	if err := cmd.Start(); err != nil {
		return false, err
	}
	report := newReport(out)
	lines := bufio.NewReader(events)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			report.line(line)
		}
		if err != nil {
			break // the end; Wait says whether it was a good one
		}
	}
	err = cmd.Wait()
	return report.finish(err, strict), nil
}
