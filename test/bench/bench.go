package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab"
	"github.com/ceralacca/ceralacca/deploy/lab/client"
	"github.com/ceralacca/ceralacca/plugins/host"
)

// bench is what the goals share: one lab, one private Postfix for the peers, and what was measured already.
type bench struct {
	ctx    context.Context
	dir    string
	rounds int
	lab    *lab.Lab
	env    client.Env
	peer   *peer
	meter  *meter
	began  time.Time
	plugin string // folder of the plug-in that the milters ask; empty: they ask none
	tree   string // what is measured, as git names it before results are written into it
	// Several goals look at the same measurement.
	access map[int]outcome
	flows  map[flow]outcome
}

// limits lets messages of 100 MB and their receipts through with room.
const limits = "\n[limits]\nsize = \"150 MB\"\nproduct = \"150 MB\"\nhard_size = \"160 MB\"\n"

// options are those of the command line.
type options struct {
	bin, dir, env string
	rounds        int
	antivirus     bool // the milters of the lab ask a plug-in that reads all and finds nothing
	bare          bool // no goal needs the lab
}

func newBench(ctx context.Context, o options) (*bench, error) {
	dir, err := filepath.Abs(o.dir)
	if err != nil {
		return nil, err
	}
	bin, err := filepath.Abs(o.bin)
	if err != nil {
		return nil, err
	}
	b := &bench{ctx: ctx, dir: dir, rounds: o.rounds, began: time.Now(), tree: output("git", "describe", "--always", "--dirty"), access: map[int]outcome{}, flows: map[flow]outcome{}}
	if b.meter = newMeter(); o.bare {
		return b, os.MkdirAll(dir, 0o755)
	}
	b.say("starting the lab and its peers")
	config := func(_, toml string) string { return toml + limits }
	if o.antivirus {
		b.tree += ", with an antivirus plug-in that reads all and finds nothing"
		if config, err = b.askPlugin(); err != nil {
			return nil, err
		}
	}
	b.lab, err = lab.Start(ctx, lab.Options{Dir: dir, Bin: bin, Daemons: true, Env: strings.Fields(o.env), Config: config})
	if err != nil {
		b.meter.close()
		return nil, errors.Join(err, os.RemoveAll(b.plugin))
	}
	b.env = environment(b.lab.Env())
	if b.peer, err = startPeer(ctx, b.lab); err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

func (b *bench) close() error {
	var err error
	if b.lab != nil {
		err = b.lab.Stop()
	}
	b.meter.close()
	if b.plugin != "" {
		err = errors.Join(err, os.RemoveAll(b.plugin))
	}
	return err
}

// askPlugin makes the plug-in, and what adds it to the configuration of daemons.
func (b *bench) askPlugin() (func(host, toml string) string, error) {
	var err error
	if b.plugin, err = os.MkdirTemp("/var/tmp", "bench"); err != nil {
		return nil, err
	}
	program := filepath.Join(b.plugin, plugPrefix+callStream)
	if err := errors.Join(os.Chmod(b.plugin, 0o755), copySelf(program)); err != nil { // the daemons' user runs it
		return nil, err
	}
	sum, err := host.Checksum(program)
	return func(_, toml string) string {
		return strings.Replace(toml, `mode = "none"`, `mode = "plugins"`, 1) + limits +
			fmt.Sprintf("\n[plugins.bench]\npath = %q\nsha256 = %q\nnetwork = true\n", program, sum)
	}, err
}

// environment reads the lines of a lab's env file.
func environment(text string) client.Env {
	env := client.Env{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		env[name] = strings.Trim(value, "'")
	}
	return env
}

// say prints a line of progress.
func (b *bench) say(format string, args ...any) {
	fmt.Printf("%7.1fs  %s\n", time.Since(b.began).Seconds(), fmt.Sprintf(format, args...))
}

// conditions says when, how often and on what something is measured.
func (b *bench) conditions(g goal) string {
	times := ""
	if !g.once {
		times = fmt.Sprintf(", %d rounds", b.rounds)
	}
	kind := b.meter.kind()
	if g.bare { // its processes tell their own
		kind = "getrusage"
	}
	load, _ := os.ReadFile("/proc/loadavg") // empty where there is none
	return fmt.Sprintf("%s%s, load %s at the start, CPU time by %s; %d CPUs (%s), Linux %s, Postfix %s, Dovecot %s, %s, %s",
		time.Now().UTC().Format("2006-01-02 15:04 UTC"), times, strings.Join(strings.Fields(string(load))[:1], ""), kind,
		runtime.NumCPU(), processor(), output("uname", "-r"), output("postconf", "-d", "-h", "mail_version"),
		output("dovecot", "--version"), output("openssl", "version"), b.tree)
}

func processor() string {
	raw, _ := os.ReadFile("/proc/cpuinfo") // unknown where there is none
	for line := range strings.Lines(string(raw)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

// output is the first line of what a command prints, for people.
func output(name string, args ...string) string {
	raw, _ := exec.Command(name, args...).Output() // an absent command prints nothing
	line, _, _ := strings.Cut(string(raw), "\n")
	return strings.TrimSpace(line)
}
