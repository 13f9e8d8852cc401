package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab"
)

// P4: so many messages at a time, and what they may add to a daemon.
const (
	atATime    = 8
	largeSize  = 100_000_000
	smallSize  = 1_000_000
	smallTimes = 10
	mostMiB    = 8
	mostTimes  = 1.1
)

func daemons() []string { return []string{"alfa-milter", "alfa-lda", "beta-milter", "beta-lda"} }

// memoryGoal compares what eight messages of 100 MB at a time add to each daemon with what eight of 1 MB add, each in
// a life of its own, from alfa to beta: every daemon sees the content, that of alfa again in the delivery receipt.
// Small messages are over so soon that few of them meet at beta, and that one time does not show the peak of the
// collector's cycle: they come ten times.
func memoryGoal(b *bench) ([]row, error) {
	if err := b.onDisk(); err != nil {
		return nil, err
	}
	small, err := b.added(slices.Repeat([]int{smallSize}, smallTimes)...)
	if err != nil {
		return nil, err
	}
	large, err := b.added(smallSize, largeSize)
	if err != nil {
		return nil, err
	}
	var rows []row
	var failed []error
	for _, name := range daemons() {
		few, many := small[name], large[name]
		r := row{
			what:  name + ", peak of memory over idle: eight of 100 MB, eight of 1 MB",
			ours:  fmt.Sprintf("+%.2f MiB", many),
			peer:  fmt.Sprintf("+%.2f MiB", few),
			ratio: fmt.Sprintf("%.2f", many/few),
			want:  fmt.Sprintf("≤ %d MiB, ≤ %.1f", mostMiB, mostTimes),
			holds: many <= mostMiB && many <= mostTimes*few,
		}
		if !r.holds {
			failed = append(failed, fmt.Errorf("%s gained %.2f MiB from large messages, %.2f from small ones", name, many, few))
		}
		rows = append(rows, r)
	}
	return rows, errors.Join(failed...)
}

// added starts the daemons anew, sends eight messages of each size at a time and returns, by daemon, how many MiB the
// peak of its resident memory (VmHWM) is above what it had before the first.
func (b *bench) added(sizes ...int) (map[string]float64, error) {
	if err := b.fresh(); err != nil {
		return nil, err
	}
	idle, err := b.resident("VmRSS")
	if err != nil {
		return nil, err
	}
	b.say("idle: %s", perDaemon(idle))
	watch := watchSockets(b.lab)
	defer watch.stop()
	peak := map[string]float64{}
	for _, size := range sizes {
		if err := b.together(size); err != nil {
			return nil, err
		}
		now, err := b.resident("VmHWM")
		if err != nil {
			return nil, err
		}
		for name := range now { // the kernel's figure may also fall by some pages: it is kept for each CPU apart
			peak[name] = max(peak[name], now[name]-idle[name])
		}
		b.say("%d of %s at a time: %s", atATime, sized(size), perDaemon(peak))
	}
	most := watch.stop()
	b.say("most connections at a time: %v", most)
	if most[strings.TrimPrefix(b.lab.Alfa.SubmissionSocket, b.lab.Runtime()+"/")] < atATime {
		return nil, fmt.Errorf("the submissions did not overlap: %v", most)
	}
	return peak, nil
}

func perDaemon(mib map[string]float64) string {
	var all []string
	for _, name := range daemons() {
		all = append(all, fmt.Sprintf("%s %.2f MiB", name, mib[name]))
	}
	return strings.Join(all, ", ")
}

// onDisk makes sure that what daemons put aside is on a disk, not in memory.
func (b *bench) onDisk() error {
	for _, path := range []string{b.lab.Runtime(), "/var/tmp"} {
		yes, err := inMemory(path)
		if err != nil {
			return err
		}
		if yes {
			return fmt.Errorf("%s is in memory: set TMPDIR to a folder on a disk", path)
		}
	}
	return nil
}

// fresh starts the daemons anew, without a limit for memory, and lets Postfix hand them eight messages at a time.
func (b *bench) fresh() error {
	for _, h := range []*lab.Host{b.lab.Alfa, b.lab.Beta} {
		for _, config := range []string{h.PostfixConfig, h.OutConfig} {
			setting := fmt.Sprintf("initial_destination_concurrency=%d", atATime)
			if err := command(b.ctx, "postconf", "-c", config, "-e", setting); err != nil {
				return err
			}
			if err := command(b.ctx, "postfix", "-c", config, "reload"); err != nil {
				return err
			}
		}
	}
	for _, name := range daemons() {
		if err := errors.Join(b.lab.Processes().Halt(name), b.lab.Resume(b.ctx, name)); err != nil {
			return err
		}
		environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", b.lab.Processes().PID(name)))
		if err != nil {
			return err
		}
		if strings.Contains(string(environ), "GOMEMLIMIT") || strings.Contains(string(environ), "GOGC") {
			return fmt.Errorf("%s has a limit for memory in its environment", name)
		}
	}
	return nil
}

// together sends eight messages from alfa to beta whose DATA is open at the same time, and waits for all that follows.
func (b *bench) together(size int) error {
	const count = atATime
	sender, recipient, service := b.parties(flow{remote: true})
	mario := b.env.Users("ALFA")[0]
	_, err := b.timed(count, append(queues(b.lab, b.lab.Alfa), queues(b.lab, b.lab.Beta)...),
		expected{sender: 2 * count, recipient: count, service: count}, load{
			network: "tcp", address: b.peer.submission, hello: "EHLO", login: &mario,
			from: mario.Address, to: []string{string(recipient)},
			count: count, sessions: count, together: true, text: mail(mario.Address, string(recipient), size),
		})
	return err
}

// resident is a figure of /proc/PID/status by daemon, in MiB.
func (b *bench) resident(name string) (map[string]float64, error) {
	found := map[string]float64{}
	for _, daemon := range daemons() {
		mib, err := memory(b.lab.Processes().PID(daemon), name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", daemon, err)
		}
		found[daemon] = mib
	}
	return found, nil
}

// watcher counts the connections to the daemons' sockets.
type watcher struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
	most   map[string]int
}

func watchSockets(l *lab.Lab) *watcher {
	ctx, cancel := context.WithCancel(context.Background())
	w := &watcher{cancel: cancel, most: map[string]int{}}
	w.done.Go(func() {
		for ctx.Err() == nil {
			for name, n := range connections(l.Runtime() + "/") {
				w.most[name] = max(w.most[name], n)
			}
			time.Sleep(20 * time.Millisecond)
		}
	})
	return w
}

// stop ends the watch and returns the most connections at a time, by socket.
func (w *watcher) stop() map[string]int {
	w.cancel()
	w.done.Wait()
	return w.most
}

// connected is how /proc/net/unix writes the state of a connected socket.
const connected = "03"

// connections are those to sockets below a folder, by the rest of the path.
func connections(folder string) map[string]int {
	raw, _ := os.ReadFile("/proc/net/unix") // absent: nothing is counted, and that is found out
	found := map[string]int{}
	for line := range strings.Lines(string(raw)) {
		f := strings.Fields(line)
		if len(f) == 8 && f[5] == connected && strings.HasPrefix(f[7], folder) && strings.Contains(f[7], "/s/") {
			found[strings.TrimPrefix(f[7], folder)]++
		}
	}
	return found
}
