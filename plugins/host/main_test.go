package host_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/internal/metrics"
	"github.com/ceralacca/ceralacca/plugins"
	"github.com/ceralacca/ceralacca/plugins/host"
)

// The test binary is also the plug-in: under the name plug-MODE it is one, under the name host-of it runs one.
func TestMain(m *testing.M) {
	name := filepath.Base(os.Args[0])
	if mode, ok := strings.CutPrefix(name, "plug-"); ok {
		plug(mode)
		return
	}
	if name == "host-of" {
		runHost(os.Args[1], os.Args[2])
		return
	}
	if name == "host-as" {
		runHostAs(os.Args[1], os.Args[2], host.Isolation{User: os.Args[3], Network: os.Args[4] == "true"})
		return
	}
	os.Exit(m.Run())
}

// plug is a plug-in that is good but for its mode.
func plug(mode string) {
	about := plugins.About{Name: mode, Version: "1", Schema: `{"type":"object","additionalProperties":false,"properties":{
		"word":{"type":"string"},"hosts":{"type":"array","items":{"type":"object","additionalProperties":false,
		"properties":{"port":{"type":"integer","maximum":65535}}}}}}`}
	open := func(_ context.Context, s plugins.Setup) (plugins.Scanner, error) {
		s.Log.Info("opened", "mode", mode)
		var config struct{ Word string }
		if err := s.Decode(&config); err != nil {
			return nil, err
		}
		if config.Word == "refused" {
			return nil, errors.New(`word = "refused" is refused; write another`)
		}
		return scanner{s.Dir}, nil
	}
	var p plugins.Plugin = plugins.Antivirus{About: about, Open: open, Files: mode == "files"}
	switch mode {
	case "old":
		p = older{p.(plugins.Antivirus)}
	case "unborn":
		if len(os.Args) == 1 {
			fmt.Fprintln(os.Stderr, "not today")
			os.Exit(7)
		}
	case "noisy":
		if len(os.Args) == 1 {
			fmt.Println("loading", strings.Repeat("x", 1<<20))
			fmt.Print("ready: ")
		}
	case "notes":
		p = plugins.Notification{About: about, Open: func(context.Context, plugins.Setup) (plugins.Notifier, error) { return other{}, nil }}
	case "keeper":
		p = plugins.Conservation{About: about, Open: func(context.Context, plugins.Setup) (plugins.Depositor, error) { return other{}, nil }}
	case "keys":
		p = plugins.Key{About: about, Open: func(context.Context, plugins.Setup) (plugins.KeyHolder, error) { return other{}, nil }}
	case "mad":
		fmt.Println("I am mad")
		return
	}
	plugins.Serve(p)
}

// older speaks only the previous version of the contract.
type older struct{ plugins.Antivirus }

// Describe implements plugins.Plugin.
func (o older) Describe() plugins.Description {
	d := o.Antivirus.Describe()
	d.Protocols, d.Needs = []int{1}, nil
	return d
}

// scanner does what the first word of the content says.
type scanner struct{ dir string }

// Health implements plugins.Healther.
func (scanner) Health() plugins.Health {
	return plugins.Health{Measures: []plugins.Measure{{Name: "answer", Value: 42}}}
}

// Scan implements plugins.Scanner.
func (s scanner) Scan(ctx context.Context, c *plugins.Content) (plugins.Result, error) {
	head := make([]byte, min(32, c.Size()))
	if _, err := io.ReadFull(c, head); err != nil {
		return plugins.Result{}, err
	}
	word, _, _ := strings.Cut(string(head), " ")
	r := plugins.Result{Verdict: plugins.Clean, Engine: "test 1", Signatures: "7", SignaturesTime: time.Unix(1e9, 0)}
	switch word {
	case "EARLY":
		r.Verdict, r.Virus = plugins.Infected, "Early"
		return r, nil
	case "HALF":
		return r, nil
	case "SLOW":
		slow(ctx)
		return r, ctx.Err()
	case "DIE":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "WHO":
		r.Engine = s.who(c)
	case "RIGHTS":
		r.Engine = rights()
	case "SPEAK":
		fmt.Println("to standard output")
	case "CRYPT":
		r.Verdict = plugins.Encrypted
	case "FAIL":
		return r, errors.New("no engine")
	case "NOBODY":
		r.Engine = ""
	}
	_, err := io.Copy(io.Discard, c)
	return r, err
}

// slow answers when nobody waits any more.
func slow(ctx context.Context) {
	<-ctx.Done()
	time.Sleep(time.Second)
}

// who says what the process can do.
func (s scanner) who(c *plugins.Content) string {
	interfaces, _ := net.Interfaces()
	up := 0
	for _, i := range interfaces {
		if i.Flags&net.FlagUp != 0 {
			up++
		}
	}
	writable := os.WriteFile(filepath.Join(s.dir, "x"), nil, 0o600) == nil
	file := "none"
	if c.File() != "" {
		file = "read"
		if f, err := os.OpenFile(c.File(), os.O_WRONLY, 0); err == nil {
			_ = f.Close()
			file = "write"
		}
	}
	groups, _ := os.Getgroups()
	var env []string
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		if !strings.HasPrefix(name, "PLUGIN_") && name != plugins.HandshakeKey {
			env = append(env, name)
		}
	}
	return fmt.Sprintf("uid=%d groups=%v up=%d own=%t file=%s env=%v", os.Getuid(), groups, up, writable, file, env)
}

