package mortal

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// What a milter may hold after all kills more than before them: sessions that end late, pages that Go keeps.
const (
	moreFiles   = 12
	moreThreads = 24
	moreMiB     = 24
)

// footprint is what a process holds.
type footprint struct {
	files, threads, children int
	mib                      float64
}

func footprintOf(pid int) (footprint, error) {
	var f footprint
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return f, err
	}
	f.files = len(files)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return f, err
	}
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		n, _ := strconv.Atoi(strings.Fields(value + " 0")[0])
		switch name {
		case "VmRSS":
			f.mib = float64(n) / 1024
		case "Threads":
			f.threads = n
		}
	}
	found, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is well formed
	for _, name := range found {
		raw, _ := os.ReadFile(name) // it may have ended
		_, rest, _ := strings.Cut(string(raw), ") ")
		if fields := strings.Fields(rest); len(fields) > 1 && fields[1] == strconv.Itoa(pid) {
			f.children++
		}
	}
	return f, nil
}

// warm waits until the plug-in has answered some calls, and looks at its milter.
func (p *post) warm(ctx context.Context, host string, r *reaper) error {
	if _, err := r.until(ctx, "the first answers", func(l *life) bool { return l.ended >= 10 }); err != nil {
		return err
	}
	f, err := p.footprint(host)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.before[host] = f
	return err
}

func (p *post) footprint(host string) (footprint, error) {
	return footprintOf(p.lab.Processes().PID(strings.ToLower(host) + "-milter"))
}

// noLeak: the milters are the same, and hold no more than before; each has one child, its plug-in.
func (p *post) noLeak(t *testing.T) {
	t.Helper()
	for host, old := range p.before {
		var now footprint
		var err error
		for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(200 * time.Millisecond) { // sessions end by and by
			if now, err = p.footprint(host); err == nil && now.fits(old) {
				break
			}
		}
		if err != nil || !now.fits(old) {
			t.Errorf("%s's milter holds %+v, %v; before the kills %+v", host, now, err, old)
		}
		t.Logf("%s's milter holds %+v, before the kills %+v", host, now, old)
	}
}

func (f footprint) fits(old footprint) bool {
	return f.files <= old.files+moreFiles && f.threads <= old.threads+moreThreads && f.mib <= old.mib+moreMiB && f.children == 1
}
