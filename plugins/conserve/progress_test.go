package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/deposit"
)

// Progress is a bar that moves on a terminal, a line every five seconds elsewhere, nothing when all is to be quiet; what
// cannot be read is said in any case, on a line of its own.
func TestProgress(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		terminal, quiet bool
		want            string
	}{
		"terminal": {true, false, "\r\x1b[Kx [##########----------]  50 % 500 of 1000 messages, 1 KB, 250/s, 2s left" +
			"\r\x1b[Kx [####################] 100 % 1000 of 1000 messages, 2 KB, 167/s, 0s left\nx, folder \"INBOX\", message 7 cannot be read: broken\n"},
		"file":  {false, false, "x [####################] 100 % 1000 of 1000 messages, 2 KB, 167/s, 0s left\nx, folder \"INBOX\", message 7 cannot be read: broken\n"},
		"quiet": {false, true, "x, folder \"INBOX\", message 7 cannot be read: broken\n"},
	} {
		var out bytes.Buffer
		at := &hand{}
		p := &progress{out: &out, clock: at, terminal: test.terminal, quiet: test.quiet}
		p.Begin("x", 1000)
		at.at.Store(2)
		p.Looked(500, 1024)
		at.at.Store(6)
		p.Looked(500, 1024)
		p.Failed("x", "INBOX", 7, errors.New("broken"))
		p.end()
		if out.String() != test.want {
			t.Errorf("%s:\n%q\nwant\n%q", name, out.String(), test.want)
		}
	}
}

// What a process was writing when it was killed does not keep the folder of a day for ever; what is being written stays.
func TestCloseRemovesWhatWasAbandoned(t *testing.T) {
	t.Parallel()
	b := must(deposit.Open(t.TempDir()))
	g := deposit.Group{Mailbox: box, Day: "2026-11-03"}
	good(t, os.MkdirAll(b.GroupDir(g), 0o700))
	left := filepath.Join(b.GroupDir(g), ".abc.eml.123")
	good(t, os.WriteFile(left, nil, 0o600))
	b.Close(g)
	if _, err := os.Stat(left); err != nil {
		t.Errorf("what is being written is gone: %v", err)
	}
	old := clock.System{}.Now().Add(-2 * time.Hour)
	good(t, os.Chtimes(left, old, old))
	b.Close(g)
	if _, err := os.Stat(b.GroupDir(g)); err == nil {
		t.Error("the folder of a day stays for what was abandoned")
	}
}
