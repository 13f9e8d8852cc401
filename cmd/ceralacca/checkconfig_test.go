package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/ceralacca/ceralacca/internal/app/apptest"
)

// A line of the sender map that stops the daemon is a line of check-config.
func TestCheckConfigReadsTheSenderMap(t *testing.T) {
	w := apptest.New(t)
	text, err := os.ReadFile(w.Config)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(t, "ceralacca.toml", append(text, fmt.Sprintf("[submission]\nsender_map = %q\n", w.Path("senders"))...))
	w.Write(t, "senders", []byte("# who\nmario@alfa.example info@alfa.example\nluigi@alfa.example nothing\n"))
	command(t, "check-config", w.Config).says(t, "a broken line", exitWrong,
		w.Path("senders")+":3:1: \"nothing\" of login \"luigi@alfa.example\" is not an address; write luigi@alfa.example box@alfa.example\n",
		"(warning)")
	w.Write(t, "senders", []byte("mario@alfa.example info@alfa.example\n"))
	command(t, "check-config", w.Config).says(t, "a good map", exitGood, "in order", "(warning)")
}

// A Postfix that serves us and gives up before the agent does is a fault; any other is not looked at.
func TestCheckConfigLooksAtQueueLifetimes(t *testing.T) {
	if _, err := exec.LookPath("postconf"); err != nil {
		t.Skip("Postfix is not installed")
	}
	w := apptest.New(t)
	dir := t.TempDir()
	t.Setenv("MAIL_CONFIG", dir)
	main := filepath.Join(dir, "main.cf")
	ours := "ceralacca-agent unix - - n - - lmtp\n"
	for _, test := range []struct {
		name, main, master string
		code               int
		says               string
	}{
		{"two days", "maximal_queue_lifetime = 2d\n", ours, exitGood, "in order"},
		{"the default", "", ours, exitGood, "in order"},
		{"a day", "# x\nmaximal_queue_lifetime = 24h\n", ours, exitWrong, main + ":2:1: maximal_queue_lifetime is 24h"},
		{"bounces", "bounce_queue_lifetime = 0\n", ours, exitWrong, main + ":1:1: bounce_queue_lifetime is 0"},
		{"another Postfix", "maximal_queue_lifetime = 1h\n", "", exitGood, "in order"},
	} {
		for name, text := range map[string]string{"main.cf": test.main + "compatibility_level = 3.6\n", "master.cf": test.master} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		command(t, "check-config", w.Config).says(t, test.name, test.code, test.says, "(warning)")
	}
}
