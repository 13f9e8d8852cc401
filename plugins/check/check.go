package check

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/plugins"
	"github.com/ceralacca/ceralacca/plugins/host"
)

// Options are what is checked and how.
type Options struct {
	Path string // absolute
	// Config is what it is configured with; nil for none.
	Config map[string]any
	// Isolation is what it runs with.
	Isolation host.Isolation
	// Big is the size of the large message, in bytes; 0 for 100 MB.
	Big int64
	// Log gets what the plug-in says.
	Log *slog.Logger
}

// Line is what became of one check.
type Line struct {
	Name string
	// Err says what is wrong and what the contract asks for; nil when it passed.
	Err error
	// Note is what is good to know.
	Note string
	// Skipped says why it was not tried.
	Skipped string
}

// String is the line as it is printed.
func (l Line) String() string {
	switch {
	case l.Err != nil:
		return fmt.Sprintf("FAIL  %-16s %v", l.Name, l.Err)
	case l.Skipped != "":
		return fmt.Sprintf("skip  %-16s %s", l.Name, l.Skipped)
	default:
		return fmt.Sprintf("pass  %-16s %s", l.Name, l.Note)
	}
}

// Bounds of the checks.
const (
	bigSize   = 100 << 20
	bigMemory = 64 << 20 // how much more memory a large message may take
	atOnce    = 64
	enough    = 20 * time.Second // for a call that should be quick
	short     = time.Second      // for a call that should be cut off
)

// kit is one run.
type kit struct {
	o    Options
	run  host.Options
	d    plugins.Description
	dir  string
	one  *host.Instance
	tell func(Line)
	bad  int
}

// skipped is an error that means: not tried.
type skipped string

// Error implements error.
func (s skipped) Error() string { return string(s) }

// noted is an error that means: passed, and this is good to know.
type noted string

// Error implements error.
func (n noted) Error() string { return string(n) }

// step is a check. When a vital one fails the rest makes no sense.
type step struct {
	name  string
	vital bool
	run   func(context.Context) error
}

// Run checks a plug-in, tells of each line as it comes, and returns how many failed.
func Run(ctx context.Context, o Options, tell func(Line)) (failed int, err error) {
	if o.Big == 0 {
		o.Big = bigSize
	}
	dir, err := os.MkdirTemp("", "cc")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.RemoveAll(dir) }() // the processes have ended
	if err := os.Chmod(dir, 0o711); err != nil {
		return 0, err
	}
	k := &kit{o: o, dir: dir, tell: tell}
	defer k.stop()
	for _, s := range k.steps() {
		if k.try(ctx, s) {
			continue
		}
		if s.vital || k.start(ctx) != nil { // the next check gets a process that has failed nothing
			break
		}
	}
	return k.bad, ctx.Err()
}

// steps are all checks, in their order.
func (k *kit) steps() []step {
	return []step{
		{"file", true, k.file},
		{"describe", true, k.describe},
		{"configuration", true, k.configuration},
		{"handshake", true, k.handshake},
		{"versions", true, k.versions},
		{"stdout noise", false, k.noise},
		{"health", false, k.health},
		{"call", true, k.call},
		{"short content", false, k.shortContent},
		{"big message", false, k.bigMessage},
		{"cancel", false, k.cancel},
		{"deadline", false, k.deadline},
		{"64 calls at once", false, k.many},
		{"idempotency", false, k.idempotency},
		{"crash in call", false, k.crash},
		{"restart", false, k.restart},
		{"end", false, k.end},
	}
}

func (k *kit) try(ctx context.Context, s step) (good bool) {
	line, err := Line{Name: s.name}, s.run(ctx)
	if skip, ok := errors.AsType[skipped](err); ok {
		line.Skipped, err = string(skip), nil
	}
	if note, ok := errors.AsType[noted](err); ok {
		line.Note, err = string(note), nil
	}
	if line.Err = err; err != nil {
		k.bad++
	}
	k.tell(line)
	return err == nil
}

func (k *kit) file(context.Context) error {
	sum, err := host.Checksum(k.o.Path)
	if err != nil {
		return err
	}
	k.run = host.Options{Name: "check", Program: host.Program{Path: k.o.Path, Isolation: k.o.Isolation}, Config: k.o.Config,
		Deadline: enough, Concurrency: atOnce, RunDir: k.dir, HostVersion: "check", Clock: clock.System{}, Log: k.o.Log}
	if err := k.run.Program.Verify(); err != nil {
		return err
	}
	return noted(`sha256 = "` + sum + `"`)
}

