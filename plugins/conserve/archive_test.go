package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/plugins"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/imap"
	"github.com/ceralacca/ceralacca/test/dovecot"
)

// archived is a world with an archive.
func (w *world) archived(rule, space string) {
	w.s.Archive, w.s.ArchiveDirectory, w.s.ArchiveSpace = rule, w.path("archive"), []byte(space)
	w.more += fmt.Sprintf("archive = %q\narchive_directory = %q\narchive_space = %s\n", rule, w.s.ArchiveDirectory, space)
}

func (w *world) copy(d *depositor, key string) string {
	w.t.Helper()
	r, ok, err := d.archive.Find(key)
	good(w.t, err)
	if !ok {
		return ""
	}
	content, err := d.archive.Box.Content(r)
	good(w.t, err)
	b, err := io.ReadAll(content)
	good(w.t, errors.Join(err, content.Close()))
	return string(b)
}

// The archive has a copy of what its rule says, whatever is conserved; what was stopped between the two is healed when the event
// comes again; a disk that fails has the event wait; when it is full conservation goes on, and what has no copy is counted.
func TestArchive(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.s.Keep, w.more = "sent", "keep = \"sent\"\n"
	w.archived("received", "2000")
	d := w.open()
	if e := w.deposit(d, bundle("received", "delivered")); e.Outcome != plugins.Done || e.Reference != notKept || w.copy(d, "received") != text("received") {
		t.Errorf("what is archived alone: %+v", e)
	}
	if e := w.deposit(d, bundle("sent", "accepted")); e.Outcome != plugins.Done || w.copy(d, "sent") != "" || w.state(d, "sent") != plugins.Pending {
		t.Errorf("what is conserved alone: %+v", e)
	}
	w.s.Keep, w.more = "both", strings.Replace(w.more, "sent", "both", 1)
	d = w.open()
	both := bundle("both", "delivered")
	_, _, err := d.archive.Take(d.record(both), strings.NewReader(text("both"))) // and then it was killed
	good(t, err)
	d = w.open()
	if e := w.deposit(d, both); e.Outcome != plugins.Done || w.state(d, "both") != plugins.Pending || w.copy(d, "both") != text("both") {
		t.Errorf("healed: %+v", e)
	}
	if u := d.archive.space.of(box); u.Items != 2 || u.Bytes != int64(len(text("both"))+len(text("received"))) {
		t.Errorf("the archive has %+v", u)
	}
	for range 2 {
		if e := w.deposit(d, bundle("one-that-is-far-too-long-for-the-room-that-is-left", "delivered")); e.Outcome != plugins.Done {
			t.Errorf("with a full archive: %+v", e)
		}
	}
	w.deposit(d, bundle("small", "delivered"))
	if h := d.Health(); d.archive.missing.Load() != 1 {
		t.Errorf("one has no copy: %+v", h)
	}
	w.deposit(d, bundle("another-that-is-far-too-long-for-the-room-there-is", "delivered"))
	if h := d.Health(); !strings.Contains(h.Problem, "2 messages have no copy") {
		t.Errorf("Health = %+v", h)
	}
	if out, code := w.command("status"); code != exitGood || !strings.Contains(out, "2 messages have no copy") || !strings.Contains(out, "[############") {
		t.Errorf("status: %d\n%s", code, out)
	}
	w.s.ArchiveSpace = []byte("0")
	d = w.open()
	long := bundle("one-that-is-far-too-long-for-the-room-that-is-left", "delivered")
	if e := w.deposit(d, long); e.Outcome != plugins.Done || w.copy(d, long.Key) != text(long.Key) || d.archive.missing.Load() != 1 {
		t.Errorf("with room again: %+v, %d missing", e, d.archive.missing.Load())
	}
	good(t, os.RemoveAll(w.file("archive/spool")))
	good(t, os.WriteFile(w.file("archive/spool"), nil, 0o600))
	b := bundle("x", "delivered")
	if e, err := d.Deposit(t.Context(), b, plugins.NewContent(strings.NewReader(text("x")), b.Size)); err == nil || w.state(d, "x") != plugins.Unknown {
		t.Errorf("with a disk that fails: %+v, %v", e, err)
	}
}

// What the archive counted of days that are over is not read again, and is right when such a day changes.
func TestArchiveTotals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.archived("both", "0")
	d := w.open()
	w.clock.at.Store(clock.System{}.Now().Add(48 * time.Hour).Unix())
	for i := range 3 {
		w.deposit(d, bundle(fmt.Sprint("k", i), "delivered"))
		d.archive.Clock = w.clock
		totals := must(d.archive.Totals(true))
		if n := totals[box].Items; n != int64(i+1) {
			t.Errorf("%d copies, want %d", n, i+1)
		}
	}
	for _, name := range must(os.ReadDir(w.file("archive/keys"))) {
		good(t, os.RemoveAll(w.file("archive/keys/"+name.Name()))) // nobody looks at them
	}
	if n := must(d.archive.Totals(true))[box].Items; n != 3 {
		t.Errorf("%d copies without reading, want 3", n)
	}
}

// mailbox reads a folder as IMAP gives it.
func (w *world) mailbox(folder string) (texts []string, times []time.Time) {
	w.t.Helper()
	s := must(readSettings(w.config(), "conserve"))
	session, err := must(s.dovecot()).Open(w.t.Context(), box)
	good(w.t, err)
	defer session.Close()
	_, err = session.Examine(folder)
	good(w.t, err)
	spans := must(session.Search(imap.Query{}))
	if len(spans) == 0 {
		return nil, nil
	}
	good(w.t, session.Bodies(spans, func(m imap.Message, text io.Reader) error {
		b, err := io.ReadAll(text)
		texts, times = append(texts, string(b)), append(times, m.Time)
		return err
	}))
	return texts, times
}

