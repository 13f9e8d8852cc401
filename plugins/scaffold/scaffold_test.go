package scaffold

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ceralacca/ceralacca/plugins"
)

// versions are the modules that a go.mod asks for.
func versions(text string) map[string]string {
	found := map[string]string{}
	for line := range strings.Lines(text) {
		fields := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require "))
		if len(fields) >= 2 && strings.HasPrefix(fields[1], "v") {
			found[fields[0]] = fields[1]
		}
	}
	return found
}

// A new module is built with the libraries that the host was built with.
func TestTheLibrariesAreThoseOfTheHost(t *testing.T) {
	data, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	host := versions(string(data))
	for _, name := range []string{"files/go.mod.tmpl", "files/sdk.mod.tmpl"} {
		data, err := files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]string{}
		got := versions(string(data))
		delete(got, "github.com/ceralacca/ceralacca")
		for library := range got {
			want[library] = host[library]
		}
		if diff := cmp.Diff(want, got); diff != "" || len(got) < 5 {
			t.Errorf("%s (-go.mod +got):\n%s", name, diff)
		}
	}
}

func TestNewWritesTheSDKAsItIs(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "mine")
	if err := New(dir, "mine", plugins.KindKey); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"serve.go", "contract/doc.go", "contract/v2/key.proto", "contract/v2/key_grpc.pb.go", "contract/v1/plugin.pb.go"} {
		want, err := os.ReadFile(filepath.Join("..", name))
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(dir, "ceralacca", "plugins", name))
		if err != nil || string(got) != string(want) {
			t.Errorf("%s differs: %v", name, err)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for _, name := range []string{"", "Mine", "a/b", "../up", "9lives", "-x", strings.Repeat("x", 33)} {
		if err := New(filepath.Join(t.TempDir(), "x"), name, plugins.KindKey); !errors.Is(err, ErrName) {
			t.Errorf("New %q: %v; want %v", name, err, ErrName)
		}
	}
	for _, name := range []string{"ceralacca", "v2"} {
		if err := New(filepath.Join(t.TempDir(), "x"), name, plugins.KindKey); !errors.Is(err, ErrTaken) {
			t.Errorf("New %q: %v; want %v", name, err, ErrTaken)
		}
	}
	if err := New(t.TempDir(), "mine", plugins.KindKey); !errors.Is(err, fs.ErrExist) {
		t.Errorf("New over a folder: %v; want %v", err, fs.ErrExist)
	}
}
