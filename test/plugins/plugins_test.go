package plugins

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ceralacca/ceralacca/plugins/check"
	"github.com/ceralacca/ceralacca/plugins/host"
)

// build makes the executable of a package of this module, in a folder that every user may pass.
func build(t *testing.T, pkg string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "cp")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "plugin")
	out, err := exec.Command("go", "build", "-o", path, pkg).CombinedOutput()
	if err != nil {
		t.Fatalf("go build %s: %v\n%s", pkg, err, out)
	}
	return path
}

// failing returns the names of the checks that a plug-in fails.
func failing(t *testing.T, path string) []string {
	t.Helper()
	o := check.Options{Path: path, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	if os.Geteuid() == 0 {
		o.Isolation = host.Isolation{User: "nobody"}
	}
	var failed []string
	n, err := check.Run(context.Background(), o, func(l check.Line) {
		t.Log(l)
		if l.Err != nil {
			failed = append(failed, l.Name)
		}
	})
	if err != nil || n != len(failed) {
		t.Errorf("Run = %d, %v; told of %v", n, err, failed)
	}
	return failed
}

// Each seeded fault is found, at its own line and at no other.
func TestEachBadPluginFailsAtItsOwnLine(t *testing.T) {
	path := build(t, "./bad")
	for name, want := range map[string]string{
		"talkative": "describe", "mute": "handshake", "boaster": "versions", "noisy": "stdout noise", "ill": "health",
		"blind": "call", "hasty": "short content", "glutton": "big message", "deaf": "cancel", "tardy": "deadline",
		"single": "64 calls at once", "forgetful": "idempotency",
	} {
		t.Run(name, func(t *testing.T) {
			link := filepath.Join(filepath.Dir(path), name)
			if err := os.Link(path, link); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{want}, failing(t, link)); diff != "" {
				t.Errorf("failing checks (-want +got):\n%s", diff)
			}
		})
	}
}

// The examples pass every line.
func TestExamplesPass(t *testing.T) {
	t.Run("go", func(t *testing.T) {
		if failed := failing(t, build(t, "../../plugins/examples/eicar")); failed != nil {
			t.Errorf("the example in Go fails %v", failed)
		}
	})
}
