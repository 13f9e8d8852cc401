package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/ceralacca/ceralacca/plugins"
)

// The calls of plug-ins that are measured. A plug-in has the name of its call.
const (
	callStream  = "scan"
	callFile    = "scan-file"
	callDeposit = "deposit"
	callExhibit = "exhibit"
	callNotify  = "notify"
	callSign    = "sign"
)

func kindOf(call string) plugins.Kind {
	switch call {
	case callStream, callFile:
		return plugins.KindAntivirus
	case callNotify:
		return plugins.KindNotification
	case callSign:
		return plugins.KindKey
	default:
		return plugins.KindConservation
	}
}

// measuredCall is a kind of call and what does the same without a plug-in.
type measuredCall struct {
	call, title, peer string
	sizes             []int
}

func measuredCalls() []measuredCall {
	all := []int{1_000, 1_000_000, 30_000_000}
	const socket, within = "bare socket", "in the process"
	return []measuredCall{
		{callStream, "Scan, streamed", socket, all}, {callFile, "Scan, by file", socket, all},
		{callDeposit, "Deposit", within, all}, {callExhibit, "Exhibit", within, all},
		{callNotify, "Notify", socket, all[:1]}, {callSign, "Sign", within, []int{0}},
	}
}

// pluginCalls measures each kind of call, in a process of its own, against its peer.
func pluginCalls(b *bench) ([]row, error) {
	dir, err := os.MkdirTemp("/var/tmp", "bench") // on a disk, with a path short enough for sockets
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := os.Chmod(dir, 0o755); err != nil { // plug-ins run as another user
		return nil, err
	}
	var times, memories []row
	for _, m := range measuredCalls() {
		if err := copySelf(filepath.Join(dir, plugPrefix+m.call)); err != nil {
			return nil, err
		}
		var added []string
		for _, size := range m.sizes {
			r, err := b.called(m.call, size, dir)
			if err != nil {
				return append(times, memories...), fmt.Errorf("%s: %w", m.title, err)
			}
			name := m.title
			if size > 0 {
				name += ", " + sized(size)
			}
			times = append(times, r.row(name, m.peer))
			b.say("%s: %s, %s, %s", name, times[len(times)-1].ours, times[len(times)-1].peer, r.added())
			added = append(added, r.added())
		}
		memories = append(memories, row{what: m.title + ", memory added by eight at a time: host, plug-in",
			ours: strings.Join(added, "; "), peer: none, ratio: none, want: none})
	}
	return append(times, memories...), nil
}

// copySelf puts this program under the name of a plug-in.
func copySelf(path string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	in, err := os.Open(self)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := writeFile(path, func(w io.Writer) error { _, err := io.Copy(w, in); return err }); err != nil {
		return err
	}
	return os.Chmod(path, 0o755)
}

// called runs the process that makes calls.
func (b *bench) called(call string, size int, dir string) (called, error) {
	self, err := os.Executable()
	if err != nil {
		return called{}, err
	}
	cmd := exec.CommandContext(b.ctx, self, "call", call, strconv.Itoa(size), strconv.Itoa(b.rounds), dir)
	cmd.Stderr = os.Stderr
	raw, err := cmd.Output()
	if err != nil {
		return called{}, err
	}
	var r called
	return r, json.Unmarshal(raw, &r)
}

// row compares the time of a call.
func (c called) row(what, peer string) row {
	o := outcome{}
	for i := range c.Ours {
		o["ours"], o["peer"] = append(o["ours"], c.Ours[i].sample()), append(o["peer"], c.Peer[i].sample())
	}
	r, used := o.compare(what, millisecond, "ours", "peer", bound{}), o.compare(what, cpu, "ours", "peer", bound{})
	r.ours, r.peer = r.ours+", "+used.ours, r.peer+", "+used.peer+" ("+peer+")"
	return r
}

func (c called) added() string { return fmt.Sprintf("+%.1f, +%.1f MiB", c.Host, c.Plugin) }

func (s spent) sample() sample { return sample{count: s.Count, seconds: s.Seconds, cpu: s.CPU} }
