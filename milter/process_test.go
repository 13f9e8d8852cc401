package milter

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/internal/config"
	"github.com/ceralacca/ceralacca/internal/transaction"
	"github.com/ceralacca/ceralacca/milter/internal/mtatest"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/plugins"
	"github.com/ceralacca/ceralacca/plugins/host"
	"github.com/ceralacca/ceralacca/signer"
)

// TestMain: under the name plug the test binary is an antivirus.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) != "plug" {
		os.Exit(m.Run())
	}
	plugins.Serve(plugins.Antivirus{
		About: plugins.About{Name: "reader", Version: "1"},
		Open:  func(context.Context, plugins.Setup) (plugins.Scanner, error) { return reads{}, nil },
	})
}

// reads is an antivirus that reads all and finds nothing.
type reads struct{}

func (reads) Scan(_ context.Context, c *plugins.Content) (plugins.Result, error) {
	_, err := io.Copy(io.Discard, c)
	return plugins.Result{Verdict: plugins.Clean, Engine: "reader 1"}, err
}

// hostedReader is that antivirus in a process of its own.
type hostedReader struct{ host.Antivirus }

func (h hostedReader) Scan(ctx context.Context, src pec.Source, _ *transaction.Record) (transaction.Scan, error) {
	r, err := h.Antivirus.Scan(ctx, host.Content{ReaderAt: src, Size: src.Size()})
	return transaction.Scan{Verdict: transaction.ScanClean, Engine: r.Engine}, err
}

// hostReader starts it.
func hostReader(t *testing.T, dir string) (hostedReader, func()) {
	path := filepath.Join(dir, "plug")
	if err := copyFile(must(os.Executable()), path); err != nil {
		t.Fatal(err)
	}
	isolation := host.Isolation{Network: true}
	if os.Geteuid() == 0 {
		isolation.User = "nobody"
	}
	s, err := host.New(t.Context(), host.Options{
		Name: "reader", Program: host.Program{Path: path, Isolation: isolation}, Kind: plugins.KindAntivirus,
		Deadline: 5 * time.Minute, Concurrency: 16, RunDir: dir, Clock: clock.System{}, Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return hostedReader{host.Antivirus{Supervisor: s}}, s.Stop
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // it was only read
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

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
	if how == "scan" {
		av, stop := hostReader(t, w.dir)
		defer stop()
		w.options.Config.Antivirus.Mode, w.options.Scanner = config.AntivirusPlugins, av
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
