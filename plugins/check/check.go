package check

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/plugins"
	"github.com/ceralacca/ceralacca/plugins/contract"
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

// Bounds of the checks.
const (
	bigSize   = 100 << 20
	bigMemory = 64 << 20 // how much more memory a large message may take
	atOnce    = 64
	enough    = 20 * time.Second // for a call that should be quick
	short     = time.Second      // for a call that should be cut off
	nobodys   = 99               // a version of the contract
)

// kit is one run.
type kit struct {
	o    Options
	run  host.Options
	d    plugins.Description
	kept error // why it keeps the network
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
	name   string
	vital  bool
	run    func(context.Context) error
	advice string // what to do when it fails
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
	k.all(ctx)
	return k.bad, ctx.Err()
}

// all makes the checks in their order. After one that failed the next gets a process that has failed nothing.
func (k *kit) all(ctx context.Context) {
	skip := ""
	for _, s := range k.steps() {
		if skip != "" {
			k.tell(Line{Name: s.name, Skipped: skip})
			continue
		}
		if k.try(ctx, s) {
			continue
		}
		if s.vital {
			skip = fmt.Sprintf("not tried, since %q fails", s.name)
		} else if err := k.start(ctx); err != nil {
			skip = fmt.Sprintf("not tried, since after %q it cannot be started: %v", s.name, err)
		}
	}
}

// steps are all checks, in their order.
func (k *kit) steps() []step {
	return []step{
		{"file", true, k.file, "give the path of an executable file: chmod a+rx FILE"},
		{"describe", true, k.describe, "run it with the one argument \"describe\": it must print one JSON object to standard output and end with 0"},
		{"configuration", true, k.configuration, "give it one with --config FILE, a TOML file with what stands in [plugins.NAME.config]"},
		{"handshake", true, k.handshake, "print the line 1|VERSION|unix|SOCKET|grpc|CERTIFICATE once the server listens; --verbose shows what it says"},
		{"isolation", false, k.isolation, "do not count on the host's user, network or environment"},
		{"versions", true, k.versions, "describe no version that it does not serve, and choose the highest of those in PLUGIN_PROTOCOL_VERSIONS"},
		{"stdout noise", false, k.noise, "print nothing to standard output but the handshake; log to standard error"},
		{"health", false, k.health, "answer Health and grpc.health.v1.Health within two seconds"},
		{"call", true, k.call, "see the comments of the call in docs/plugins-reference.md"},
		{"short content", false, k.shortContent, "compare what came with the size in the header"},
		{"big message", false, k.bigMessage, "read the content piece by piece and forget it"},
		{"cancel", false, k.cancel, "end a call when its context does"},
		{"deadline", false, k.deadline, "end a call when its context does"},
		{"64 calls at once", false, k.many, "serve calls concurrently, and let those wait for which there is no place"},
		{"idempotency", false, k.idempotency, "what has the same key happens once, and has the same answer"},
		{"crash in mid-call", false, k.crash, "serve in the process that the host has started, not in one that outlives it"},
		{"restart", false, k.restart, "leave nothing behind that keeps the next process from starting: this one was killed"},
		{"end", false, k.end, "end when plugin.GRPCController.Shutdown is called, within two seconds"},
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
		line.Advice = s.advice
		k.bad++
	}
	k.tell(line)
	return err == nil
}

func (k *kit) file(context.Context) error {
	program := host.Program{Path: k.o.Path, Isolation: k.o.Isolation}
	if err := program.Verify(); err != nil {
		return err
	}
	sum, err := host.Checksum(k.o.Path)
	if err != nil {
		return err
	}
	note := noted(`sha256 = "` + sum + `"`)
	path, why, err := Reachable(program, k.dir)
	if err != nil {
		return err
	}
	if why != "" {
		note += noted("; checked as a copy, since " + why)
	}
	program.Path = path
	k.run = host.Options{Name: "check", Program: program, Config: k.o.Config, RunDir: filepath.Join(k.dir, "r"), SpoolDir: k.dir,
		Deadline: enough, Concurrency: atOnce, HostVersion: "check", Clock: clock.System{}, Log: k.o.Log}
	if err := os.Mkdir(k.run.RunDir, 0o711); err != nil {
		return err
	}
	return note
}

