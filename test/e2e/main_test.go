package e2e

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/ceralacca/ceralacca/deploy/lab"
	"github.com/ceralacca/ceralacca/deploy/lab/client"
)

// The lab that all tests of this package share; each test uses message ids of its own.
var (
	world *lab.Lab
	env   client.Env
	post  *sink // delta's mail server
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(runAll(m))
}

func runAll(m *testing.M) int {
	if f := flag.Lookup("test.list"); f != nil && f.Value.String() != "" {
		return m.Run() // only the names are asked for
	}
	dir, err := os.MkdirTemp("", "e2e")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	bin, err := build(dir, "ceralacca", "github.com/ceralacca/ceralacca/cmd/ceralacca")
	if err == nil {
		world, err = lab.Start(context.Background(), lab.Options{Dir: filepath.Join(dir, "lab"), Bin: bin, Daemons: true})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = world.Stop() }()
	env = client.ParseEnv(world.Env())
	if post, err = newSink(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer post.close()
	code := m.Run()
	if panicked(filepath.Join(dir, "lab", "log")) {
		fmt.Fprintln(os.Stderr, "a daemon panicked")
		code = 1
	}
	if code != 0 {
		logs(filepath.Join(dir, "lab", "log"))
	}
	return code
}

func build(dir, name, pkg string) (string, error) {
	bin := filepath.Join(dir, name)
	cmd := exec.Command("go", "build", "-o", bin, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building %s: %w\n%s", pkg, err, out)
	}
	return bin, nil
}

// panicked says whether a daemon of the lab logged a panic: it answers "try later", so that no test need notice.
func panicked(dir string) bool {
	files, _ := filepath.Glob(filepath.Join(dir, "*-[lm]*.log")) // the pattern is well formed
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && (bytes.Contains(b, []byte("msg=panic")) || bytes.Contains(b, []byte("msg=\"panic"))) {
			return true
		}
	}
	return false
}

// logs prints the end of every log: CI keeps nothing else.
func logs(dir string) {
	files, _ := filepath.Glob(filepath.Join(dir, "*")) // the pattern is well formed
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		fmt.Fprintf(os.Stderr, "--- %s\n%s\n", filepath.Base(f), b[max(0, len(b)-6000):])
	}
}
