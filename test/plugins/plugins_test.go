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

	sdk "github.com/ceralacca/ceralacca/plugins"
	"github.com/ceralacca/ceralacca/plugins/check"
	"github.com/ceralacca/ceralacca/plugins/host"
	"github.com/ceralacca/ceralacca/plugins/scaffold"
)

// openDir makes a folder that every user may pass.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "cp")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// build makes the executable of a package of this module.
func build(t *testing.T, pkg string) string {
	t.Helper()
	path := filepath.Join(openDir(t), "plugin")
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
			t.Parallel() // most of it is waiting
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
	t.Run("python", func(t *testing.T) {
		if err := exec.Command("/usr/bin/python3", "-c", "import grpc, google.protobuf, cryptography").Run(); err != nil {
			t.Skip("needs python3-grpcio, python3-protobuf and python3-cryptography: make deps")
		}
		dir := filepath.Join(openDir(t), "python")
		if err := os.CopyFS(dir, os.DirFS("../../plugins/examples/python")); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "eicar.py")
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if failed := failing(t, path); failed != nil {
			t.Errorf("the example in Python fails %v", failed)
		}
	})
}

// What plugin new writes builds, passes its own tests, and passes every line, as it stands.
func TestNewModulesPass(t *testing.T) {
	for _, kind := range []sdk.Kind{sdk.KindAntivirus, sdk.KindConservation, sdk.KindNotification, sdk.KindKey} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel() // most of it is waiting
			dir := filepath.Join(openDir(t), "mine")
			if err := scaffold.New(dir, "mine", kind); err != nil {
				t.Fatal(err)
			}
			for _, args := range [][]string{{"build"}, {"test", "."}} {
				cmd := exec.Command("go", args...)
				cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOFLAGS=-mod=readonly", "GOWORK=off")
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("go %v: %v\n%s", args, err, out)
				}
			}
			if failed := failing(t, filepath.Join(dir, "mine")); failed != nil {
				t.Errorf("the new module fails %v", failed)
			}
		})
	}
}
