package host_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ceralacca/ceralacca/plugins"
	"github.com/ceralacca/ceralacca/plugins/host"
)

func TestScan(t *testing.T) {
	for _, mode := range []string{"good", "old", "files", "noisy"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			av := start(t, options(t, mode))
			version := map[string]int{"old": 1}[mode]
			if got := av.Current().Version(); got != max(version, 1) && got != 2 || version == 1 && got != 1 {
				t.Errorf("version %d was negotiated", got)
			}
			clean := plugins.Result{Verdict: plugins.Clean, Engine: "test 1", Signatures: "7", SignaturesTime: time.Unix(1e9, 0)}
			crypt, early := clean, clean
			crypt.Verdict = plugins.Encrypted
			early.Verdict, early.Virus = plugins.Infected, "Early"
			for text, want := range map[string]plugins.Result{
				"": clean, "x": clean, "hello " + strings.Repeat("y", 3<<20): clean, "CRYPT ": crypt,
				"EARLY " + strings.Repeat("y", 3<<20): early, "SPEAK ": clean,
			} {
				got, err := av.Scan(t.Context(), content(text))
				if err != nil {
					t.Fatalf("Scan of %.10q: %v", text, err)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("Scan of %.10q (-want +got):\n%s", text, diff)
				}
			}
			for text, want := range map[string]error{
				"FAIL ": host.ErrUnable, "NOBODY ": host.ErrWrong, "HALF " + strings.Repeat("y", 1<<20): host.ErrUnable,
			} {
				if got, err := av.Scan(t.Context(), content(text)); !errors.Is(err, want) || got != (plugins.Result{}) {
					t.Errorf("Scan of %.10q = %+v, %v; want %v", text, got, err, want)
				}
			}
		})
	}
}

func TestAPluginIsAlone(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can run a plug-in as another user")
	}
	for mode, want := range map[string]string{
		"good":  "uid=65534 groups=[] up=0 own=true file=none env=[]",
		"files": "uid=65534 groups=[] up=0 own=true file=read env=[]",
	} {
		t.Setenv("SECRET", "of the host")
		o := options(t, mode)
		av := start(t, o)
		got, err := av.Scan(t.Context(), content("WHO am I"))
		if err != nil || got.Engine != want {
			t.Errorf("%s: %q, %v; want %q", mode, got.Engine, err, want)
		}
	}
	o := options(t, "good")
	o.Program.Isolation.Network = true
	if got, err := start(t, o).Scan(t.Context(), content("WHO am I")); err != nil || !strings.Contains(got.Engine, "up=") ||
		strings.Contains(got.Engine, "up=0") {
		t.Errorf("with network: %q, %v; want interfaces that are up", got.Engine, err)
	}
}

func TestWhatDoesNotFitIsRefusedBeforeAnyMail(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, mode string
		change     func(*host.Options)
		want       error
		says       string
	}{
		{"other checksum", "good", func(o *host.Options) { o.Program.SHA256 = strings.Repeat("0", 64) }, host.ErrFile, "pins 0000"},
		{"no checksum", "good", func(o *host.Options) { o.Program.SHA256 = "zz" }, host.ErrFile, "not a SHA-256"},
		{"writable by others", "good", func(o *host.Options) { _ = os.Chmod(o.Program.Path, 0o777) }, host.ErrFile, "chmod go-w"},
		{"another's power", "good", func(o *host.Options) { _ = os.Chmod(o.Program.Path, 0o755|os.ModeSetuid) }, host.ErrFile, "chmod ug-s"},
		{"not there", "good", func(o *host.Options) { o.Program.Path += "2" }, host.ErrFile, "no such file"},
		{"relative", "good", func(o *host.Options) { o.Program.Path = "good" }, host.ErrFile, "absolute"},
		{"unknown user", "good", func(o *host.Options) { o.Program.Isolation.User = "nobody-at-all" }, host.ErrIsolation, "nobody-at-all"},
		{"no description", "mad", func(*host.Options) {}, host.ErrDescription, "not the JSON object"},
		{"another kind", "notes", func(*host.Options) {}, host.ErrDescription, "of kind notification, and antivirus is wanted"},
		{"dies at start", "unborn", func(*host.Options) {}, host.ErrHandshake, `exit status 7; it says: "not today"`},
		{"unknown key", "good", func(o *host.Options) { o.Config = map[string]any{"wurd": "x"} }, host.ErrConfiguration, "wurd is not a key"},
		{"wrong type", "good", func(o *host.Options) { o.Config = map[string]any{"word": int64(3)} }, host.ErrConfiguration, "word does not fit"},
		{"refused", "good", func(o *host.Options) { o.Config = map[string]any{"word": "refused"} }, host.ErrConfiguration, "write another"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := options(t, test.mode)
			test.change(&o)
			s, err := host.New(t.Context(), o)
			if s != nil {
				s.Stop()
			}
			if !errors.Is(err, test.want) || !strings.Contains(fmt.Sprint(err), test.says) {
				t.Errorf("New: %v; want %v that says %q", err, test.want, test.says)
			}
			if left, err := os.ReadDir(o.RunDir); err != nil || len(left) > 0 {
				t.Errorf("left in the run folder: %v, %v", left, err)
			}
		})
	}
}