// other is a plug-in of the other kinds; it does what the key of a call says.
type other struct{}

func (other) effect(ctx context.Context, word string) (plugins.Effect, error) {
	switch word {
	case "SLOW":
		slow(ctx)
	case "DIE":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "WRONG":
		return plugins.Effect{Outcome: plugins.Done}, nil // without a reference
	case "FAIL":
		return plugins.Effect{}, errors.New("no carrier")
	case "REFUSE":
		return plugins.Effect{Outcome: plugins.Refused, Reason: "never"}, nil
	}
	return plugins.Effect{Outcome: plugins.Done, Reference: "ref-" + word}, nil
}

// Notify implements plugins.Notifier.
func (o other) Notify(ctx context.Context, e plugins.Event) (plugins.Effect, error) {
	return o.effect(ctx, e.Key)
}

// Deposit implements plugins.Depositor.
func (o other) Deposit(ctx context.Context, b plugins.Bundle, c *plugins.Content) (plugins.Effect, error) {
	if _, err := io.Copy(io.Discard, c); err != nil {
		return plugins.Effect{}, err
	}
	return o.effect(ctx, b.Key)
}

// Status implements plugins.Depositor.
func (o other) Status(ctx context.Context, key string) (plugins.State, plugins.Effect, error) {
	e, err := o.effect(ctx, key)
	return plugins.Kept, e, err
}

// Usage implements plugins.Depositor.
func (other) Usage(context.Context, string) (plugins.Usage, error) {
	return plugins.Usage{Bytes: 3, Items: 1}, nil
}

// Exhibit implements plugins.Depositor.
func (other) Exhibit(_ context.Context, key string) (plugins.Bundle, io.ReadCloser, bool, error) {
	if key == "NONE" {
		return plugins.Bundle{}, nil, false, nil
	}
	text := "kept " + key
	sum := sha256.Sum256([]byte(text))
	if key == "WRONG" {
		sum[0]++
	}
	return plugins.Bundle{Size: int64(len(text)), SHA256: sum[:], MediaType: "text/plain"}, io.NopCloser(strings.NewReader(text)), true, nil
}

// Certificates implements plugins.KeyHolder.
func (other) Certificates(context.Context) ([]plugins.KeyEntry, error) {
	return []plugins.KeyEntry{{ID: "1", Chain: [][]byte{{1}}}}, nil
}

// Sign implements plugins.KeyHolder.
func (o other) Sign(ctx context.Context, id string, _ []byte) ([]byte, error) {
	e, err := o.effect(ctx, id)
	return []byte(e.Reference), err
}

// shortDir makes a folder with a path short enough for sockets, that everybody may pass.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "cp")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// binary puts the test binary under another name.
func binary(t testing.TB, dir, name string) string {
	t.Helper()
	own, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	path := filepath.Join(dir, name)
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(file, own); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// isolation is what this machine allows: root runs plug-ins as another user.
func isolation() host.Isolation {
	if os.Geteuid() == 0 {
		return host.Isolation{User: "nobody"}
	}
	return host.Isolation{}
}

// options are those of a plug-in of this mode.
func options(t testing.TB, mode string) host.Options {
	t.Helper()
	dir := shortDir(t)
	path := binary(t, dir, "plug-"+mode)
	sum, err := host.Checksum(path)
	if err != nil {
		t.Fatal(err)
	}
	run := filepath.Join(dir, "run")
	if err := os.Mkdir(run, 0o755); err != nil {
		t.Fatal(err)
	}
	return host.Options{
		Name: mode, Kind: plugins.KindAntivirus, Program: host.Program{Path: path, SHA256: sum, Isolation: isolation()},
		Deadline: 20 * time.Second, Concurrency: 64, RunDir: run, HostVersion: "test",
		Clock: clock.System{}, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Metrics: metrics.New(),
	}
}

func start(t testing.TB, o host.Options) host.Antivirus {
	t.Helper()
	s, err := host.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return host.Antivirus{Supervisor: s}
}

func content(text string) host.Content {
	return host.Content{ReaderAt: strings.NewReader(text), Size: int64(len(text))}
}

// zeros is a content that is nowhere.
type zeros struct{ head string }

// ReadAt implements io.ReaderAt.
func (z zeros) ReadAt(p []byte, at int64) (int, error) {
	clear(p)
	if at < int64(len(z.head)) {
		copy(p, z.head[at:])
	}
	return len(p), nil
}

// waitFor polls until ok, at most ten seconds.
func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for range 500 {
		if ok() {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("waited ten seconds for %s", what)
}

// runHost is the host that a test kills: it says the pid of its plug-in and stays.
func runHost(path, run string) {
	sum, err := host.Checksum(path)
	if err != nil {
		panic(err)
	}
	s, err := host.New(context.Background(), host.Options{
		Name: "good", Kind: plugins.KindAntivirus, Program: host.Program{Path: path, SHA256: sum, Isolation: isolation()},
		Deadline: time.Minute, Concurrency: 1, RunDir: run, Clock: clock.System{}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(s.Current().PID())
	select {}
}
