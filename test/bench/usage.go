package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// processes returns the parent of each process of the machine.
func processes() map[int]int {
	parents := map[int]int{}
	found, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is well formed
	for _, name := range found {
		fields, err := stat(name)
		if err != nil {
			continue // it ended meanwhile
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		parents[pid] = fields.number(4)
	}
	return parents
}

// servers are the processes below this one: all of the lab and the peers.
func servers() []int {
	parents, self := processes(), os.Getpid()
	var below []int
	for pid := range parents {
		for up := parents[pid]; up > 1; up = parents[up] {
			if up == self {
				below = append(below, pid)
				break
			}
		}
	}
	return below
}

// statFields are those of /proc/PID/stat from the third on: the second may hold anything.
type statFields []string

func stat(name string) (statFields, error) {
	raw, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:])), nil
}

// number returns a field by its number in proc(5).
func (f statFields) number(n int) int {
	if n-3 >= len(f) {
		return 0
	}
	v, _ := strconv.Atoi(f[n-3])
	return v
}

// meter tells the CPU time that the servers used: by a control group where one can be made, otherwise from /proc, in
// which each process is rounded to 10 ms.
type meter struct {
	group string // folder of the control group; empty: there is none
	usage string // file with the figure
}

// groups are where control groups for CPU time may be: version 1, then version 2.
var groups = []struct{ folder, usage string }{
	{"/sys/fs/cgroup/cpuacct", "cpuacct.usage"},
	{"/sys/fs/cgroup", "cpu.stat"},
}

func newMeter() *meter {
	for _, g := range groups {
		folder := filepath.Join(g.folder, fmt.Sprintf("ceralacca-bench-%d", os.Getpid()))
		if os.Mkdir(folder, 0o755) != nil {
			continue
		}
		m := &meter{group: folder, usage: filepath.Join(folder, g.usage)}
		if _, err := os.Stat(m.usage); err == nil {
			return m
		}
		m.close()
	}
	return &meter{}
}

func (m *meter) close() {
	if m.group != "" {
		_ = os.Remove(m.group) // an empty group is harmless
	}
}

// kind says by what the CPU time is told.
func (m *meter) kind() string {
	if m.group == "" {
		return "/proc/PID/stat"
	}
	return "a control group"
}

// adopt puts the servers that run now into the group; their children follow.
func (m *meter) adopt() error {
	if m.group == "" {
		return nil
	}
	for _, pid := range servers() {
		err := os.WriteFile(filepath.Join(m.group, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o644)
		if err != nil && alive(pid) {
			return fmt.Errorf("put process %d into %s: %w", pid, m.group, err)
		}
	}
	return nil
}

func alive(pid int) bool { return unix.Kill(pid, 0) == nil }

// seconds is the CPU time so far.
func (m *meter) seconds() (float64, error) {
	if m.group == "" {
		return treeSeconds(), nil
	}
	raw, err := os.ReadFile(m.usage)
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(raw)) // version 1: nanoseconds; version 2: usage_usec N …
	if len(fields) == 1 {
		n, err := strconv.ParseFloat(fields[0], 64)
		return n / 1e9, err
	}
	n, err := strconv.ParseFloat(fields[1], 64)
	return n / 1e6, err
}

// treeSeconds adds up the servers and their dead children.
func treeSeconds() float64 {
	ticks := 0
	for _, pid := range servers() {
		if f, err := stat(fmt.Sprintf("/proc/%d/stat", pid)); err == nil {
			ticks += f.number(14) + f.number(15) + f.number(16) + f.number(17)
		}
	}
	return float64(ticks) / 100
}

// diskFlushes is how many flushes the disk that holds path has done, whoever asked for them.
func diskFlushes(path string) (float64, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return 0, err
	}
	raw, err := os.ReadFile("/proc/diskstats")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(raw)) {
		f := strings.Fields(line)
		if len(f) < 19 || f[0] != strconv.Itoa(int(unix.Major(st.Dev))) || f[1] != strconv.Itoa(int(unix.Minor(st.Dev))) {
			continue
		}
		return strconv.ParseFloat(f[18], 64)
	}
	return 0, fmt.Errorf("/proc/diskstats counts no flushes for the disk of %s", path)
}

// inMemory says whether the file system of path keeps files in memory.
func inMemory(path string) (bool, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(path, &fs); err != nil {
		return false, fmt.Errorf("%s: %w", path, err)
	}
	return fs.Type == unix.TMPFS_MAGIC || fs.Type == unix.RAMFS_MAGIC, nil
}

// memory returns a line of /proc/PID/status, such as VmHWM, in MiB.
func memory(pid int, name string) (float64, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(raw)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			kib, err := strconv.ParseFloat(strings.Fields(value)[0], 64)
			return kib / 1024, err
		}
	}
	return 0, fmt.Errorf("process %d has no %s", pid, name)
}