func (k *kit) describe(ctx context.Context) (err error) {
	if k.d, err = k.run.Program.Describe(ctx); err != nil {
		return err
	}
	k.run.Kind = k.d.Kind
	return noted(fmt.Sprintf("%s %s, %s, versions %v of the contract, needs %v", k.d.Name, k.d.Version, k.d.Kind, k.d.Protocols, k.d.Needs))
}

func (k *kit) configuration(context.Context) error {
	if misfits := host.CheckConfig(k.d, k.o.Config); len(misfits) > 0 {
		return fmt.Errorf("%s; give it one with --config FILE, a TOML file with what stands in [plugins.NAME.config]", misfits[0])
	}
	return nil
}

// start replaces the process by a fresh one.
func (k *kit) start(ctx context.Context, versions ...int) (err error) {
	k.stop()
	k.one, err = host.Start(ctx, k.run, k.d, versions...)
	return err
}

func (k *kit) stop() {
	if k.one != nil {
		k.one.Stop()
		k.one = nil
	}
}

func (k *kit) handshake(ctx context.Context) error {
	if err := k.start(ctx); err != nil {
		return err
	}
	if highest := slices.Max(k.d.Protocols); k.one.Version() != min(highest, 2) {
		return fmt.Errorf("it chose version %d of the contract, and speaks %d: the highest that both know is due", k.one.Version(), highest)
	}
	return noted(fmt.Sprintf("version %d, unix socket, both sides authenticated", k.one.Version()))
}

// versions asks for each version alone.
func (k *kit) versions(ctx context.Context) error {
	for _, version := range k.d.Protocols {
		if version > 2 || version < 2 && k.d.Kind != plugins.KindAntivirus {
			continue
		}
		if err := k.start(ctx, version); err != nil {
			return fmt.Errorf("it says that it speaks version %d, but: %w", version, err)
		}
		if err := k.small(ctx, "version"); err != nil {
			return fmt.Errorf("version %d: %w", version, err)
		}
	}
	return k.start(ctx)
}

// noise looks at what came before any call and, after a restart of the checks, at all calls so far.
func (k *kit) noise(ctx context.Context) error {
	if err := k.small(ctx, "noise"); err != nil {
		return err
	}
	if n := k.one.Noise(); n > 0 {
		return fmt.Errorf("it printed %d bytes to standard output beside the handshake; the host throws them away: log to standard error", n)
	}
	return nil
}

func (k *kit) health(ctx context.Context) error {
	h, err := k.one.Health(ctx)
	if err != nil {
		return err
	}
	if h.Problem != "" {
		return fmt.Errorf("it is not well: %s", h.Problem)
	}
	return noted(fmt.Sprintf("%d measures", len(h.Measures)))
}

func (k *kit) call(ctx context.Context) error {
	if err := k.small(ctx, "call"); err != nil {
		return err
	}
	if k.d.Kind != plugins.KindAntivirus {
		return nil
	}
	r, err := k.one.Scan(ctx, text(eicar))
	if err != nil {
		return err
	}
	if r.Verdict != plugins.Infected {
		return fmt.Errorf("the EICAR test file is %s to it: every antivirus finds it", r.Verdict)
	}
	return noted(fmt.Sprintf("EICAR is %s to %s", r.Virus, r.Engine))
}

// restart: a process that was killed is followed by one that works.
func (k *kit) restart(ctx context.Context) error {
	for range 3 {
		if err := k.start(ctx); err != nil {
			return err
		}
		if err := k.small(ctx, "restart"); err != nil {
			return err
		}
		if err := k.one.Kill(); err != nil {
			return err
		}
		<-k.one.Done()
	}
	return k.start(ctx)
}

// end: asked to end it ends, and leaves nothing.
func (k *kit) end(context.Context) error {
	done, pid := k.one.Done(), k.one.PID()
	k.stop()
	select {
	case <-done:
	default:
		return fmt.Errorf("process %d does not end", pid)
	}
	left, err := filepath.Glob(filepath.Join(k.dir, "*"))
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("left behind: %v", left)
	}
	return err
}
