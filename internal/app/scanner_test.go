package app

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/internal/config"
	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/internal/transaction"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/plugins"
	"github.com/ceralacca/ceralacca/plugins/host"
)

// eicarHost is a host without a plug-in, and how a section of the example is made.
func eicarHost(t *testing.T) (h *plugHost, section func(name, word string) config.Plugin) {
	t.Helper()
	dir, err := os.MkdirTemp("", "s")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "eicar")
	if out, err := exec.Command("go", "build", "-o", path, "../../plugins/examples/eicar").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	if err := errors.Join(os.Chmod(dir, 0o755), os.Chmod(path, 0o755)); err != nil {
		t.Fatal(err)
	}
	sum, err := host.Checksum(path)
	if err != nil {
		t.Fatal(err)
	}
	d := Deps{Clock: clock.System{}, Log: slog.New(slog.DiscardHandler)}
	h = newPlugHost(d, nil, socketIn(dir), plugins.KindAntivirus)
	t.Cleanup(h.close)
	return h, func(name, word string) config.Plugin {
		p := config.Plugin{Name: name, Path: path, SHA256: sum, Network: true, Deadline: 30 * time.Second, Concurrency: 4,
			Values: map[string]any{"word": word}}
		if os.Geteuid() == 0 {
			p.User = "nobody"
		}
		return p
	}
}

func socketIn(dir string) func(*config.Config) config.Endpoint {
	return func(*config.Config) config.Endpoint {
		return config.Endpoint{Network: "unix", Address: filepath.Join(dir, "socket")}
	}
}

// run makes the sections the current ones.
func (h *plugHost) run(t *testing.T, sections ...config.Plugin) {
	t.Helper()
	p := &parts{config: &config.Config{Plugins: sections}, described: map[string]plugins.Description{}}
	for _, s := range sections {
		p.described[s.Name] = plugins.Description{Kind: plugins.KindAntivirus}
	}
	set, err := h.prepare(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	h.swap(set)
}

func ask(ctx context.Context, h *plugHost, message string) (transaction.Scan, error) {
	return scanner{h}.Scan(ctx, pec.Bytes([]byte(message)), &transaction.Record{Point: transaction.PointIncoming})
}

// Infected by any is infected; without the answer of one, nothing is known that all of them must say.
func TestEveryAntivirusIsAsked(t *testing.T) {
	conformance.Covers(t, "C060", "C122", "C232")
	h, section := eicarHost(t)
	if scan, err := ask(t.Context(), h, "hello"); err == nil {
		t.Errorf("without an antivirus: %+v", scan)
	}
	slow := section("slow", "second")
	slow.Deadline = time.Second
	h.run(t, section("first", "first"), slow)
	for message, want := range map[string]transaction.Scan{
		"nothing":    {Verdict: transaction.ScanClean, Engine: "eicar 1.0.0, eicar 1.0.0", Signatures: "1, 1"},
		"the first":  {Verdict: transaction.ScanInfected, Virus: "Word", Engine: "eicar 1.0.0", Signatures: "1"},
		"the second": {Verdict: transaction.ScanInfected, Virus: "Word", Engine: "eicar 1.0.0", Signatures: "1"},
	} {
		if scan, err := ask(t.Context(), h, message); err != nil || scan != want {
			t.Errorf("%s: %+v, %v; want %+v", message, scan, err, want)
		}
	}
	pid := h.now().all[1].supervisor.Current().PID()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if scan, err := ask(t.Context(), h, "nothing"); !errors.Is(err, host.ErrSlow) || !strings.Contains(err.Error(), "plugins.slow") {
		t.Errorf("one is slow: %+v, %v; want an error that names it", scan, err)
	}
	if scan, err := ask(t.Context(), h, "the first"); err != nil || scan.Verdict != transaction.ScanInfected {
		t.Errorf("one is slow, the other found something: %+v, %v", scan, err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(30 * time.Second); ; {
		scan, err := ask(t.Context(), h, "nothing")
		if err == nil && scan.Verdict == transaction.ScanClean {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("it does not come back: %v", err)
		}
	}
}

func TestWhatSeveralSayTogether(t *testing.T) {
	clean, locked := plugins.Result{Verdict: plugins.Clean, Engine: "a 1"}, plugins.Result{Verdict: plugins.Encrypted, Engine: "b 2", Signatures: "9"}
	want := transaction.Scan{Verdict: transaction.ScanEncrypted, Engine: "a 1, b 2", Signatures: "9"}
	if diff := cmp.Diff(want, together([]plugins.Result{clean, locked})); diff != "" {
		t.Errorf("together (-want +got):\n%s", diff)
	}
}

// A swap lets the calls in hand end with the plug-in that they asked, and asks the new one about all that follow.
func TestSwapUnderLoad(t *testing.T) {
	h, section := eicarHost(t)
	h.run(t, section("one", "w0"))
	ctx, cancel := context.WithCancel(t.Context())
	message := strings.Repeat("a line of text\r\n", 200_000)
	const callers = 4
	failures := make(chan error, callers)
	for range callers {
		go func() {
			for ctx.Err() == nil {
				if _, err := ask(context.WithoutCancel(ctx), h, message); err != nil {
					failures <- err
					return
				}
			}
			failures <- nil
		}()
	}
	for _, word := range []string{"w1", "w2", "w3", "w4", "w5"} {
		h.run(t, section("one", word))
		if scan, err := ask(t.Context(), h, word); err != nil || scan.Virus != "Word" {
			t.Errorf("after the swap to %s: %+v, %v", word, scan, err)
		}
	}
	cancel()
	for range callers {
		if err := <-failures; err != nil {
			t.Errorf("a call in hand failed: %v", err)
		}
	}
}
