package plugins

import (
	"context"
	"errors"
	"flag"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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

// TestMain lets more tests run at once than there are processors: most of it is waiting.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "12"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// lines returns the checks that a plug-in fails, and those that were not tried.
func lines(t *testing.T, o check.Options) (failed, skipped []string) {
	t.Helper()
	o.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	if os.Geteuid() == 0 {
		o.Isolation = host.Isolation{User: "nobody"}
	}
	n, err := check.Run(context.Background(), o, func(l check.Line) {
		t.Log(l)
		switch l.Result() {
		case "fail":
			failed = append(failed, l.Name)
			if l.Advice == "" {
				t.Errorf("%s fails without advice", l.Name)
			}
		case "skip":
			skipped = append(skipped, l.Name)
		}
	})
	if err != nil || n != len(failed) {
		t.Errorf("Run = %d, %v; told of %v", n, err, failed)
	}
	return failed, skipped
}

// failing returns the names of the checks that a plug-in fails.
func failing(t *testing.T, path string) []string {
	t.Helper()
	failed, _ := lines(t, check.Options{Path: path})
	return failed
}

// bad makes one of the plug-ins in bad, in a folder of its own.
func bad(t *testing.T, built, name string) string {
	t.Helper()
	dir := openDir(t)
	lock := filepath.Join(dir, "lock")
	if err := errors.Join(os.Mkdir(lock, 0o777), os.Chmod(lock, 0o777), os.Link(built, filepath.Join(dir, name))); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, name)
}

// Each seeded fault is found, at its own line and at no other.
func TestEachBadPluginFailsAtItsOwnLine(t *testing.T) {
	path := build(t, "./bad")
	for name, want := range map[string]string{
		"talkative": "describe", "demanding": "configuration", "mute": "handshake", "boaster": "versions",
		"noisy": "stdout noise", "ill": "health", "blind": "call", "hasty": "short content", "glutton": "big message",
		"deaf": "cancel", "tardy": "deadline", "single": "64 calls at once", "hydra": "crash in mid-call", "litter": "restart",
		"immortal": "end",
		// of the other kinds
		"forgetful": "idempotency", "sulky": "cancel", "amnesiac": "call", "gullible": "call", "doubler": "idempotency",
		"forger": "call", "generous": "call",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := check.Options{Path: bad(t, path, name), Big: 4 << 20}
			if name == "glutton" {
				o.Big = 0 // as large as it comes
			}
			failed, _ := lines(t, o)
			if diff := cmp.Diff([]string{want}, failed); diff != "" {
				t.Errorf("failing checks (-want +got):\n%s", diff)
			}
		})
	}
}

// What cannot be run at all fails at the first line, and the others are said to be not tried.
func TestWhatIsNoProgramFailsAtTheFirstLine(t *testing.T) {
	path := filepath.Join(openDir(t), "text")
	if err := os.WriteFile(path, []byte("not a program"), 0o644); err != nil {
		t.Fatal(err)
	}
	failed, skipped := lines(t, check.Options{Path: path})
	if diff := cmp.Diff([]string{"file"}, failed); diff != "" || len(skipped) < 15 {
		t.Errorf("failing checks (-want +got):\n%s; %d not tried", diff, len(skipped))
	}
}

// A plug-in of the previous version of the contract, and one that takes files, are as good as any.
func TestThePreviousVersionAndFilesPass(t *testing.T) {
	path := build(t, "./bad")
	for _, name := range []string{"elder", "filer"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if failed, skipped := lines(t, check.Options{Path: bad(t, path, name)}); failed != nil || skipped != nil {
				t.Errorf("%s fails %v, and has %v not tried", name, failed, skipped)
			}
		})
	}
}

// Root checks as another user, who cannot enter the author's folder: that is no fault of the plug-in.
func TestAFolderOfTheAuthorsOwn(t *testing.T) {
	path := bad(t, build(t, "./bad"), "elder")
	if err := os.Chmod(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if failed, _ := lines(t, check.Options{Path: path, Big: 1 << 20}); failed != nil {
		t.Errorf("it fails %v", failed)
	}
}

// A host of the future and a plug-in of today say in a sentence that they have no version in common.
func TestAHostOfTheFutureIsToldWhatIsCommon(t *testing.T) {
	for name, path := range map[string]string{"go": build(t, "../../plugins/examples/eicar"), "python": python(t)} {
		cmd := exec.Command(path)
		cmd.Env = []string{sdk.HandshakeKey + "=" + sdk.HandshakeValue, "PLUGIN_PROTOCOL_VERSIONS=3", "PLUGIN_UNIX_SOCKET_DIR=" + t.TempDir()}
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "the host speaks version 3 of the contract, this plug-in [") {
			t.Errorf("%s: %v, %s; want a sentence, and the end", name, err, out)
		}
	}
}

// python puts the example in Python where everybody can run it.
func python(t *testing.T) string {
	t.Helper()
	if err := exec.Command("/usr/bin/python3", "-c", "import grpc, google.protobuf, cryptography").Run(); err != nil {
		t.Skip("needs python3-grpcio, python3-protobuf and python3-cryptography: make deps")
	}
	path := filepath.Join(openDir(t), "python", "eicar.py")
	if err := errors.Join(os.CopyFS(filepath.Dir(path), os.DirFS("../../plugins/examples/python")), os.Chmod(path, 0o755)); err != nil {
		t.Fatal(err)
	}
	return path
}

// An antivirus in Go is short.
func TestTheExampleInGoIsShort(t *testing.T) {
	data, err := os.ReadFile("../../plugins/examples/eicar/main.go")
	if lines := strings.Count(string(data), "\n"); err != nil || lines >= 60 {
		t.Errorf("%d lines, %v; want fewer than 60", lines, err)
	}
}

// The examples pass every line.
func TestExamplesPass(t *testing.T) {
	t.Run("go", func(t *testing.T) {
		t.Parallel()
		if failed := failing(t, build(t, "../../plugins/examples/eicar")); failed != nil {
			t.Errorf("the example in Go fails %v", failed)
		}
	})
	t.Run("python", func(t *testing.T) {
		t.Parallel()
		if failed := failing(t, python(t)); failed != nil {
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
				cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOFLAGS=-mod=readonly", "GOPROXY=off", "GOWORK=off")
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
