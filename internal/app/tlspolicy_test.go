package app_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/internal/app"
	"github.com/ceralacca/ceralacca/internal/app/apptest"
	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/internal/config"
	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/internal/tlspolicy"
)

// reconfigure replaces text in the configuration of a world.
func reconfigure(t *testing.T, w *apptest.World, replacements ...string) {
	t.Helper()
	text, err := os.ReadFile(w.Config)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(t, filepath.Base(w.Config), []byte(strings.NewReplacer(replacements...).Replace(string(text))))
}

// TestTLSPolicyFollowsTheDirectory: a provider that is new in the directory is one to the real Postfix as soon as the agent has
// taken that directory; nobody does anything, and Postfix is not reloaded.
func TestTLSPolicyFollowsTheDirectory(t *testing.T) {
	conformance.Covers(t, "C226", "C228", "C230")
	if _, err := exec.LookPath("postmap"); err != nil {
		t.Skip("Postfix is not installed")
	}
	w := apptest.New(t)
	socket := w.Path("tls")
	reconfigure(t, w, "[directory]\n", "[directory]\ncheck_every = \"1s\"\n",
		"[time]\n", "[network]\ntls_policy_socket = \"unix:"+socket+"\"\ntls_policy = [\"strict.example secure\"]\n[time]\n")
	w.Write(t, "main.cf", []byte("compatibility_level = 3.6\n"))
	policy := func(hop string) string {
		out, err := exec.Command("postmap", "-c", w.Dir, "-q", hop, "socketmap:unix:"+socket+":"+tlspolicy.Map).Output()
		exit, failed := errors.AsType[*exec.ExitError](err)
		if err != nil && (!failed || len(exit.Stderr) > 0) {
			t.Fatalf("postmap: %v: %s", err, exit.Stderr)
		}
		return strings.TrimSpace(string(out))
	}
	d := start(t, w, app.Agent)
	d.awaitLog("agent started", 1)
	d.await("the socket", func() bool { return exists(socket) })
	for hop, want := range map[string]string{"alfa.example": tlspolicy.Floor, "new.example": "", "strict.example": "secure protocols=>=TLSv1.2"} {
		if got := policy(hop); got != want {
			t.Errorf("%s: %q, want %q", hop, got, want)
		}
	}
	w.SignDirectory(t, "alfa.example\nmanagedDomains: new.example", w.Signing)
	d.await("the policy of the new provider", func() bool { return policy("new.example") == tlspolicy.Floor })
	if err := d.end(); err != nil {
		t.Errorf("the agent ended: %v", err)
	}
	conf, err := config.Load(w.Config)
	if err != nil {
		t.Fatal(err)
	}
	table, err := app.TLSPolicyTable(t.Context(), conf, app.Deps{Clock: clock.System{}, Log: slog.New(slog.DiscardHandler)})
	want := "alfa.example\t" + tlspolicy.Floor + "\nnew.example\t" + tlspolicy.Floor + "\nstrict.example\tsecure protocols=>=TLSv1.2\n"
	if err != nil || table != want {
		t.Errorf("the table: %v\n%swant\n%s", err, table, want)
	}
}

// TestUnsoundClockStartsAndDefers: a daemon starts although nobody keeps the clock, answers 451, and goes on by itself when the
// clock is kept.
func TestUnsoundClockStartsAndDefers(t *testing.T) {
	w := apptest.New(t)
	reconfigure(t, w, "unsynchronised = \"warn\"", "")
	d := start(t, w, func(ctx context.Context, path string, deps app.Deps) error {
		deps.Sync = func() (clock.Sync, error) {
			if exists(w.Path("kept")) {
				return clock.Sync{Synchronised: true}, nil
			}
			return clock.Sync{}, nil
		}
		return app.Agent(ctx, path, deps)
	})
	d.awaitLog("nothing is certified until the clock is kept", 1)
	d.await("the socket", func() bool { return exists(w.Path("lmtp")) })
	if got := lmtpAnswer(t, w.Path("lmtp")); got != 451 {
		t.Errorf("without a clock: %d, want 451", got)
	}
	w.Write(t, "kept", nil)
	d.awaitLog("kept again", 1)
	if got := lmtpAnswer(t, w.Path("lmtp")); got != 550 {
		t.Errorf("with a clock, what no milter of ours let in: %d, want 550", got)
	}
}

// lmtpAnswer hands a message to the agent that no milter has seen.
func lmtpAnswer(t *testing.T, socket string) int {
	t.Helper()
	conn, err := net.DialTimeout("unix", socket, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := textproto.NewConn(conn)
	code, _, err := c.ReadResponse(220)
	for _, line := range []string{"LHLO x", "MAIL FROM:<a@b.example>", "RCPT TO:<mario@alfa.example>", "DATA", "Subject: x\r\n\r\nx\r\n."} {
		if _, isReply := errors.AsType[*textproto.Error](err); err != nil && !isReply {
			t.Fatal(err)
		}
		if err := c.PrintfLine("%s", line); err != nil {
			t.Fatal(err)
		}
		code, _, err = c.ReadResponse(0)
	}
	return code
}