func TestRootIsNoUserForAPlugin(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root is root")
	}
	for _, user := range []string{"", "root"} {
		o := options(t, "good")
		o.Program.Isolation.User = user
		if _, err := host.New(t.Context(), o); !errors.Is(err, host.ErrIsolation) {
			t.Errorf("user %q: %v; want %v", user, err, host.ErrIsolation)
		}
	}
}

func TestTheChecksumIsReadAtEachStart(t *testing.T) {
	t.Parallel()
	o := options(t, "good")
	av := start(t, o)
	if _, err := av.Scan(t.Context(), content("x")); err != nil {
		t.Fatal(err)
	}
	// The file changes behind the running process, as an attacker would have it.
	other := binary(t, filepath.Dir(o.Program.Path), "other")
	file, err := os.OpenFile(other, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, wrong := file.WriteString("x")
	if err := errors.Join(wrong, file.Close(), os.Rename(other, o.Program.Path)); err != nil {
		t.Fatal(err)
	}
	if err := av.Current().Kill(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	waitFor(t, "its end", func() bool { return av.Current() == nil })
	if _, err := av.Scan(ctx, content("x")); err == nil {
		t.Error("a call was answered by a file that is not the pinned one")
	}
}

func TestAPluginThatDiesIsReplaced(t *testing.T) {
	t.Parallel()
	o := options(t, "good")
	av := start(t, o)
	for round := range 3 {
		first := av.Current().PID()
		if _, err := av.Scan(t.Context(), content("DIE")); !errors.Is(err, host.ErrDied) {
			t.Fatalf("round %d: %v; want %v", round, err, host.ErrDied)
		}
		// The next call waits for the new process.
		if r, err := av.Scan(t.Context(), content("x")); err != nil || r.Verdict != plugins.Clean {
			t.Fatalf("round %d, after it: %+v, %v", round, r, err)
		}
		if again := av.Current().PID(); again == first {
			t.Errorf("round %d: the process is still %d", round, again)
		}
	}
	text := scrape(t, o)
	for _, want := range []string{
		`ceralacca_plugin_calls_total{call="scan",outcome="died",plugin="good"} 3`,
		`ceralacca_plugin_calls_total{call="scan",outcome="good",plugin="good"} 3`,
		`ceralacca_plugin_restarts_total{plugin="good"} 3`, `ceralacca_plugin_up{plugin="good"} 1`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in the metrics", want)
		}
	}
}

func scrape(t *testing.T, o host.Options) string {
	t.Helper()
	w := httptest.NewRecorder()
	o.Metrics.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	return w.Body.String()
}

func TestACallHasADeadlineAndTheNextIsWell(t *testing.T) {
	t.Parallel()
	o := options(t, "good")
	o.Deadline = 300 * time.Millisecond
	av := start(t, o)
	begin := time.Now()
	if _, err := av.Scan(t.Context(), content("SLOW")); !errors.Is(err, host.ErrSlow) {
		t.Errorf("a slow call: %v; want %v", err, host.ErrSlow)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := av.Scan(ctx, content("SLOW")); !errors.Is(err, context.Canceled) {
		t.Errorf("a call that was given up: %v; want %v", err, context.Canceled)
	}
	if _, err := av.Scan(t.Context(), content("x")); err != nil {
		t.Errorf("the next call: %v", err)
	}
}

func TestTheBreakerHoldsCallsBack(t *testing.T) {
	t.Parallel()
	o := options(t, "good")
	av := start(t, o)
	for range 5 {
		if _, err := av.Scan(t.Context(), content("NOBODY")); !errors.Is(err, host.ErrWrong) {
			t.Fatalf("a wrong answer: %v", err)
		}
	}
	if _, err := av.Scan(t.Context(), content("x")); !errors.Is(err, host.ErrAbsent) {
		t.Errorf("after five failures: %v; want %v", err, host.ErrAbsent)
	}
}

func TestPlacesAreLimited(t *testing.T) {
	t.Parallel()
	o := options(t, "good")
	o.Concurrency, o.Deadline = 1, 400*time.Millisecond
	av := start(t, o)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if _, err := av.Scan(t.Context(), content("SLOW")); !errors.Is(err, host.ErrSlow) {
				t.Errorf("%v; want %v", err, host.ErrSlow)
			}
		})
	}
	wg.Wait()
}

