package host

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/ceralacca/ceralacca/plugins"
)

// Running returns the numbers of the processes that run the executable of a plug-in now, whichever daemon has started
// them; those that describe themselves are not meant. A script is the first argument of its interpreter.
func Running(path string) ([]int, error) {
	names, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		args := strings.Split(strings.TrimSuffix(string(data), "\x00"), "\x00")
		at := slices.Index(args, path)
		if at != len(args)-1 || at > 2 || slices.Contains(args, plugins.DescribeArgument) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}
