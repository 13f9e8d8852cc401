package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// P9: how many messages are open, and what the many may cost more than the few.
const (
	openMany      = 10_000_000
	openFew       = 10_000
	openEvents    = 300     // in a round
	openTicks     = 100_000 // likewise
	openMostEvent = 1.15
	openMostTick  = 1.5
	openMostMiB   = 1024
)

// openGoal compares what an event and a tick with nothing due cost while many messages are open with what they cost while
// few are. Each store has a process of its own, in a control group that gives it 1 GiB for all that it holds, the pages of
// its file included, where control groups for memory can be made.
func openGoal(b *bench) ([]row, error) {
	return compareOpen(b, openMany)
}

func compareOpen(b *bench, many int) (rows []row, err error) {
	dir, err := os.MkdirTemp("/var/tmp", "bench") // never kept: within two hours the watches of an old store fall due
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if inRAM, err := inMemory(dir); err != nil || inRAM {
		return nil, errors.Join(err, fmt.Errorf("%s must be on a disk", dir))
	}
	large, err := b.openStore(dir, many)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, large.end()) }()
	small, err := b.openStore(dir, openFew)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, small.end()) }()
	events, err := b.interleave(large.variant("events", openEvents), small.variant("events", openEvents))
	if err != nil {
		return nil, err
	}
	anyAge, err := b.interleave(large.variant("any", openEvents), small.variant("any", openEvents))
	if err != nil {
		return nil, err
	}
	ticks, err := b.interleave(large.variant("ticks", openTicks), small.variant("ticks", openTicks))
	if err != nil {
		return nil, err
	}
	whole, err := memory(large.cmd.Process.Pid, "VmHWM")
	if err != nil {
		return nil, err
	}
	own, err := memory(large.cmd.Process.Pid, "RssAnon")
	if err != nil {
		return nil, err
	}
	most := row{what: "memory with " + large.name + ", peak, the file's pages included; of which its own in the end", ours: fmt.Sprintf("%.0f MiB; %.0f MiB", whole, own),
		peer: none, ratio: none, want: fmt.Sprintf("≤ %d MiB", openMostMiB), holds: whole <= openMostMiB}
	micro := figure{func(s sample) float64 { return 1e6 * s.secondEach() }, "%.2f µs"}
	event := events.compare("an event that is durable, "+large.name+" against "+small.name, millisecond, large.name, small.name, atMost(openMostEvent))
	work := events.compare("CPU of an event", cpu, large.name, small.name, bound{})
	hardest := anyAge.compare("an event, deliveries of messages of any age", millisecond, large.name, small.name, bound{})
	hardestWork := anyAge.compare("CPU of such an event", cpu, large.name, small.name, bound{})
	tick := ticks.compare("a tick with nothing due", micro, large.name, small.name, atMost(openMostTick))
	return []row{event, work, hardest, hardestWork, tick, most}, nil
}

// holder is a process that has a store with open messages.
type holder struct {
	name  string
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Reader
	group string
}

// openStore fills a store in a process that ends, and has another open it.
func (b *bench) openStore(dir string, n int) (*holder, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, strconv.Itoa(n)+".db")
	began := time.Now()
	if out, err := exec.CommandContext(b.ctx, self, "open", "fill", file, strconv.Itoa(n)).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("filling: %w: %s", err, out)
	}
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	b.say("a store with %d open messages: %d MB, in %s", n, info.Size()/1e6, time.Since(began).Round(time.Second))
	h := &holder{name: fmt.Sprintf("%d open", n), cmd: exec.CommandContext(b.ctx, self, "open", "hold", file, strconv.Itoa(n))}
	h.cmd.Stderr = os.Stderr
	if h.in, err = h.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := h.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	h.out = bufio.NewReader(out)
	if err := h.cmd.Start(); err != nil {
		return nil, err
	}
	h.group = limitMemory(h.cmd.Process.Pid, openMostMiB<<20)
	began = time.Now()
	if _, err := h.ask("open", 0); err != nil { // it waits for this before it opens the file
		return nil, errors.Join(err, h.end())
	}
	b.say("opened in %s, in a control group of 1 GiB: %v", time.Since(began).Round(time.Millisecond), h.group != "")
	return h, nil
}

// limitMemory puts a process into a control group with so many bytes, and returns its folder, or "" where there is none.
func limitMemory(pid, bytes int) string {
	for _, g := range []struct{ folder, limit string }{{"/sys/fs/cgroup/memory", "memory.limit_in_bytes"}, {"/sys/fs/cgroup", "memory.max"}} {
		folder := filepath.Join(g.folder, fmt.Sprintf("ceralacca-bench-open-%d", pid))
		if os.Mkdir(folder, 0o755) != nil {
			continue
		}
		if os.WriteFile(filepath.Join(folder, g.limit), []byte(strconv.Itoa(bytes)), 0o644) == nil &&
			os.WriteFile(filepath.Join(folder, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o644) == nil {
			return folder
		}
		_ = os.Remove(folder) // it is empty
	}
	return ""
}

// ask has the process do something so many times.
func (h *holder) ask(what string, times int) (sample, error) {
	if _, err := fmt.Fprintf(h.in, "%s %d\n", what, times); err != nil {
		return sample{}, err
	}
	line, err := h.out.ReadString('\n')
	if err != nil {
		return sample{}, fmt.Errorf("the process with %s ended: %w", h.name, err)
	}
	s := sample{count: float64(times)}
	_, err = fmt.Sscan(strings.TrimSpace(line), &s.seconds, &s.cpu)
	return s, err
}

func (h *holder) variant(what string, times int) variant {
	return variant{h.name, func() (sample, error) { return h.ask(what, times) }}
}

func (h *holder) end() error {
	_ = h.in.Close() // it ends then
	err := h.cmd.Wait()
	if h.group != "" {
		_ = os.Remove(h.group) // an empty group is harmless
	}
	return err
}

// openProcess is what the processes of P9 do.
func openProcess(args []string) error {
	if len(args) != 3 || !slices.Contains([]string{"fill", "hold"}, args[0]) {
		return errors.New("usage: bench open fill|hold FILE N")
	}
	n, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	if args[0] == "fill" {
		return fillOpen(args[1], n)
	}
	return holdOpen(args[1], n)
}
