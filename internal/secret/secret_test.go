package secret

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func write(t *testing.T, content string, mode fs.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestReadReturnsTheContentOfAPrivateFile(t *testing.T) {
	for _, mode := range []fs.FileMode{0o600, 0o400} {
		got, err := Read(write(t, "fourteen bytes", mode), 14)
		if err != nil || string(got) != "fourteen bytes" {
			t.Errorf("Read of a file with mode %#o = %q, %v; want its content", mode, got, err)
		}
	}
}

func TestReadFollowsALinkToAPrivateFile(t *testing.T) {
	path := write(t, "x", 0o600)
	link := path + ".link"
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if got, err := Read(link, 10); err != nil || string(got) != "x" {
		t.Errorf("Read of a link = %q, %v; want the content of its target", got, err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(link, 10); !errors.Is(err, ErrMode) {
		t.Errorf("Read of a link to a file that the group can read: %v; want %v", err, ErrMode)
	}
}

func TestReadRefuses(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, path string
		want       error
	}{
		{"a missing file", filepath.Join(t.TempDir(), "none"), fs.ErrNotExist},
		{"a folder", t.TempDir(), ErrNotRegular},
		{"a pipe", pipe, ErrNotRegular},
		{"an empty file", write(t, "", 0o600), ErrEmpty},
		{"a long file", write(t, strings.Repeat("x", 101), 0o600), ErrTooLarge},
		{"a file for the group", write(t, "x", 0o640), ErrMode},
		{"a file for all", write(t, "x", 0o604), ErrMode},
		{"a file that the group can only write", write(t, "x", 0o620), ErrMode},
		{"a file that others can only run", write(t, "x", 0o601), ErrMode},
	}
	for _, test := range tests {
		got, err := Read(test.path, 100)
		if !errors.Is(err, test.want) || got != nil {
			t.Errorf("Read of %s = %q, %v; want the error %v", test.name, got, err, test.want)
		}
		if err := Check(test.path); test.want != ErrEmpty && test.want != ErrTooLarge && !errors.Is(err, test.want) {
			t.Errorf("Check of %s: %v; want %v", test.name, err, test.want)
		}
	}
}

// ownedBy is a private file as the system would describe it if it were another user's: only root can make a real one.
type ownedBy struct {
	fs.FileInfo
	uid uint32
}

func (o ownedBy) Sys() any { return &syscall.Stat_t{Uid: o.uid} }

func TestOwner(t *testing.T) {
	info, err := os.Stat(write(t, "x", 0o600))
	if err != nil {
		t.Fatal(err)
	}
	self := uint32(os.Geteuid())
	for uid, want := range map[uint32]error{0: nil, self: nil, self + 12345: ErrOwner} {
		if err := judge("f", ownedBy{info, uid}); !errors.Is(err, want) {
			t.Errorf("the file of uid %d, read by uid %d: %v; want %v", uid, self, err, want)
		}
	}
}
