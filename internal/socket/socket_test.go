package socket_test

import (
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/ceralacca/ceralacca/internal/socket"
)

func TestListen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	_ = stale.Close()
	live, err := socket.Listen("unix", path)
	if err != nil {
		t.Fatalf("over a socket left behind: %v", err)
	}
	defer func() { _ = live.Close() }()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("mode %v, %v, want 0660", info.Mode(), err)
	}
	if _, err := socket.Listen("unix", path); err == nil {
		t.Error("a live socket was taken over")
	}
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := socket.Listen("unix", file); err == nil {
		t.Error("a file was taken for a socket")
	}
	if b, _ := os.ReadFile(file); string(b) != "precious" {
		t.Error("the file is gone")
	}
	l, err := socket.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
}

// FuzzConnection: whatever comes, the connection ends when the peer is gone, and nothing panics.

func TestListenAsFolder(t *testing.T) {
	folder := t.TempDir()
	const group = 12345
	if err := os.Chown(folder, -1, group); err != nil {
		t.Fatalf("this test must run as root: %v", err)
	}
	path := filepath.Join(folder, "s")
	l, err := socket.ListenAsFolder("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if gid := info.Sys().(*syscall.Stat_t).Gid; gid != group || info.Mode().Perm() != 0o660 {
		t.Errorf("the socket has the group %d and mode %v, want %d and 0660", gid, info.Mode(), group)
	}
}
