package milter

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ceralacca/ceralacca/milter/internal/mtatest"
	"github.com/ceralacca/ceralacca/signer"
)

// TestProcess is no test of its own: it is what child runs.
func TestProcess(t *testing.T) {
	how := os.Getenv("MILTER_PROCESS")
	if how == "" {
		return
	}
	w := newWorldIn(t, must(os.Getwd()))
	if how == "hang" {
		w.options.Key = hangingKey{w.options.Key}
	}
	m := must(New(w.options))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- m.Serve(ctx) }()
	awaitSockets(t, w.options.Config.Milter)
	fmt.Println("serving")
	_, _ = io.Copy(io.Discard, os.Stdin) // until the parent is done
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// hangingKey says that it was asked to sign, and hangs.
type hangingKey struct{ signer.Key }

func (hangingKey) Sign(ctx context.Context, _ []byte) ([]byte, error) {
	fmt.Println("signing")
	<-ctx.Done()
	return nil, ctx.Err()
}

// child runs a milter in a process of its own, with its sockets in dir, until the test ends. What it says comes line by
// line.
func child(t *testing.T, dir, how string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.Command(must(os.Executable()), "-test.run=^TestProcess$")
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	cmd.Env = append(os.Environ(), "MILTER_PROCESS="+how, "GOMEMLIMIT=off")
	stdin, stdout := must(cmd.StdinPipe()), must(cmd.StdoutPipe())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close() // it ends with its input
		_ = cmd.Wait()    // it may have been killed
	})
	said := bufio.NewScanner(stdout)
	if !said.Scan() || said.Text() != "serving" {
		t.Fatalf("the milter said %q", said.Text())
	}
	return cmd, said
}

// A milter that is killed at any point leaves a 451 and nothing in the queue, and one that is started again serves.
func TestKilled(t *testing.T) {
	dir := mtatest.Dir(t)
	mta := mtatest.Start(t, mtatest.Config{
		Dir: dir, SubmissionSocket: filepath.Join(dir, "sub"), IncomingSocket: filepath.Join(dir, "in"),
	})
	from, to := "mario@alfa.example", "luigi@beta.example"
	for _, moment := range []string{"MAIL", "RCPT", "DATA", "half the new body"} {
		cmd, said := child(t, dir, "hang")
		kill := func(at string) {
			if at == moment {
				_ = cmd.Process.Kill()
				_ = cmd.Wait() // killed is what it was
			}
		}
		c := mtatest.Dial(t, mta.Submission, from)
		c.Want("250", "MAIL FROM:<"+from+">")
		kill("MAIL")
		reply := c.Say("RCPT TO:<" + to + ">")
		kill("RCPT")
		if reply[0] == '2' {
			reply = c.Say("DATA")
		}
		kill("DATA")
		if reply[0] == '3' {
			c.Raw(lines("From: "+from, "To: "+to, "", "Hello", "."))
			if moment == "half the new body" && said.Scan() {
				kill(moment)
			}
			reply = c.Reply()
		}
		if !strings.HasPrefix(reply, "451 4.") {
			t.Errorf("killed after %s: %q, want 451", moment, reply)
		}
	}
	mta.Empty(t)
	child(t, dir, "serve")
	c := mtatest.Dial(t, mta.Submission, from)
	if got := c.Send(from, []string{to}, submit()); !strings.HasPrefix(got, "250 ") {
		t.Errorf("the milter started again: %q, want 250", got)
	}
	mta.Sink.Wait(t)
}
