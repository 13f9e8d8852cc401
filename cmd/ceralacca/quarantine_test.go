package main

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/ceralacca/ceralacca/internal/app/apptest"
	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/internal/ledger"
	"github.com/ceralacca/ceralacca/internal/quarantine"
	"github.com/ceralacca/ceralacca/internal/transaction"
)

func TestQuarantine(t *testing.T) {
	conformance.Covers(t, "C067")
	w := apptest.New(t)
	ask := func(args ...string) result {
		return command(t, append([]string{"quarantine"}, append(args, "--config", w.Config)...)...)
	}
	ask("list").says(t, "an empty one", exitGood, "The quarantine is empty.", "")
	ask("list", "--json").says(t, "an empty one, for programs", exitGood, "", "")

	s := quarantine.In(w.Path("state"))
	const content = "Subject: x\r\n\r\n\x1b]0;steered\x07\xff\r\n"
	id := strings.Repeat("ab", 16)
	entry := quarantine.Entry{
		ID: id, Time: time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC), Point: "incoming", Sender: "anna@beta.example",
		Recipients: []string{"mario@alfa.example"}, Virus: "Win.Test.EICAR_HDB-1", Engine: "ClamAV 1.4.3", Signatures: "27812",
		Subject: "a\x1b[31mb",
	}
	if _, err := s.Put(entry, func(w io.Writer) error { _, err := io.WriteString(w, content); return err }); err != nil {
		t.Fatal(err)
	}
	list := ask("list")
	list.says(t, "list", exitGood, id+"  ", "")
	if lines := strings.Split(strings.TrimSpace(list.out), "\n"); len(lines) != 2 || !strings.HasPrefix(lines[0], "ID ") ||
		!strings.Contains(lines[1], "  incoming  Win.Test.EICAR_HDB-1  ") {
		t.Errorf("the list is\n%s", list.out)
	}
	var got quarantine.Entry
	if err := json.Unmarshal([]byte(ask("list", "--json").out), &got); err != nil || got.Virus != entry.Virus || got.Size != int64(len(content)) {
		t.Errorf("list --json: %+v, %v", got, err)
	}
	show := ask("show", id)
	show.says(t, "show", exitGood, "Kept until:", "")
	for _, want := range []string{"Win.Test.EICAR_HDB-1", "ClamAV 1.4.3", "27812", "2029-05-22", got.SHA256, `"a\x1b[31mb"`} {
		if !strings.Contains(show.out, want) {
			t.Errorf("show does not say %q:\n%s", want, show.out)
		}
	}
	asked := ask("show", "--message", id)
	asked.says(t, "show --message", exitGood, `\x1b]0;steered\x07\xff`, "")
	if strings.Contains(show.out, "steered") || strings.ContainsAny(show.out+asked.out+list.out, "\x1b\x07") ||
		!utf8.ValidString(show.out+asked.out+list.out) {
		t.Errorf("what is infected comes to the terminal: %q", show.out)
	}

	to := filepath.Join(t.TempDir(), "out.eml")
	ask("export", id, "--to", to).says(t, "export", exitGood, got.SHA256, "")
	info, err := os.Stat(to)
	if text, read := os.ReadFile(to); err != nil || read != nil || string(text) != content || info.Mode().Perm() != 0o600 {
		t.Errorf("exported %q, mode %v", text, info.Mode())
	}
	ask("export", id, "--to", to).says(t, "export again", exitUsage, "", "exists and is not written over")
	ask("show", strings.Repeat("0", 32)).says(t, "an unknown id", exitUsage, "", "ceralacca quarantine list")
	ask("show", "../../x").says(t, "no id", exitUsage, "", "is not an id")
	if err := os.WriteFile(filepath.Join(s.Folder(), id+".eml"), []byte("y"), 0o600); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "other.eml")
	ask("export", id, "--to", other).says(t, "what was altered", exitWrong, "", "is not what was put in")
	if _, err := os.Stat(other); err == nil {
		t.Error("what was altered was exported")
	}
}

func TestLogShowsTheScan(t *testing.T) {
	r := ledger.Record{Event: ledger.EventAcceptance, Scan: transaction.Scan{Verdict: transaction.ScanEncrypted, Engine: "ClamAV 1.4.3", Signatures: "27812"}}
	if got, want := recordLine(r), "[antivirus: encrypted, ClamAV 1.4.3, 27812]"; !strings.HasSuffix(got, want) {
		t.Errorf("the line is %q, want %q at its end", got, want)
	}
	if got := recordLine(ledger.Record{Event: ledger.EventDelivery}); strings.Contains(got, "antivirus") {
		t.Errorf("the line of a delivery is %q", got)
	}
}
