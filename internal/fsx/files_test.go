package fsx_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ceralacca/ceralacca/internal/fsx"
)

func names(t *testing.T, folder string) []string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func TestWrite(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "f")
	for _, content := range []string{"first", "second"} {
		if err := fsx.WriteBytes(path, 0o640, []byte(content)); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != content {
			t.Errorf("content %q, %v; want %q", got, err, content)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v; want 0640", info.Mode(), err)
	}
	if diff := cmp.Diff([]string{"f"}, names(t, folder)); diff != "" {
		t.Errorf("the folder (-want +got):\n%s", diff)
	}
}

// What is there already is not written over, and nothing is left beside it.
func TestWriteNew(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "f")
	content := func(w io.Writer) error {
		_, err := io.WriteString(w, "first")
		return err
	}
	if err := fsx.WriteNew(path, 0o600, content); err != nil {
		t.Fatal(err)
	}
	if err := fsx.WriteNew(path, 0o600, func(io.Writer) error { return nil }); !errors.Is(err, fs.ErrExist) {
		t.Errorf("WriteNew over a file: %v, want ErrExist", err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 || info.Size() != 5 {
		t.Errorf("the file is %v, %v; want 5 bytes, 0600", info, err)
	}
	if diff := cmp.Diff([]string{"f"}, names(t, folder)); diff != "" {
		t.Errorf("the folder (-want +got):\n%s", diff)
	}
}

// A write that fails half-way leaves the old file, and nothing beside it.
func TestFailedWrite(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "f")
	if err := fsx.WriteBytes(path, 0o600, []byte("old")); err != nil {
		t.Fatal(err)
	}
	failure := errors.New("failure")
	err := fsx.Write(path, 0o600, func(w io.Writer) error {
		_, err := io.WriteString(w, "new")
		return errors.Join(err, failure)
	})
	if !errors.Is(err, failure) {
		t.Errorf("Write: %v, want the error of the function", err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "old" {
		t.Errorf("content %q, %v; want old", got, err)
	}
	if diff := cmp.Diff([]string{"f"}, names(t, folder)); diff != "" {
		t.Errorf("the folder (-want +got):\n%s", diff)
	}
	if err := fsx.WriteBytes(filepath.Join(folder, "none", "f"), 0o600, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Write into no folder: %v, want ErrNotExist", err)
	}
}

func TestRemove(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := fsx.WriteBytes(path, 0o600, nil); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := fsx.Remove(path); err != nil {
			t.Errorf("Remove: %v", err)
		}
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after Remove: %v, want ErrNotExist", err)
	}
}

func TestFolder(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "a", "b")
	for range 2 {
		if err := fsx.Folder(path, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder is %v, %v; want a folder 0700", info, err)
	}
	if err := fsx.WriteBytes(filepath.Join(root, "f"), 0o600, nil); err != nil {
		t.Fatal(err)
	}
	if err := fsx.Folder(filepath.Join(root, "f"), 0o700); err == nil {
		t.Error("a file passes for a folder")
	}
}