func (w *world) restoring(code int, wants string, args ...string) {
	w.t.Helper()
	out, got := w.command(append([]string{"restore"}, args...)...)
	if got != code || !strings.Contains(out, wants) {
		w.t.Errorf("restore %v: %d, want %d and %q:\n%s", args, got, code, wants, out)
	}
}

// What the archive has comes back into a folder byte for byte, once, with its time and not as seen; a folder that is new gets all
// again; a full mailbox is said, and what is left comes when it has room.
func TestRestore(t *testing.T) {
	t.Parallel()
	w, server := withDovecot(t)
	w.archived("both", "0")
	d := w.open()
	var want []string
	for i, key := range []string{"one", "two", "three"} {
		b := bundle(key, []string{"delivered", "delivered", "accepted"}[i])
		b.Time += int64(i) * 86400
		w.deposit(d, b)
		want = append(want, text(key))
	}
	folder := "Ripristino " + clock.System{}.Now().In(must(time.LoadLocation(legal))).Format(time.DateOnly)
	w.restoring(exitGood, "2 messages", "--event", "delivered", box)
	w.restoring(exitGood, "1 messages", box)
	w.restoring(exitGood, "0 messages, 0 B, put into \""+folder+"\"; 3 were there already", box)
	texts, times := w.mailbox(folder)
	if diff := cmp.Diff(want, texts); diff != "" {
		t.Errorf("in the mailbox (-want +got):\n%s", diff)
	}
	if len(times) != 3 || times[2].Unix() != noon.Unix()+2*86400 {
		t.Errorf("times are %v", times)
	}
	if out := server.Admin("fetch", "-u", box, "flags", "mailbox", folder, "all"); strings.Contains(out, "Seen") {
		t.Errorf("flags: %s", out)
	}
	if out := server.Admin("mailbox", "list", "-s", "-u", box); !strings.Contains(out, folder) {
		t.Errorf("the folder is not subscribed to: %s", out)
	}
	server.Admin("mailbox", "delete", "-s", "-u", box, folder)
	w.restoring(exitGood, "2 messages", "--since", "2026-11-04", box)
	w.restoring(exitGood, "1 messages", "--before", "2026-11-04", "--into", "Altrove", box)
	w.restoring(exitWrong, "no such messages", "--event", "anomaly", box)
	w.restoring(exitUsage, "wants one mailbox")
	for i := range 20 {
		w.deposit(d, bundle(fmt.Sprint("more-", i), "delivered"))
	}
	server.SetUsers(dovecot.User{Address: box, Quota: "*:storage=4K"})
	w.restoring(exitWrong, "the mailbox has no room for it", "--into", "Pieno", box)
	server.SetUsers(dovecot.User{Address: box})
	w.restoring(exitGood, box, "--into", "Pieno", box)
	if texts, _ := w.mailbox("Pieno"); len(texts) != 23 || len(slices.Compact(slices.Sorted(slices.Values(texts)))) != 23 {
		t.Errorf("%d messages after a full mailbox, want 23, each once", len(texts))
	}
	w.more = strings.Replace(w.more, "archive = \"both\"", "", 1)
	w.restoring(exitUsage, "there is no archive", box)
}

// changed says when the files of a pattern were written.
func (w *world) changed(pattern string) (times []time.Time) {
	w.t.Helper()
	for _, name := range must(filepath.Glob(w.file(pattern))) {
		if info, err := os.Stat(name); err == nil {
			times = append(times, info.ModTime())
		}
	}
	return times
}

// Killed again and again, a restore goes on where it was, and puts each message once.
func TestRestoreKilled(t *testing.T) {
	t.Parallel()
	w, _ := withDovecot(t)
	w.archived("both", "0")
	d := w.open()
	const messages = 600
	for i := range messages {
		b := bundle(fmt.Sprint("m-", i), "delivered")
		if _, _, err := d.archive.Take(d.record(b), bytes.NewReader([]byte(text(b.Key)))); err != nil {
			t.Fatal(err)
		}
	}
	program, config, seed := w.build(), w.config(), uint64(clock.System{}.Now().UnixNano())
	t.Logf("seed %d", seed)
	random, killed := rand.New(rand.NewPCG(seed, 0)), 0
	for range 6 {
		page := func() string { return fmt.Sprint(w.changed("state/restore/*/*/*.json")) }
		before := page()
		cmd := exec.Command(program, "restore", "--config", config, "--quiet", box)
		good(t, cmd.Start())
		if killedAfter(t, cmd, time.Duration(random.IntN(500))*time.Millisecond, func() bool { return page() != before }) {
			killed++
		}
	}
	out, code := w.command("restore", box)
	if code != exitGood || killed == 0 {
		t.Errorf("at last: %d, %s", code, out)
	}
	t.Logf("killed %d times, then %s", killed, out)
	texts, _ := w.mailbox("Ripristino " + clock.System{}.Now().In(must(time.LoadLocation(legal))).Format(time.DateOnly))
	slices.Sort(texts)
	if n := len(slices.Compact(slices.Clone(texts))); n != messages || len(texts) != messages {
		t.Errorf("%d messages, %d different ones; want %d", len(texts), n, messages)
	}
}