func TestRunningFindsTheProcesses(t *testing.T) {
	t.Parallel()
	o := options(t, "good")
	av := start(t, o)
	pids, err := host.Running(o.Program.Path)
	if diff := cmp.Diff([]int{av.Current().PID()}, pids); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	av.Stop()
	if pids, err := host.Running(o.Program.Path); err != nil || pids != nil {
		t.Errorf("stopped: %v, %v", pids, err)
	}
}

func TestSixtyFourCallsAtOnce(t *testing.T) {
	t.Parallel()
	av := start(t, options(t, "good"))
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			if _, err := av.Scan(t.Context(), content(strings.Repeat("z", 1<<20))); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// peak is the most memory that a process has had, in bytes.
func peak(t *testing.T, pid int) int64 {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.ParseInt(strings.Fields(value)[0], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kb << 10
		}
	}
	t.Fatalf("no VmHWM of %d", pid)
	return 0
}

func TestALargeMessageCostsNeitherSideItsSize(t *testing.T) {
	if race {
		t.Skip("the race detector takes memory of its own")
	}
	const size, most = 100 << 20, 24 << 20
	for _, mode := range []string{"good", "files", "old", "python"} {
		o := options(t, mode)
		if mode == "python" {
			o.Program.Path, o.Program.SHA256 = python(t, filepath.Dir(o.Program.Path)), ""
		}
		av := start(t, o)
		if _, err := av.Scan(t.Context(), content(strings.Repeat("w", 1<<20))); err != nil {
			t.Fatal(err)
		}
		ours, theirs := peak(t, os.Getpid()), peak(t, av.Current().PID())
		r, err := av.Scan(t.Context(), host.Content{ReaderAt: zeros{"x "}, Size: size})
		if err != nil || r.Verdict != plugins.Clean {
			t.Fatalf("%s: %+v, %v", mode, r, err)
		}
		if more := peak(t, os.Getpid()) - ours; more > most {
			t.Errorf("%s: the host took %d MiB more", mode, more>>20)
		}
		if more := peak(t, av.Current().PID()) - theirs; more > most {
			t.Errorf("%s: the plug-in took %d MiB more", mode, more>>20)
		}
	}
}

