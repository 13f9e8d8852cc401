package main

import (
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab/virus"
	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/internal/metrics"
	"github.com/ceralacca/ceralacca/plugins"
	"github.com/ceralacca/ceralacca/plugins/host"
)

// patience bounds what a loaded machine may take.
const patience = 30 * time.Second

// starts runs on a thread that lives as long as this process: with the thread ends what was started on it.
var starts = make(chan func())

func TestMain(m *testing.M) {
	go func() {
		runtime.LockOSThread()
		for start := range starts {
			start()
		}
	}()
	code := m.Run()
	if path, err := built(); err == nil {
		_ = os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// real is a clamd of the test's own.
type real struct {
	t           *testing.T
	dir, socket string
	cmd         *exec.Cmd
}

// newReal starts a clamd with the EICAR signature, a daily database of the age, none when it is 0, and settings before
// those of the lab.
func newReal(t *testing.T, age time.Duration, settings string) *real {
	t.Helper()
	dir := shortDir(t)
	r := &real{t: t, dir: dir, socket: filepath.Join(dir, "s")}
	for _, folder := range []string{"db", "tmp"} {
		if err := os.Mkdir(filepath.Join(dir, folder), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	name, database := "eicar.ndb", []byte(virus.EicarSignature())
	if age != 0 {
		name, database = virus.Daily, virus.Database(virus.EicarSignature(), 27001, time.Now().Add(-age))
	}
	r.write("db/"+name, string(database))
	r.write("clamd.conf", settings+virus.Config(r.socket, filepath.Join(dir, "db"), filepath.Join(dir, "tmp")))
	r.start()
	return r
}

func (r *real) write(name, text string) {
	if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

func (r *real) start() {
	r.t.Helper()
	clamd, err := exec.LookPath("clamd")
	if err != nil {
		r.t.Fatal("no clamd: make deps")
	}
	log, err := os.OpenFile(filepath.Join(r.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		r.t.Fatal(err)
	}
	defer log.Close()
	r.cmd = exec.Command(clamd, "-c", filepath.Join(r.dir, "clamd.conf"))
	r.cmd.Stdout, r.cmd.Stderr = log, log
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd := r.cmd
	result := make(chan error)
	starts <- func() { result <- cmd.Start() }
	if err := <-result; err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may be gone
		_ = cmd.Wait()
	})
	within(r.t, "clamd answers", func() bool {
		conn, err := net.Dial("unix", r.socket)
		if err != nil {
			return false
		}
		defer conn.Close()
		_, _ = conn.Write([]byte("zPING\x00"))
		n, _ := conn.Read(make([]byte, 10))
		return n > 0
	})
}

func (r *real) kill() {
	_ = r.cmd.Process.Kill() // it runs
	_ = r.cmd.Wait()
}

func (r *real) signal(s syscall.Signal) {
	if err := r.cmd.Process.Signal(s); err != nil {
		r.t.Fatal(err)
	}
}

func (r *real) address() string { return "unix:" + r.socket }

// within polls until something holds.
func within(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %s", what, patience)
		}
	}
}

// plugged starts the plug-in itself, as the host does, with these addresses and more lines of its configuration.
func plugged(t *testing.T, config map[string]any, addresses ...string) (host.Antivirus, error) {
	t.Helper()
	return isolated(t, host.Isolation{}, config, addresses...)
}

// isolated is plugged with what the plug-in may do.
func isolated(t *testing.T, may host.Isolation, config map[string]any, addresses ...string) (host.Antivirus, error) {
	t.Helper()
	values := map[string]any{"addresses": anys(addresses)}
	maps.Copy(values, config)
	run := shortDir(t)
	if os.Geteuid() == 0 {
		may.User = "nobody"
	}
	s, err := host.New(t.Context(), host.Options{Name: "clamav", Kind: plugins.KindAntivirus, Config: values, RunDir: run,
		Program:  host.Program{Path: program(t), Isolation: may},
		Deadline: patience, Concurrency: 64, Clock: clock.System{}, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Metrics: metrics.New()})
	if err == nil {
		t.Cleanup(s.Stop)
	}
	return host.Antivirus{Supervisor: s}, err
}

// good is plugged without an error.
func good(t *testing.T, config map[string]any, addresses ...string) host.Antivirus {
	t.Helper()
	a, err := plugged(t, config, addresses...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func anys(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}

// shortDir is a folder that others may pass, with room for sockets.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "cv")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// built is the plug-in itself.
var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "cv")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "clamav")
	out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput()
	if err != nil {
		return dir, fmt.Errorf("go build: %w: %s", err, out)
	}
	return path, os.Chmod(dir, 0o755)
})

func program(t *testing.T) string {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func content(text string) host.Content {
	return host.Content{ReaderAt: strings.NewReader(text), Size: int64(len(text))}
}

// zeroAt is content that is nowhere.
type zeroAt struct{}

// ReadAt implements io.ReaderAt.
func (zeroAt) ReadAt(p []byte, _ int64) (int, error) {
	clear(p)
	return len(p), nil
}

// peak is the most memory that a process has had, in bytes.
func peak(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		var kb int
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kb); n == 1 {
			return kb << 10
		}
	}
	t.Fatalf("no memory of process %d", pid)
	return 0
}

// busy says whether clamd has a message: it writes it into its folder for temporary files.
func (r *real) busy() bool {
	files, _ := filepath.Glob(filepath.Join(r.dir, "tmp", "*")) // the pattern is well formed
	return len(files) > 0
}

// chmod lets the plug-in's user connect.
func chmod(t *testing.T, path string) {
	t.Helper()
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
}
