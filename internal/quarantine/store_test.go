package quarantine_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/internal/quarantine"
)

const id = "0123456789abcdef0123456789abcdef"

var instant = time.Date(2026, 8, 31, 10, 0, 0, 0, time.UTC)

func writes(text string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	}
}

func put(t *testing.T, s *quarantine.Store, e quarantine.Entry, text string) quarantine.Entry {
	t.Helper()
	e, err := s.Put(e, writes(text))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestPutAndGet(t *testing.T) {
	conformance.Covers(t, "C067")
	s := quarantine.In(t.TempDir())
	if entries, err := s.List(); err != nil || len(entries) != 0 {
		t.Errorf("an empty store has %v, %v", entries, err)
	}
	const text = "Received: x\r\n\r\n\x00\xff.\r\n"
	e := put(t, s, quarantine.Entry{ID: id, Time: instant, Virus: "Eicar", Sender: "a@b.example", Recipients: []string{"c@d.example"}}, text)
	if e.Size != int64(len(text)) || len(e.SHA256) != 64 {
		t.Errorf("the entry has size %d and digest %q", e.Size, e.SHA256)
	}
	if again := put(t, s, e, text); cmp.Diff(e, again) != "" {
		t.Errorf("put again it is %+v, want %+v", again, e)
	}
	older := put(t, s, quarantine.Entry{ID: strings.Repeat("f", 32), Time: instant.Add(-time.Hour)}, "x")
	entries, err := s.List()
	if diff := cmp.Diff([]*quarantine.Entry{&older, &e}, entries); diff != "" || err != nil {
		t.Errorf("List: %v (-want +got):\n%s", err, diff)
	}
	var got bytes.Buffer
	if err := s.Copy(&e, &got); err != nil || got.String() != text {
		t.Errorf("Copy: %q, %v; want %q", got.String(), err, text)
	}
	for _, unknown := range []string{strings.Repeat("0", 32), "../" + id, "", id + "0", strings.ToUpper(id)} {
		if _, err := s.Get(unknown); !errors.Is(err, quarantine.ErrNone) {
			t.Errorf("Get(%q): %v, want ErrNone", unknown, err)
		}
	}
}

// TestOnlyItsOwnerReads asks another user to read, for real.
func TestOnlyItsOwnerReads(t *testing.T) {
	conformance.Covers(t, "C067")
	state, err := os.MkdirTemp("", "quarantine") // a folder that others may enter, unlike that of the test
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(state) })
	if err := os.Chmod(state, 0o755); err != nil {
		t.Fatal(err)
	}
	s := quarantine.In(state)
	put(t, s, quarantine.Entry{ID: id, Time: instant}, "x")
	files := map[string]fs.FileMode{".": 0o700, id + ".eml": 0o600, id + ".json": 0o600}
	for name, want := range files {
		info, err := os.Stat(filepath.Join(s.Folder(), name))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v; want %v", name, info.Mode(), err, want)
		}
	}
	if os.Geteuid() != 0 {
		t.Skip("nobody else can be asked: this is not root")
	}
	for name := range files {
		cmd := exec.Command("/bin/cat", filepath.Join(s.Folder(), name))
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "denied") {
			t.Errorf("another user reads %s: %s, %v", name, out, err)
		}
	}
}

func TestExport(t *testing.T) {
	s := quarantine.In(t.TempDir())
	e := put(t, s, quarantine.Entry{ID: id, Time: instant}, "infected")
	to := filepath.Join(t.TempDir(), "out.eml")
	if err := s.Export(&e, to); err != nil {
		t.Fatal(err)
	}
	if err := s.Export(&e, to); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Export over a file: %v, want ErrExist", err)
	}
	text, err := os.ReadFile(to)
	info, _ := os.Stat(to)
	if err != nil || string(text) != "infected" || info.Mode().Perm() != 0o600 {
		t.Errorf("exported %q, %v, mode %v", text, err, info.Mode())
	}
	// What is not what was put in is not given out, not even half of it.
	other := filepath.Join(filepath.Dir(to), "other.eml")
	if err := os.WriteFile(filepath.Join(s.Folder(), id+".eml"), []byte("inf"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Export(&e, other); !errors.Is(err, quarantine.ErrAltered) {
		t.Errorf("Export of what was altered: %v, want ErrAltered", err)
	}
	if files, _ := os.ReadDir(filepath.Dir(to)); len(files) != 1 {
		t.Errorf("files are left: %v", files)
	}
}

// TestBrokenDescription: one that cannot be read hides no other.
func TestBrokenDescription(t *testing.T) {
	s := quarantine.In(t.TempDir())
	e := put(t, s, quarantine.Entry{ID: id, Time: instant}, "x")
	for name, text := range map[string]string{
		strings.Repeat("1", 32): "{", strings.Repeat("2", 32): `{"id":"` + id + `","time":"2026-01-01T00:00:00Z"}`, strings.Repeat("3", 32): "{}",
	} {
		if err := os.WriteFile(filepath.Join(s.Folder(), name+".json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := s.List()
	if diff := cmp.Diff([]*quarantine.Entry{&e}, entries); diff != "" || !errors.Is(err, quarantine.ErrEntry) {
		t.Errorf("List: %v, want ErrEntry (-want +got):\n%s", err, diff)
	}
}

func TestUntil(t *testing.T) {
	conformance.Covers(t, "C067")
	for from, want := range map[string]string{
		"2026-11-22": "2029-05-22",
		"2026-08-31": "2029-03-03", // there is no 31 February: never earlier
	} {
		at, err := time.Parse(time.DateOnly, from)
		if err != nil {
			t.Fatal(err)
		}
		if got := (&quarantine.Entry{Time: at}).Until().Format(time.DateOnly); got != want {
			t.Errorf("what came on %s is kept until %s, want %s", from, got, want)
		}
	}
}
