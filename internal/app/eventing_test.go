package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/internal/admin"
	"github.com/ceralacca/ceralacca/internal/app"
	"github.com/ceralacca/ceralacca/internal/app/apptest"
	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/internal/config"
	"github.com/ceralacca/ceralacca/internal/events"
	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/pec"
)

// obedient is the plug-in of test/plugins/obedient, of one kind, and its folder.
type obedient struct {
	t            *testing.T
	path, folder string
	section      string
}

func newObedient(t *testing.T, name, kind string) *obedient {
	t.Helper()
	dir, err := os.MkdirTemp("", "op")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	o := &obedient{t: t, path: filepath.Join(dir, kind), folder: filepath.Join(dir, "files")}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(o.folder, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(o.folder, 0o777); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "build", "-o", o.path, "../../test/plugins/obedient").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	user := ""
	if os.Geteuid() == 0 {
		user = "user = \"nobody\"\n"
	}
	o.section = fmt.Sprintf("[plugins.%s]\npath = %q\nsha256 = %q\n%sdeadline = \"2s\"\n[plugins.%[1]s.config]\nfolder = %[5]q\n",
		name, o.path, sum(o.path), user, o.folder)
	return o
}

// log is what it was called with.
func (o *obedient) log() []string {
	text, err := os.ReadFile(filepath.Join(o.folder, "log"))
	if err != nil {
		return nil
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

// answers tells it what to do from now on.
func (o *obedient) answers(word string) {
	o.t.Helper()
	if err := os.WriteFile(filepath.Join(o.folder, "answer"), []byte(word), 0o644); err != nil {
		o.t.Fatal(err)
	}
}

// plug adds sections to the configuration of a world, whose sockets the user of a plug-in must reach.
func plug(t *testing.T, w *apptest.World, sections ...string) {
	t.Helper()
	if err := os.Chmod(w.Dir, 0o711); err != nil {
		t.Fatal(err)
	}
	w.WriteConfig(t, "")
	text, err := os.ReadFile(w.Config)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(t, filepath.Base(w.Config), append(text, strings.Join(sections, "")...))
}

// happens records events of a mailbox, as an agent does that is killed before it delivers them.
func happens(t *testing.T, w *apptest.World, s events.Subscription, mailbox string, numbers ...int) {
	t.Helper()
	conf, err := config.Load(w.Config)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := store.Open(app.StoreFile(conf))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	q, err := events.Open(t.Context(), rows, filepath.Join(conf.Agent.State, "events"), clock.System{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	q.Subscribe([]events.Subscription{s})
	box, err := pec.ParseAddress(mailbox)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range numbers {
		id := strconv.Itoa(n)
		pending, err := q.Prepare(events.Event{Key: events.KeyOf(mailbox, id), Name: events.Delivered, Mailbox: box,
			Identifier: pec.Identifier(id)}, func(to io.Writer) error {
			_, err := fmt.Fprintf(to, "Subject: number %d\r\n\r\n%s\r\n", n, bytes.Repeat([]byte("x"), 3<<20))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := rows.Update(t.Context(), func(tx store.Tx) error { return pending.Record(tx, time.Now()) }); err != nil {
			t.Fatal(err)
		}
	}
}

// numbers are the distinct identifiers that a notification plug-in was told of, in order.
func numbers(log []string) []string {
	var out []string
	for _, line := range log {
		if words := strings.Fields(line); len(words) > 3 && (len(out) == 0 || out[len(out)-1] != words[3]) {
			out = append(out, words[3])
		}
	}
	return out
}

func left(t *testing.T, w *apptest.World) int {
	t.Helper()
	conf, err := config.Load(w.Config)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	err = admin.NewClient(conf.Agent.AdminSocket.Address).Events(t.Context(), "", "", func(line json.RawMessage) error { n++; return nil })
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// What was recorded before the agent died is delivered by the next one, in order, and the plug-in is shown what it asked for.
func TestAgentDeliversEvents(t *testing.T) {
	w, o := apptest.New(t), newObedient(t, "sms", "notification")
	plug(t, w, o.section)
	const anna = "anna@alfa.example"
	happens(t, w, events.Subscription{Name: "sms", Headers: true, Metadata: true}, anna, 1, 2, 3)
	d := start(t, w, app.Agent)
	d.awaitLog("agent started", 1)
	d.await("all events", func() bool { return left(t, w) == 0 })
	for i, line := range o.log() {
		if want := fmt.Sprintf("%s %s delivered %d number_%[3]d", events.KeyOf(anna, strconv.Itoa(i+1)), anna, i+1); line != want {
			t.Errorf("call %d: %q, want %q", i, line, want)
		}
	}
	if err := d.end(); err != nil {
		t.Error(err)
	}
}

// A plug-in that dies in every call, hangs, or says later loses nothing; when it obeys again all comes, in order, under the
// same keys; and it is killed at that.
func TestPluginThatFails(t *testing.T) {
	w, o := apptest.New(t), newObedient(t, "sms", "notification")
	plug(t, w, o.section)
	happens(t, w, events.Subscription{Name: "sms"}, "anna@alfa.example", 1, 2)
	o.answers("die")
	d := start(t, w, app.Agent)
	d.awaitLog("agent started", 1)
	calls := func() int { return len(o.log()) }
	d.await("a call that kills it", func() bool { return calls() >= 2 })
	o.answers("hang")
	before := calls()
	d.await("a call that hangs", func() bool { return calls() > before })
	d.awaitLog("the plug-in is slow", 1)
	o.answers("later")
	before = calls()
	d.await("a call that is put off", func() bool { return calls() > before })
	if n := left(t, w); n != 2 {
		t.Errorf("%d events wait, want 2", n)
	}
	o.answers("")
	d.await("all events", func() bool { return left(t, w) == 0 })
	if got := numbers(o.log()); strings.Join(got, " ") != "1 2" {
		t.Errorf("told of %v, want 1 again and again, then 2", got)
	}
	keys := map[string]bool{}
	for _, line := range o.log() {
		keys[strings.Fields(line)[0]] = true
	}
	if len(keys) != 2 {
		t.Errorf("%d keys for two events", len(keys))
	}
}

// The content goes to a conservation plug-in byte for byte; what it refuses is kept and listed, and can be dropped. A plug-in
// taken out of the configuration by SIGHUP is told no more.
func TestConservationRefusesAndLeaves(t *testing.T) {
	w, o := apptest.New(t), newObedient(t, "archive", "conservation")
	plug(t, w, o.section)
	happens(t, w, events.Subscription{Name: "archive", Content: true}, "anna@alfa.example", 1)
	d := start(t, w, app.Agent)
	d.awaitLog("agent started", 1)
	d.await("the deposit", func() bool { return left(t, w) == 0 })
	kept, err := os.ReadFile(filepath.Join(o.folder, events.KeyOf("anna@alfa.example", "1")+".eml"))
	if want := fmt.Sprintf("Subject: number 1\r\n\r\n%s\r\n", bytes.Repeat([]byte("x"), 3<<20)); err != nil || string(kept) != want {
		t.Errorf("%d bytes kept, %v; want %d", len(kept), err, len(want))
	}
	d.await("no file", func() bool { // it goes after its row
		files, err := os.ReadDir(filepath.Join(w.Dir, "state", "events"))
		return err == nil && len(files) == 0
	})
	if err := d.end(); err != nil {
		t.Fatal(err)
	}
	happens(t, w, events.Subscription{Name: "archive", Content: true}, "anna@alfa.example", 2)
	o.answers("refused")
	d = start(t, w, app.Agent)
	d.awaitLog("refuses an event for good", 1)
	if left(t, w) != 1 {
		t.Error("what was refused is not listed")
	}
	plug(t, w)
	d.reload <- syscall.SIGHUP
	d.awaitLog("the configuration was read again", 1)
	conf, err := config.Load(w.Config)
	if err != nil {
		t.Fatal(err)
	}
	said := ""
	err = admin.NewClient(conf.Agent.AdminSocket.Address).Drop(t.Context(), "archive", func(line json.RawMessage) error { said += string(line); return nil })
	if err != nil || said != "1" || left(t, w) != 0 {
		t.Errorf("Drop: %q, %v, %d left", said, err, left(t, w))
	}
}

// A plug-in that does not start stops the start, by file and line; one that comes by SIGHUP leaves the old configuration.
func TestUnfitPluginStopsTheAgent(t *testing.T) {
	w, o := apptest.New(t), newObedient(t, "sms", "notification")
	broken := strings.Replace(o.section, "folder = ", "fodler = ", 1)
	plug(t, w, broken)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := app.Agent(ctx, w.Config, app.Deps{Clock: clock.System{}, Random: zeros{}, Log: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "ceralacca.toml:") || !strings.Contains(err.Error(), "fodler") {
		t.Errorf("the agent says %v", err)
	}
	plug(t, w)
	d := start(t, w, app.Agent)
	d.awaitLog("agent started", 1)
	plug(t, w, broken)
	d.reload <- syscall.SIGHUP
	d.awaitLog("the old one stays", 1)
	plug(t, w, o.section)
	d.reload <- syscall.SIGHUP
	d.awaitLog("plug-in started", 1)
	d.awaitLog("the configuration was read again", 1)
}
