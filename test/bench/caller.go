package main

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/plugins"
	"github.com/ceralacca/ceralacca/plugins/host"
)

// caller is a process of its own that hosts one plug-in and calls it, so that the memory of both sides is that of these
// calls and of nothing else.
type caller struct {
	call    string
	size    int64
	dir     string // holds the plug-in's file; short, and others may pass
	plugin  *host.Supervisor
	content *os.File
	sum     [sha256.Size]byte
	sink    *sink
	key     *rsa.PrivateKey
}

// called is what a caller prints.
type called struct {
	Ours, Peer []spent
	// Host and Plugin are how many MiB the peak of each process is above what it had before its first call, when so many calls
	// as P4 has messages were under way at a time.
	Host, Plugin float64
}

// spent is what some calls took, CPU time of all processes together.
type spent struct{ Count, Seconds, CPU float64 }

// callOnce is the process: CALL SIZE ROUNDS DIR.
func callOnce(args []string) error {
	if len(args) != 4 {
		return errors.New("usage: call CALL SIZE ROUNDS DIR")
	}
	size, err1 := strconv.ParseInt(args[1], 10, 64)
	rounds, err2 := strconv.Atoi(args[2])
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	ctx := context.Background()
	c := &caller{call: args[0], size: size, dir: args[3]}
	if err := c.prepare(ctx); err != nil {
		return err
	}
	defer c.close()
	result, err := c.measure(ctx, rounds)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}

// prepare starts the plug-in and the process that is the other side of the peer, and makes the content.
func (c *caller) prepare(ctx context.Context) error {
	var err error
	if c.content, err = os.CreateTemp(c.dir, "content-"); err != nil {
		return err
	}
	if err := os.Remove(c.content.Name()); err != nil { // as the daemons hold theirs
		return err
	}
	digest := sha256.New()
	if _, err := io.CopyN(io.MultiWriter(c.content, digest), rand.Reader, c.size); err != nil {
		return err
	}
	digest.Sum(c.sum[:0])
	if c.key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		return err
	}
	if c.sink, err = startSink(c.dir); err != nil {
		return err
	}
	c.plugin, err = host.New(ctx, host.Options{
		Name: c.call, Kind: kindOf(c.call), Deadline: time.Minute, Concurrency: host.DefaultConcurrency, RunDir: c.dir,
		Program: host.Program{Path: filepath.Join(c.dir, plugPrefix+c.call), Isolation: host.Isolation{User: "nobody"}},
		Clock:   clock.System{}, Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	return err
}

func (c *caller) close() {
	if c.plugin != nil {
		c.plugin.Stop()
	}
	c.sink.close()
	_ = c.content.Close() // it has no name any more
}

// measure looks at memory first, as long as nothing else has been done.
func (c *caller) measure(ctx context.Context, rounds int) (called, error) {
	var r called
	var err error
	if r.Host, r.Plugin, err = c.memory(ctx); err != nil {
		return r, err
	}
	for round := range rounds + 1 {
		ours, err := c.spend(func(n int) error { return c.ours(ctx, 0) })
		if err != nil {
			return r, err
		}
		peer, err := c.spend(func(n int) error { return c.peer() })
		if err != nil {
			return r, err
		}
		if round > 0 { // the first warms up
			r.Ours, r.Peer = append(r.Ours, ours), append(r.Peer, peer)
		}
	}
	return r, nil
}

// memory makes calls at a time, several times over, and returns what they add to each side.
func (c *caller) memory(ctx context.Context) (ours, theirs float64, err error) {
	pids := [2]int{os.Getpid(), c.plugin.Current().PID()}
	var before, after [2]float64
	for i, pid := range pids {
		if before[i], err = memory(pid, "VmRSS"); err != nil {
			return 0, 0, err
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	for slot := range atATime {
		group.Go(func() error {
			for range max(2, callVolume(c.size)/atATime) {
				if err := c.ours(ctx, slot); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return 0, 0, err
	}
	for i, pid := range pids {
		if after[i], err = memory(pid, "VmHWM"); err != nil {
			return 0, 0, err
		}
	}
	return after[0] - before[0], after[1] - before[1], nil
}

// callVolume is how many calls make a round.
func callVolume(size int64) int {
	switch {
	case size <= 1_000:
		return 300
	case size <= 1_000_000:
		return 30
	default:
		return 3
	}
}

// spend times one call after the other.
func (c *caller) spend(do func(n int) error) (spent, error) {
	count := callVolume(c.size)
	start, cpu := time.Now(), c.cpu()
	for n := range count {
		if err := do(n); err != nil {
			return spent{}, err
		}
	}
	return spent{float64(count), time.Since(start).Seconds(), c.cpu() - cpu}, nil
}

// cpu is the CPU time of all processes that have to do with the calls, in seconds.
func (c *caller) cpu() float64 {
	total := 0.0
	for _, pid := range []int{os.Getpid(), c.sink.pid(), c.plugin.Current().PID()} {
		var t unix.Timespec
		// clock_getcpuclockid(3): the clock of a process, in nanoseconds, that of all its threads.
		if unix.ClockGettime(int32(^pid<<3|2), &t) == nil {
			total += float64(t.Nano()) / 1e9
		}
	}
	return total
}

// ours makes one call; calls with different slots may be made at a time.
func (c *caller) ours(ctx context.Context, slot int) (err error) {
	content, key := host.Content{ReaderAt: c.content, Size: c.size}, strconv.Itoa(slot)
	bundle := plugins.Bundle{Key: key, Size: c.size, SHA256: c.sum[:]}
	switch c.call {
	case callStream, callFile:
		_, err = host.Antivirus{Supervisor: c.plugin}.Scan(ctx, content)
	case callDeposit:
		err = done(host.Conservation{Supervisor: c.plugin}.Deposit(ctx, bundle, content))
	case callExhibit:
		err = c.exhibit(ctx, bundle, content)
	case callNotify:
		err = done(host.Notification{Supervisor: c.plugin}.Notify(ctx, plugins.Event{Key: key, Name: "delivery", Headers: make([]byte, c.size)}))
	case callSign:
		_, err = host.Key{Supervisor: c.plugin}.Sign(ctx, "1", c.sum[:])
	}
	return err
}

func done(e plugins.Effect, err error) error {
	if err == nil && e.Outcome != plugins.Done {
		err = fmt.Errorf("not done: %s", e.Reason)
	}
	return err
}

// exhibit deposits what is not there yet.
func (c *caller) exhibit(ctx context.Context, b plugins.Bundle, content host.Content) error {
	kept := host.Conservation{Supervisor: c.plugin}
	_, found, err := kept.Exhibit(ctx, b.Key, io.Discard)
	if err != nil || found {
		return err
	}
	if err := done(kept.Deposit(ctx, b, content)); err != nil {
		return err
	}
	return c.exhibit(ctx, b, content)
}

// peer does the same as directly as it can be done.
func (c *caller) peer() error {
	content := io.NewSectionReader(c.content, 0, c.size)
	switch c.call {
	case callDeposit:
		return keep(filepath.Join(c.dir, "kept"), content, c.sum[:])
	case callExhibit:
		digest := sha256.New()
		return pour(digest, content)
	case callSign:
		_, err := rsa.SignPKCS1v15(rand.Reader, c.key, crypto.SHA256, c.sum[:])
		return err
	default:
		return c.sink.send(content)
	}
}
