package store_test

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/ceralacca/ceralacca/internal/store"
)

// child runs the test of this name again, in a process of its own, with a file.
func child(t *testing.T, path string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "STORE_CHILD="+path)
	cmd.Stderr = os.Stderr
	return cmd
}

// A process is killed while it writes: what it was told to be durable is there, each update whole.
func TestKilledWriter(t *testing.T) {
	if path := os.Getenv("STORE_CHILD"); path != "" {
		writeForever(t, path)
		return
	}
	path := filepath.Join(t.TempDir(), "store")
	for range 3 {
		last := killAfter(t, path, 200)
		checkLog(t, path, last)
	}
}

// writeForever appends to two tables at once, and says each number after it is durable.
func writeForever(t *testing.T, path string) {
	s, err := store.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for {
		number := uint64(0)
		err := s.Update(t.Context(), func(tx store.Tx) (err error) {
			if number, err = tx.Append("log", []byte("record")); err != nil {
				return err
			}
			return tx.Put("index", []byte(strconv.FormatUint(number, 10)), nil)
		})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("durable %d\n", number)
	}
}

// killAfter kills a writer when it has made some updates, and returns the last number that it announced.
func killAfter(t *testing.T, path string, updates int) uint64 {
	t.Helper()
	cmd := child(t, path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	last, seen := uint64(0), 0
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		word, found := strings.CutPrefix(lines.Text(), "durable ")
		if !found {
			continue
		}
		if last, err = strconv.ParseUint(word, 10, 64); err != nil {
			t.Fatal(err)
		}
		if seen++; seen == updates {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait() // it was killed
	if seen < updates {
		t.Fatalf("the writer ended after %d updates", seen)
	}
	return last
}

func checkLog(t *testing.T, path string, last uint64) {
	t.Helper()
	s, err := store.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	want := uint64(0)
	err = s.View(t.Context(), func(tx store.Tx) error {
		return tx.Scan("log", nil, func(key, _ []byte) error {
			want++
			if got := binary.BigEndian.Uint64(key); got != want {
				return fmt.Errorf("record %d where %d should be", got, want)
			}
			if _, found := tx.Get("index", []byte(strconv.FormatUint(want, 10))); !found {
				return fmt.Errorf("record %d has no row in the index", want)
			}
			return nil
		})
	})
	if err != nil {
		t.Error(err)
	}
	if want < last {
		t.Errorf("%d records, but %d was announced as durable", want, last)
	}
}

// A disk without room: the update fails and leaves nothing, and the next one with room works.
func TestFullDisk(t *testing.T) {
	if path := os.Getenv("STORE_CHILD"); path != "" {
		fillDisk(t, path)
		return
	}
	out, err := child(t, filepath.Join(t.TempDir(), "store")).Output()
	if err != nil {
		t.Errorf("%v\n%.2000s", err, out)
	}
}

func fillDisk(t *testing.T, path string) {
	signal.Ignore(syscall.SIGXFSZ)
	s, err := store.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	update(t, s, put("t", "before=1"))
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	full := syscall.Rlimit{Cur: 256 << 10, Max: limit.Max} // also for what a file has beyond
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &full); err != nil {
		t.Fatal(err)
	}
	err = s.Update(t.Context(), func(tx store.Tx) error {
		return tx.Put("t", []byte("huge"), make([]byte, 4<<20))
	})
	if err == nil || errors.Is(err, store.ErrBroken) {
		t.Errorf("an update without room: %v, want an error that leaves the store usable", err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	update(t, s, put("t", "after=1"))
	if got := rows(t, s, "t", ""); len(got) != 2 {
		t.Errorf("%d rows, want those of the two updates that worked", len(got))
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
