package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/test/dovecot"
)

// doveadm runs a command of a Dovecot.
func doveadm(t *testing.T, s *dovecot.Server, in string, args ...string) string {
	t.Helper()
	cmd := exec.Command("doveadm", append([]string{"-c", filepath.Join(s.Dir, "dovecot.conf")}, args...)...)
	cmd.Stdin = strings.NewReader(in)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("doveadm %q: %v\n%s", args, err, out)
	}
	return string(out)
}

// fill puts a message of so many KB into the mailbox.
func fill(t *testing.T, s *dovecot.Server, kb int) {
	t.Helper()
	doveadm(t, s, "Subject: x\n\n"+strings.Repeat(strings.Repeat("x", 63)+"\n", kb*16-4), "save", "-u", box1)
}

// What the timer hands over of a real Dovecot tells each threshold once, and again when the mailbox was emptied and fills
// again.
func TestQuotaUsageOfARealDovecot(t *testing.T) {
	s := dovecot.Start(t, dovecot.User{Address: box1, Quota: "*:storage=100K"}, dovecot.User{Address: "nobody@alfa.example", Quota: "*:storage=100K"},
		dovecot.User{Address: "unlimited@alfa.example"})
	dir, path := built(t)
	state := filepath.Join(dir, "state")
	folders(t, state)
	rome, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, line: &line{answer: taken}}
	w.c = config{state: state, rules: filepath.Join(dir, "rules.json"), zone: rome, giveUp: time.Hour, workers: 1, sms: w.line}
	w.rules(`{"numbers": ["+393401234567"], "kinds": ["quota"], "daily_cap": 100, "texts": {"quota": "{{.Percent}}"}}`)
	w.start()
	defer func() { w.end() }()
	for i, step := range []struct {
		kb   int // to put into it; -1: to empty it
		want string
	}{{50, ""}, {33, "80"}, {0, ""}, {8, "90"}, {5, "95"}, {0, ""}, {-1, ""}, {85, "80"}, {0, ""}, {-1, ""}, {97, "95"}} {
		switch {
		case step.kb > 0:
			fill(t, s, step.kb)
		case step.kb < 0:
			doveadm(t, s, "", "expunge", "-u", box1, "mailbox", "*", "all")
		}
		printed := doveadm(t, s, "", "-f", "tab", "quota", "get", "-A")
		cmd := exec.Command(path, "quota-usage", "--state", state)
		cmd.Stdin = strings.NewReader(printed)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("quota-usage: %v\n%s", err, out)
		}
		for end := time.Now().Add(20 * time.Second); !emptied(state); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("what was handed over is not taken")
			}
		}
		time.Sleep(1200 * time.Millisecond) // a tick, in which it is sent
		want := ""
		if step.want != "" {
			want = "+393401234567 " + step.want
		}
		if got := strings.Join(w.line.texts(), "|"); got != want {
			t.Errorf("step %d: sent %q, want %q, of\n%s", i, got, want, printed)
		}
	}
}

// emptied says whether nothing that was handed over is left.
func emptied(state string) bool {
	files, err := os.ReadDir(filepath.Join(state, "spool"))
	return err == nil && len(files) == 0
}

// Dovecot's hook and the timer do not tell the same twice, and what comes late tells nothing old.
func TestHookAndTimerTellOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, `{"numbers": ["+393401234567"], "kinds": ["quota"], "texts": {"quota": "{{.Percent}}"}}`)
		step := func(what string, h handed, texts ...string) {
			t.Helper()
			h.Key = fmt.Sprint(what, time.Now())
			if err := w.e.store.hand(h); err != nil {
				t.Fatal(err)
			}
			time.Sleep(3 * time.Second)
			w.want(what, texts...)
		}
		usage := func(full float64) handed {
			return handed{Kind: "usage", Fullness: []sample{{box1, full, time.Now()}}, Time: time.Now()}
		}
		hook := func(percent int) handed {
			return handed{Kind: kindQuota, Mailbox: box1, Percent: percent, Time: time.Now()}
		}
		old := usage(0.99)
		step("the hook passes two at once", hook(95), "+393401234567 95")
		step("the timer sees it", usage(0.96))
		step("it hovers", usage(0.93))
		step("the hook, again", hook(95))
		step("an old sample", old)
		step("it was emptied", usage(0.40))
		step("the hook, after that", hook(80), "+393401234567 80")
		step("the timer, after that", usage(0.81))
		step("the timer sees more", usage(0.92), "+393401234567 90")
		step("the hook sees the same", hook(90))
		w.end()
	})
}

func TestUsageThatCannotBeRead(t *testing.T) {
	const header = "Username\tQuota name\tType\tValue\tLimit\t%\n"
	for in, want := range map[string]string{
		"":                   "doveadm failed",
		"doveadm: Fatal\n":   "no column",
		header:               "",
		header + "a\tb\nx\n": "",
	} {
		samples, err := readUsage(strings.NewReader(in), clock.System{}.Now())
		if len(samples) != 0 || (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v; want %q", in, samples, err, want)
		}
	}
	samples, err := readUsage(strings.NewReader(header+"m\tA\tSTORAGE\t9\t10\t90\nm\tB\tSTORAGE\t1\t10\t10\nn\tA\tSTORAGE\t1\t-\t0\n"), clock.System{}.Now())
	if err != nil || len(samples) != 1 || samples[0].Full != 0.9 {
		t.Errorf("two roots: %v, %v", samples, err)
	}
}
