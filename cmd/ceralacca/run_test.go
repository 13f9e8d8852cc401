package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/internal/app"
	"github.com/ceralacca/ceralacca/internal/app/apptest"
	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/internal/events"
	"github.com/ceralacca/ceralacca/internal/ledger"
	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/internal/tracking"
	"github.com/ceralacca/ceralacca/pec"
)

// result is what a command left.
type result struct {
	code     int
	out, err string
}

func command(t testing.TB, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	code := run(t.Context(), args, &out, &errs)
	return result{code, out.String(), errs.String()}
}

// says fails unless code and both streams are as wanted; an empty text wants an empty stream.
func (r result) says(t testing.TB, name string, code int, out, errs string) {
	t.Helper()
	match := func(got, want string) bool {
		return want == "" && got == "" || want != "" && strings.Contains(got, want)
	}
	if r.code != code || !match(r.out, out) || !match(r.err, errs) {
		t.Errorf("%s: exit code %d, stdout %q, stderr %q; want %d, %q, %q", name, r.code, r.out, r.err, code, out, errs)
	}
}

// Every command has help with an example, and wrong flags and missing arguments are errors of usage.
func TestHelpAndUsage(t *testing.T) {
	commands := [][]string{{"milter"}, {"lda"}, {"check-config"}, {"verify"}, {"log"}, {"log", "list"}, {"audit"}, {"receipts"},
		{"receipts", "undelivered"}, {"pending"}, {"directory"}, {"directory", "update"}, {"directory", "show"}, {"directory", "diff"},
		{"directory", "history"}, {"directory", "export"}, {"quarantine"}, {"quarantine", "list"}, {"quarantine", "show"}, {"quarantine", "export"},
		{"network"}, {"network", "check"}, {"network", "tls-policy"}, {"version"}}
	top := command(t, "--help")
	for _, words := range commands {
		name := strings.Join(words, " ")
		r := command(t, append(slices.Clone(words), "--help")...)
		r.says(t, name+" --help", exitGood, "\n    ceralacca "+name, "")
		if !strings.Contains(r.out, "Example") || !strings.Contains(top.out, "\n  "+words[0]) {
			t.Errorf("%s has no example, or is not in the list: %s\n%s", name, r.out, top.out)
		}
		command(t, append(slices.Clone(words), "--no-such-flag")...).says(t, name, exitUsage, "", "--no-such-flag")
	}
	top.says(t, "--help", exitGood, "Usage: ceralacca", "")
	top.says(t, "--help", exitGood, "Example:\n\n    ceralacca ", "")
	command(t).says(t, "nothing", exitUsage, "", "ceralacca: no command was given. Try: ceralacca --help\n")
	command(t, "sing").says(t, "an unknown command", exitUsage, "", "sing")
	command(t, "aud").says(t, "half a command", exitUsage, "", `did you mean "audit"? Try: ceralacca --help`)
	command(t, "log").says(t, "log without more", exitUsage, "", "list is missing. Try: ceralacca log --help\n")
	command(t, "verify").says(t, "verify nothing", exitUsage, "", "<file> ... is missing. Try: ceralacca verify --help\n")
	command(t, "check-config").says(t, "check nothing", exitUsage, "", "<file> is missing")
	command(t, "verify", "x", "--ca").says(t, "a flag without value", exitUsage, "", "--ca needs a value")
	command(t, "verify", "--at", "yesterday", "x").says(t, "verify at no time", exitUsage, "", `--at: "yesterday" is no instant; write one like`)
	command(t, "audit", "--grace", "long").says(t, "no grace", exitUsage, "", "--grace")
	command(t, "version").says(t, "version", exitGood, "ceralacca ", "")
}

func TestCheckConfig(t *testing.T) {
	w := apptest.New(t)
	command(t, "check-config", w.Config).says(t, "in order", exitGood, "in order\n", "(warning)")
	none := filepath.Join(w.Dir, "none.toml")
	command(t, "check-config", none).says(t, "missing", exitUsage, "", "none.toml")
	command(t, "check-config", w.Dir).says(t, "a folder", exitUsage, "", w.Dir)
	if err := os.Chmod(w.Path("key.pem"), 0o644); err != nil {
		t.Fatal(err)
	}
	r := command(t, "check-config", w.Config)
	r.says(t, "a key for all to read", exitWrong, "chmod 0600", "(warning)")
	if !strings.HasPrefix(r.out, w.Config+":9:1: key.key: ") || strings.Count(r.out, "\n") != 1 {
		t.Errorf("a key for all to read: %q; want one line that begins with its place", r.out)
	}
	for _, command := range []string{"milter", "lda"} {
		result := result{}
		result.code = run(t.Context(), []string{command, "--config", none}, &bytes.Buffer{}, &bytes.Buffer{})
		result.says(t, command+" without configuration", exitUsage, "", "")
		result.code = run(t.Context(), []string{command, "--config", w.Config}, &bytes.Buffer{}, &bytes.Buffer{})
		result.says(t, command+" with a wrong one", exitWrong, "", "")
	}
}