func TestAPluginDiesWithItsHost(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	plug, hostOf := binary(t, dir, "plug-good"), binary(t, dir, "host-of")
	run := filepath.Join(dir, "run")
	if err := os.Mkdir(run, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(hostOf, plug, run)
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	pid, bad := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || bad != nil {
		t.Fatalf("the host said %q, %v", line, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	waitFor(t, "the plug-in's end", func() bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) || zombie(pid) })
	// What it left goes when a host starts again.
	o := options(t, "good")
	o.RunDir = run
	start(t, o)
	entries, err := os.ReadDir(run)
	if err != nil || len(entries) != 1 {
		t.Errorf("in the run folder: %v, %v; want those of the new process", entries, err)
	}
}

// python puts the example in Python into a folder, and returns its path.
func python(t *testing.T, dir string) string {
	t.Helper()
	if err := exec.Command("/usr/bin/python3", "-c", "import grpc, google.protobuf, cryptography").Run(); err != nil {
		t.Skip("needs python3-grpcio, python3-protobuf and python3-cryptography: make deps")
	}
	path := filepath.Join(dir, "python", "eicar.py")
	if err := errors.Join(os.CopyFS(filepath.Dir(path), os.DirFS("../examples/python")), os.Chmod(path, 0o755)); err != nil {
		t.Fatal(err)
	}
	return path
}

// zombie says whether a process has ended and nobody has asked how.
func zombie(pid int) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(data), ") ")
	return err == nil && strings.HasPrefix(rest, "Z")
}

func TestHealthBecomesMetrics(t *testing.T) {
	t.Parallel()
	o := options(t, "good")
	av := start(t, o)
	h, err := av.Current().Health(t.Context())
	if err != nil || h.Problem != "" {
		t.Fatalf("health: %+v, %v", h, err)
	}
	if diff := cmp.Diff([]plugins.Measure{{Name: "answer", Value: 42}}, h.Measures); diff != "" {
		t.Errorf("measures (-want +got):\n%s", diff)
	}
	waitFor(t, "the first check", func() bool {
		return strings.Contains(scrape(t, o), `ceralacca_plugin_measure{measure="answer",plugin="good"} 42`)
	})
}

func TestCheckConfigNamesThePlace(t *testing.T) {
	o := options(t, "good")
	d, err := o.Program.Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := host.CheckConfig(d, map[string]any{"hosts": []any{map[string]any{"port": int64(25)}, map[string]any{"port": int64(70000), "x": 1}}})
	var paths []string
	for _, m := range got {
		paths = append(paths, strings.Join(m.Path, "/"))
	}
	if diff := cmp.Diff(map[string]bool{"hosts/1/port": true, "hosts/1/x": true}, set(paths)); diff != "" {
		t.Errorf("places of %v (-want +got):\n%s", got, diff)
	}
}

func set(items []string) map[string]bool {
	s := map[string]bool{}
	for _, item := range items {
		s[item] = true
	}
	return s
}

func TestTheTableHasEveryKind(t *testing.T) {
	for _, kind := range []plugins.Kind{plugins.KindAntivirus, plugins.KindConservation, plugins.KindNotification, plugins.KindKey} {
		c, ok := host.Table()[kind]
		if !ok || c.AtStart != host.NoStart {
			t.Errorf("%s: %+v", kind, c)
		}
	}
}

// Killed again and again in the middle of calls, it never lets through what was not looked at, and is back each time.
func TestKillsUnderLoad(t *testing.T) {
	t.Parallel()
	const kills = 25
	o := options(t, "good")
	av := start(t, o)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var good, failed atomic.Int64
	for range 4 {
		wg.Go(func() {
			for ctx.Err() == nil {
				r, err := av.Scan(ctx, content("CRYPT "+strings.Repeat("v", 8<<20)))
				switch {
				case err == nil && r.Verdict == plugins.Encrypted:
					good.Add(1)
				case err == nil:
					t.Errorf("a message that is encrypted is %s", r.Verdict)
				case ctx.Err() == nil && !errors.Is(err, host.ErrDied) && !errors.Is(err, host.ErrAbsent):
					t.Errorf("an error that says neither death nor absence: %v", err)
				default:
					failed.Add(1)
				}
			}
		})
	}
	for range kills {
		before := good.Load()
		waitFor(t, "calls that succeed", func() bool { return good.Load() > before && av.Current() != nil })
		if i := av.Current(); i != nil {
			if err := i.Kill(); err != nil {
				t.Error(err)
			}
		}
	}
	waitFor(t, "its return", func() bool {
		_, err := av.Scan(t.Context(), content("x"))
		return err == nil
	})
	cancel()
	wg.Wait()
	if failed.Load() < kills/2 {
		t.Errorf("%d calls failed in %d kills; want most kills in the middle of a call", failed.Load(), kills)
	}
	t.Logf("%d good, %d failed", good.Load(), failed.Load())
}