func (k *kit) describe(ctx context.Context) (err error) {
	k.d, err = k.run.Program.Describe(ctx)
	if errors.Is(err, host.ErrIsolation) && os.Geteuid() != 0 && !k.run.Program.Isolation.Network {
		// An author without root, on a system that gives nobody a network of its own.
		k.kept, k.run.Program.Isolation.Network = err, true
		k.d, err = k.run.Program.Describe(ctx)
	}
	if err != nil {
		return err
	}
	k.run.Kind = k.d.Kind
	return noted(fmt.Sprintf("%s %s, %s, versions %v of the contract, needs %v", k.d.Name, k.d.Version, k.d.Kind, k.d.Protocols, k.d.Needs))
}

func (k *kit) configuration(context.Context) error {
	if misfits := host.CheckConfig(k.d, k.o.Config); len(misfits) > 0 {
		return errors.New(misfits[0].String())
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
	if want := slices.Max(k.known()); k.one.Version() != want {
		return fmt.Errorf("it chose version %d of the contract; the highest that both know is %d", k.one.Version(), want)
	}
	return noted(fmt.Sprintf("version %d, unix socket, both sides authenticated", k.one.Version()))
}

// known are the versions that plug-in and host have in common.
func (k *kit) known() (common []int) {
	for _, version := range k.d.Protocols {
		if version == contract.Current || version == contract.Previous && k.d.Kind == plugins.KindAntivirus {
			common = append(common, version)
		}
	}
	return common
}

// isolation says what was tried, and what this system did not allow to be tried.
func (k *kit) isolation(context.Context) error {
	owner, err := os.Stat(fmt.Sprintf("/proc/%d", k.one.PID()))
	if err != nil {
		return err
	}
	uid, wanted := owner.Sys().(*syscall.Stat_t).Uid, strconv.Itoa(os.Geteuid())
	if name := k.run.Program.Isolation.User; name != "" {
		found, err := user.Lookup(name)
		if err != nil {
			return err
		}
		wanted = found.Uid
	}
	if strconv.Itoa(int(uid)) != wanted {
		return fmt.Errorf("it runs as uid %d, and the host started it as %s", uid, wanted)
	}
	switch {
	case k.kept != nil:
		return skipped(fmt.Sprintf("tried: an empty environment; not tried: another user, which takes root, and to be without network: %v", k.kept))
	case os.Geteuid() != 0:
		return noted("an empty environment" + k.network() + "; not tried: another user, which takes root")
	default:
		return noted(fmt.Sprintf("uid %d, an empty environment%s", uid, k.network()))
	}
}

func (k *kit) network() string {
	if k.run.Program.Isolation.Network {
		return ", with network"
	}
	return ", no network"
}

// versions asks for each version alone, and for one that nobody knows.
func (k *kit) versions(ctx context.Context) error {
	for _, version := range k.known() {
		if err := k.start(ctx, version); err != nil {
			return fmt.Errorf("it says that it speaks version %d, but: %w", version, err)
		}
		if err := k.small(ctx, "version"); err != nil {
			return fmt.Errorf("version %d: %w", version, err)
		}
	}
	if err := k.start(ctx, nobodys); err == nil {
		return fmt.Errorf("offered version %d alone, it takes it: choose none that it does not serve, say so and end", nobodys)
	}
	if err := k.start(ctx); err != nil {
		return err
	}
	return noted(fmt.Sprintf("%v, each alone; %d is turned down", k.known(), nobodys))
}

// noise looks at what came before any call and, after a restart of the checks, at all calls so far.
func (k *kit) noise(ctx context.Context) error {
	if err := k.small(ctx, "noise"); err != nil {
		return err
	}
	if n := k.one.Noise(); n > 0 {
		return fmt.Errorf("it printed %d bytes to standard output beside the handshake, which the host throws away", n)
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
	ctx, cancel := context.WithTimeout(ctx, enough)
	defer cancel()
	if err := k.small(ctx, "call"); err != nil {
		return err
	}
	switch k.d.Kind {
	case plugins.KindAntivirus:
		return k.finds(ctx)
	case plugins.KindConservation:
		return k.keeps(ctx)
	case plugins.KindKey:
		return k.signs(ctx)
	default:
		return nil
	}
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
func (k *kit) end(ctx context.Context) error {
	for tries := 3; ; tries-- { // a busy machine may be late
		one := k.one
		k.stop()
		<-one.Done()
		exit, failed := errors.AsType[*exec.ExitError](one.Exit())
		if !failed || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			break
		}
		if tries == 1 {
			return errors.New("asked to end it does not, and had to be killed")
		}
		if err := k.start(ctx); err != nil {
			return err
		}
	}
	left, err := filepath.Glob(filepath.Join(k.run.RunDir, "*"))
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("left behind: %v", left)
	}
	return err
}