// The corpus of broken files, each with the lines that it must give.
func TestCheckConfigCorpus(t *testing.T) {
	folder, err := filepath.Abs("../../internal/config/testdata/broken")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(folder)
	files, err := filepath.Glob("*.toml")
	if err != nil || len(files) < 50 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		want, err := os.ReadFile(strings.TrimSuffix(file, ".toml") + ".want")
		if err != nil {
			t.Fatal(err)
		}
		if r := command(t, "check-config", file); r.code != exitWrong || r.out != string(want) || r.err != "" {
			t.Errorf("%s: exit code %d, stderr %q, stdout\n%swant\n%s", file, r.code, r.err, r.out, want)
		}
	}
}

const (
	idGood  = "00000000000000000000000000000001@alfa.example"
	idWrong = "00000000000000000000000000000002@alfa.example"
)

// fill writes a coherent message, one without an acceptance receipt, and a receipt that waits.
func fill(t testing.TB, w *apptest.World) {
	t.Helper()
	s, err := store.Open(filepath.Join(w.Path("state"), "ceralacca.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	mario, err := pec.ParseAddress("mario@alfa.example")
	if err != nil {
		t.Fatal(err)
	}
	when := time.Now().Add(-48 * time.Hour)
	err = s.Update(t.Context(), func(tx store.Tx) error {
		for _, r := range []ledger.Record{
			{Identifier: idGood, Event: ledger.EventKept}, {Identifier: idWrong, Event: ledger.EventDelivery},
		} {
			r.Time, r.Sender, r.Subject, r.Provider = when, mario, `R&D <b> \u003c "`, "Alfa PEC"
			r.Recipients, r.Covered = []pec.Recipient{{Address: mario, Type: pec.Certified}}, []pec.Address{mario}
			if err := ledger.Append(tx, r); err != nil {
				return err
			}
		}
		if err := sent(tx, mario, when); err != nil {
			return err
		}
		return tracking.PutDue(tx, tracking.Due{ID: "1", Identifier: idGood, Kind: pec.KindDelivery, To: mario, Since: when, Next: when,
			Attempts: 3, LastError: "552 5.2.2 full"})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// sent has mario write to two recipients of others, of whom one was taken charge of, and to himself, who has it.
func sent(tx store.Tx, mario pec.Address, when time.Time) error {
	anna, err := pec.ParseAddress("anna@beta.example")
	if err != nil {
		return err
	}
	bruno, err := pec.ParseAddress("bruno@beta.example")
	if err != nil {
		return err
	}
	s := tracking.Submission{Identifier: idGood, Sender: mario, Time: when, Recipients: []pec.Recipient{
		{Address: anna, Type: pec.Certified}, {Address: bruno, Type: pec.Certified}, {Address: mario, Type: pec.Certified}}}
	taken := tracking.Fact{Sender: "Alfa PEC", Identifier: idGood, Recipient: bruno, Kind: tracking.Taken, Time: when}
	has := tracking.Fact{Sender: "Alfa PEC", Identifier: idGood, Recipient: mario, Kind: tracking.Delivered, Time: when}
	_, first := tracking.Record(tx, taken)
	_, second := tracking.Record(tx, has)
	return errors.Join(first, second, tracking.PutSubmission(tx, "t1", s),
		tracking.PutWatch(tx, tracking.Watch{Transaction: "t1", Sent: when, Last: true, Due: time.Now().Add(time.Hour)}))
}

// With the agent stopped the commands read its store; with the agent running they ask it. The answers are the same.
func TestQuestions(t *testing.T) {
	conformance.Covers(t, "C241")
	w := apptest.New(t)
	command(t, "log", "list", "--config", w.Config).says(t, "before the first start", exitUsage, "", "ceralacca.db")
	command(t, "log", "list", "--config", w.Path("none")).says(t, "without configuration", exitUsage, "", "none")
	fill(t, w)
	tellNobody(t, w)
	stopped := ask5(t, w)
	drop := []string{"plugin", "events", "--config", w.Config, "--drop", "archive"}
	command(t, append(drop, "--yes")...).says(t, "a drop without the agent", exitUsage, "", "start it first")
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- app.Agent(ctx, w.Config, app.Deps{Clock: clock.System{}, Random: strings.NewReader(""), Log: slog.New(slog.DiscardHandler)})
	}()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(w.Path("admin")); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the agent does not start")
		}
	}
	running := ask5(t, w)
	command(t, drop...).says(t, "a drop without --yes", exitUsage, "", "--yes")
	command(t, append(drop, "--yes")...).says(t, "a drop", exitGood, "1 events of archive dropped", "")
	command(t, "plugin", "events", "--config", w.Config).says(t, "events after the drop", exitGood, "no event waits", "")
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	for name, r := range stopped {
		if running[name] != r && name != "receipts" { // the running agent tries those, too
			t.Errorf("%s: stopped %+v, running %+v", name, r, running[name])
		}
	}
}

// tellNobody records an event for a plug-in that no configuration names any more.
func tellNobody(t *testing.T, w *apptest.World) {
	t.Helper()
	s, err := store.Open(w.Path("state/ceralacca.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	q, err := events.Open(t.Context(), s, w.Path("state/events"), clock.System{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	q.Subscribe([]events.Subscription{{Name: "archive", Content: true}})
	mario, err := pec.ParseAddress("mario@alfa.example")
	if err != nil {
		t.Fatal(err)
	}
	pending, err := q.Prepare(events.Event{Key: "k", Name: events.Delivered, Mailbox: mario, Identifier: idGood}, func(w io.Writer) error {
		_, err := io.WriteString(w, "Subject: x\r\n\r\n")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Update(t.Context(), func(tx store.Tx) error { return pending.Record(tx, time.Now()) }); err != nil {
		t.Fatal(err)
	}
}

func ask5(t *testing.T, w *apptest.World) map[string]result {
	t.Helper()
	at := []string{"--config", w.Config}
	ask := func(words ...string) result { return command(t, append(words, at...)...) }
	all := map[string]result{
		"list": ask("log", "list"), "json": ask("log", "list", "--json", "--id", idGood), "audit": ask("audit"),
		"brackets": ask("log", "list", "--json", "--id", "<"+idGood+">"), "audit json": ask("audit", "--json"), "young": ask("audit", "--grace", "96h"), "receipts": ask("receipts", "undelivered"),
		"events": ask("plugin", "events", "--json"), "events of nobody": ask("plugin", "events", "--mailbox", "luigi@alfa.example"),
	}
	all["pending"] = ask("pending", "--older", "12h")
	all["pending"].says(t, "pending --older 12h", exitGood, "mario@alfa.example → anna@beta.example: not taken in charge; 24h notice ", "")
	all["pending"].says(t, "pending --older 12h", exitGood, "→ bruno@beta.example: taken in charge ", "")
	if strings.Count(all["pending"].out, "\n") != 2 {
		t.Errorf("pending lists %s", all["pending"].out)
	}
	ask("pending", "--json").says(t, "pending --json", exitGood, `"recipient":"anna@beta.example","since":`, "")
	if young := ask("pending", "--older", "96h"); young.out != "" || young.code != exitGood {
		t.Errorf("pending --older 96h: %+v", young)
	}
	ask("pending", "--older=-1h").says(t, "pending of a negative age", exitUsage, "", "--older is negative")
	all["events"].says(t, "plugin events --json", exitGood, `"plugin":"archive"`, "")
	ask("plugin", "events", "--mailbox", "Mario@alfa.example").says(t, "plugin events", exitGood, "1 waiting, the oldest for ", "")
	ask("plugin", "events", "--mailbox", "mario").says(t, "plugin events of no address", exitUsage, "", "--mailbox")
	all["events of nobody"].says(t, "plugin events of another", exitGood, "no event waits", "")
	all["list"].says(t, "log list", exitGood, idWrong, "")
	if all["brackets"] != all["json"] {
		t.Errorf("log list --id with brackets: %v", all["brackets"])
	}
	ask("log", "list", "--id", "").says(t, "log list of no identifier", exitUsage, "", "--id is empty")
	ask("log", "list", "--id", idWrong).says(t, "log list of one", exitGood, "mario@alfa.example → mario@alfa.example\n", "")
	if !strings.Contains(all["json"].out, `"subject":"R&D <b> \\u003c \""`) {
		t.Errorf("the JSON of a subject with signs: %s", all["json"].out)
	}
	var record map[string]any
	if err := json.Unmarshal([]byte(all["json"].out), &record); err != nil || record["identifier"] != idGood || all["json"].code != exitGood {
		t.Errorf("log list --json --id: %v, %v", record, all["json"])
	}
	for _, name := range []string{"identifier", "time", "sender", "recipients", "subject", "event", "related", "provider", "effect", "queue_id"} {
		if _, has := record[name]; !has {
			t.Errorf("a record has no %s: %v", name, record)
		}
	}
	all["audit"].says(t, "audit", exitWrong, idWrong+": FAULT (rule ", "")
	all["audit json"].says(t, "audit --json", exitWrong, `"`+idWrong+`"`, "")
	all["young"].says(t, "audit --grace 96h", all["young"].code, all["young"].out, "")
	all["receipts"].says(t, "receipts undelivered", exitGood, "to mario@alfa.example: ", "")
	ask("receipts", "undelivered", "--json").says(t, "receipts undelivered --json", exitGood, `"kind":"avvenuta-consegna"`, "")
	return all
}
