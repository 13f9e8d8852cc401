package store_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"crypto/sha256"
	"fmt"

	"github.com/google/go-cmp/cmp"

	"github.com/ceralacca/ceralacca/plugins/conserve/internal/store"
)

func file(name, text string) store.File {
	return store.File{Name: name, Size: int64(len(text)), SHA256: fmt.Sprintf("%x", sha256.Sum256([]byte(text))),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }}
}

func files() []store.File {
	return []store.File{file("documenti/2.eml", "two"), file("documenti/1.eml", "one"), file("SUMS", "sums")}
}

// content is all that a package has, empty when it is not there.
func content(t *testing.T, d store.Directory, name string) map[string]string {
	t.Helper()
	p, found, err := d.Package(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	if !found {
		return all
	}
	names, err := p.Files(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"SUMS", "documenti/1.eml", "documenti/2.eml"}, names); d != "" {
		t.Errorf("Files: %s", d)
	}
	for _, name := range names {
		r, err := p.Open(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = string(text)
		_ = r.Close() // it was only read
	}
	return all
}

func whole() map[string]string {
	return map[string]string{"documenti/1.eml": "one", "documenti/2.eml": "two", "SUMS": "sums"}
}

// A package is there as a whole or not at all, wherever its Put ends, and the next Put makes it.
func TestPut(t *testing.T) {
	d := store.Directory(filepath.Join(t.TempDir(), "new"))
	for i := range files() {
		name := fmt.Sprintf("box/%d", i)
		ctx, cut := context.WithCancel(t.Context())
		interrupted, broken := files(), errors.New("broken off")
		interrupted[i].Open = func() (io.ReadCloser, error) {
			cut()
			return io.NopCloser(io.MultiReader(strings.NewReader("o"), failing{broken})), nil
		}
		if err := d.Put(ctx, name, interrupted); !errors.Is(err, broken) {
			t.Errorf("Put = %v", err)
		}
		if got := content(t, d, name); len(got) != 0 {
			t.Errorf("broken off at file %d there is %v", i, got)
		}
		for range 2 {
			if err := d.Put(t.Context(), name, files()); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(whole(), content(t, d, name)); d != "" {
				t.Error(d)
			}
		}
	}
	ctx, cut := context.WithCancel(t.Context())
	cut()
	if err := d.Put(ctx, "box/ended", files()); !errors.Is(err, context.Canceled) {
		t.Errorf("with an ended context: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// What is not what the package says of it is not stored; what another has stored under the name stays.
func TestWhatIsNotStored(t *testing.T) {
	d := store.Directory(t.TempDir())
	changed := files()
	changed[1].Open = files()[0].Open
	if err := d.Put(t.Context(), "box/1", changed); !errors.Is(err, store.ErrContent) || len(content(t, d, "box/1")) != 0 {
		t.Errorf("a document that changed: %v, want ErrContent", err)
	}
	if err := d.Put(t.Context(), "box/2", files()); err != nil {
		t.Fatal(err)
	}
	other := files()
	other[1], other[2] = file("documenti/1.eml", "uno"), file("SUMS", "others")
	if err := d.Put(t.Context(), "box/2", other); !errors.Is(err, store.ErrOther) {
		t.Errorf("another package: %v, want ErrOther", err)
	}
	if d := cmp.Diff(whole(), content(t, d, "box/2")); d != "" {
		t.Error(d)
	}
	if err := os.Remove(filepath.Join(string(d), "box/2/SUMS")); err != nil {
		t.Fatal(err)
	}
	if err := d.Put(t.Context(), "box/2", files()); !errors.Is(err, store.ErrOther) {
		t.Errorf("a package without its last file: %v, want ErrOther", err)
	}
}

// A name leads nowhere out of a package.
func TestFolderStaysInside(t *testing.T) {
	d := store.Directory(t.TempDir())
	if err := d.Put(t.Context(), "box/1", files()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"../1/SUMS", "/etc/passwd", "documenti/../SUMS"} {
		if r, err := store.Folder(filepath.Join(string(d), "box/1")).Open(t.Context(), name); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Open(%q) = %v, %v", name, r, err)
		}
	}
}
