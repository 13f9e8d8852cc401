package mortal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ceralacca/ceralacca/internal/conformance"
)

// Kills of each plug-in: a thousand in all.
const (
	killsInMail   = 150 // of each of two
	killsAtAgent  = 100 // of each of two
	killsInEvents = 125 // of each of four
	killsInAll    = 2*killsInMail + 2*killsAtAgent + 4*killsInEvents
	leastInCall   = killsInAll * 9 / 10
)

// folder makes a folder with a path short enough for sockets, that everybody may pass, with the programs.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "mt")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	bin := filepath.Join(dir, "bin")
	for _, err := range []error{os.Chmod(dir, 0o755), os.Mkdir(bin, 0o755)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	build(t, filepath.Join(dir, "ceralacca"), "cmd/ceralacca")
	build(t, filepath.Join(bin, "antivirus"), "test/mortal/plug")
	for _, name := range tellable {
		if err := os.Link(filepath.Join(bin, "antivirus"), filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func build(t *testing.T, path, pkg string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "build", "-ldflags=-s -w", "-o", path, "github.com/ceralacca/ceralacca/"+pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building %s: %v\n%s", pkg, err, out)
	}
}

// Whatever the moment at which a plug-in is killed, what clients hear is 451 or the truth, and every event arrives.
func TestAThousandKills(t *testing.T) {
	conformance.Covers(t, "C060", "C122", "C232")
	dir := folder(t)
	mail, told := newPost(t, dir), newTeller(t, dir)
	reapers := slices.Concat(mail.scan, mail.told, told.reapers)

	load, stop := context.WithCancel(t.Context())
	defer stop()
	began := time.Now()
	go progress(load, began, reapers)
	var all errgroup.Group
	all.Go(func() error { return told.reap(load) })
	for i, host := range []string{"ALFA", "BETA"} {
		all.Go(func() error { return mail.reap(load, host, mail.killers(i, host)) })
	}
	if err := all.Wait(); err != nil {
		t.Error(err)
	}
	t.Logf("%d kills in %s", total(reapers, func(r *reaper) int { return r.kills }), time.Since(began).Round(time.Second))
	stop()
	mail.settle(t)
	mail.allTold(t)
	told.settle(t)
	mail.noLeak(t)
	if err := mail.lab.Audit(t.Context(), mail.program, nil); err != nil {
		t.Error(err)
	}
	kills, inCall := total(reapers, func(r *reaper) int { return r.kills }), total(reapers, func(r *reaper) int { return r.inCall })
	t.Logf("killed %d times, %d in the middle of a call: %v", kills, inCall, reapers)
	if kills < killsInAll || inCall < leastInCall {
		t.Errorf("killed %d times, %d in the middle of a call; want at least %d, %d", kills, inCall, killsInAll, leastInCall)
	}
}

func total(reapers []*reaper, of func(*reaper) int) int {
	sum := 0
	for _, r := range reapers {
		r.mu.Lock()
		sum += of(r)
		r.mu.Unlock()
	}
	return sum
}

// killers kill what there is to kill at a host, each one thing, as often as it shall be.
func (p *post) killers(i int, host string) []func(context.Context) error {
	out := []func(context.Context) error{func(ctx context.Context) error {
		if err := p.warm(ctx, host, p.scan[i]); err != nil {
			return err
		}
		return p.scan[i].reap(ctx, killsInMail)
	}}
	if host != "ALFA" {
		return out
	}
	for _, r := range p.told {
		out = append(out, func(ctx context.Context) error { return r.reap(ctx, killsAtAgent) })
	}
	return append(out, p.reapAgent)
}

// reap kills at a host as long as its clients send.
func (p *post) reap(ctx context.Context, host string, killers []func(context.Context) error) error {
	load, stop := context.WithCancel(ctx)
	defer stop()
	var users, reaping errgroup.Group
	for range clients {
		users.Go(func() error { return p.send(load, host) })
	}
	for _, kill := range killers {
		reaping.Go(func() error { return kill(ctx) })
	}
	err := reaping.Wait()
	stop()
	return errors.Join(err, users.Wait())
}

// reap kills all that are told, as long as events happen.
func (e *teller) reap(ctx context.Context) error {
	load, stop := context.WithCancel(ctx)
	defer stop()
	var world, reaping errgroup.Group
	world.Go(func() error { return e.happen(load) })
	for _, r := range e.reapers {
		reaping.Go(func() error { return r.reap(ctx, killsInEvents) })
	}
	err := reaping.Wait()
	stop()
	return errors.Join(err, world.Wait())
}

// progress says every ten seconds how far it is.
func progress(ctx context.Context, began time.Time, reapers []*reaper) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(10 * time.Second):
			fmt.Printf("%s: %v\n", time.Since(began).Round(time.Second), reapers)
		}
	}
}
