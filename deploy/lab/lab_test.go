package lab_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/ceralacca/ceralacca/deploy/lab"
)

// shared is one lab without daemons for all tests that do not break it.
var shared *lab.Lab

func TestMain(m *testing.M) {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "skipped: the lab needs root")
		os.Exit(0)
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "ceralacca-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	shared, err = lab.Start(context.Background(), lab.Options{Dir: dir})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer shared.Stop()
	return m.Run()
}

func TestStart(t *testing.T) {
	for _, h := range shared.Hosts() {
		t.Logf("%s %s mx %d submission %d imaps %d out %d", h.Name, h.Address, h.MXPort, h.SubmissionPort, h.IMAPSPort, h.OutPort)
	}
}
