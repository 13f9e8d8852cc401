package e2e

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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
		_, err = build(dir, "clamav", "github.com/ceralacca/ceralacca/plugins/clamav")
	}
	if err == nil {
		world, err = lab.Start(context.Background(), lab.Options{Dir: filepath.Join(dir, "lab"), Bin: bin, Daemons: true, Antivirus: true})
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
	if wrong := panicked(filepath.Join(dir, "lab", "log"), 4); wrong != "" { // milter and agent of alfa and beta
		fmt.Fprintln(os.Stderr, wrong)
		code = 1
	}
	// No test breaks a message for good: one that does names it here.
	if err := world.Audit(context.Background(), bin, map[string]bool{}); err != nil {
		fmt.Fprintln(os.Stderr, err)
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

// panicked says what is wrong when a daemon of the lab logged a panic, which it answers with "try later", so that no test
// need notice, or died of one; "" when none did. Fewer logs than daemons would make the question worthless.
func panicked(dir string, daemons int) string {
	files, _ := filepath.Glob(filepath.Join(dir, "*-[lm]*.log")) // the pattern is well formed
	if len(files) < daemons {
		return fmt.Sprintf("%d logs of daemons in %s, want %d: %v", len(files), dir, daemons, files)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return err.Error()
		}
		for _, sign := range []string{"msg=panic", `msg="panic`, "\npanic: ", "\nfatal error: "} {
			if bytes.Contains(append([]byte("\n"), b...), []byte(sign)) {
				return filepath.Base(f) + ": a daemon panicked: " + strings.TrimSpace(sign)
			}
		}
	}
	return ""
}

// TestPanicked: the end of this package's tests sees every way in which a daemon panics, and logs that are not there.
func TestPanicked(t *testing.T) {
	for name, test := range map[string]struct {
		line    string
		daemons int
		seen    bool
	}{
		"nothing":             {"level=INFO msg=issued", 1, false},
		"the agent's":         {"level=ERROR msg=panic alarm=true", 1, true},
		"the milter's":        {`level=ERROR msg="panic in a milter transaction"`, 1, true},
		"that of a goroutine": {"panic: runtime error: index out of range", 1, true},
		"of the runtime":      {"fatal error: concurrent map writes", 1, true},
		"a log is missing":    {"level=INFO msg=issued", 2, true},
	} {
		dir := t.TempDir()
		for file, text := range map[string]string{"alfa-lda.log": "first\n" + test.line + "\n", "alfa-postfix.log": "panic: not a daemon of ours\n"} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got := panicked(dir, test.daemons); (got != "") != test.seen {
			t.Errorf("%s: panicked says %q, want something: %v", name, got, test.seen)
		}
	}
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
