package mailbox

import (
	"bufio"
	"bytes"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// table is one alias map. What is a file is read whole and kept until the file is another: every recipient is looked up,
// and a process for each would cost more than the message.
type table struct {
	spec string // "type:path"

	mu      sync.Mutex
	read    stamp
	entries map[string]string // by key in lower case
}

// stamp tells two states of a file apart.
type stamp struct {
	inode uint64
	size  int64
	at    syscall.Timespec
}

// file is the file that holds the map, empty for a map that is no single file.
func (t *table) file() string {
	kind, path, _ := strings.Cut(t.spec, ":")
	switch kind {
	case "texthash":
		return path
	case "hash", "btree":
		return path + ".db"
	case "lmdb", "cdb":
		return path + "." + kind
	}
	return ""
}

// lookup finds a key, in lower case, in a map that is a file; dump returns what postmap -s says of it. Empty is not there.
func (t *table) lookup(key string, dump func() ([]byte, error)) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now, err := stampOf(t.file())
	if err != nil {
		return "", fmt.Errorf("alias map %s: %w", t.spec, err)
	}
	if t.entries == nil || now != t.read {
		all, err := dump() // what changes while it is read has another stamp next time
		if err != nil {
			return "", err
		}
		if t.entries, err = parseDump(all); err != nil {
			return "", fmt.Errorf("alias map %s: %w", t.spec, err)
		}
		t.read = now
	}
	return t.entries[key], nil
}

// keys are the keys of a map that was looked into, sorted.
func (t *table) keys() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Sorted(maps.Keys(t.entries))
}

func stampOf(file string) (stamp, error) {
	var s syscall.Stat_t
	if err := syscall.Stat(file, &s); err != nil {
		return stamp{}, &os.PathError{Op: "stat", Path: file, Err: err}
	}
	return stamp{inode: s.Ino, size: s.Size, at: s.Mtim}, nil
}

// parseDump reads lines of key, tab and value. Of two values for a key the first counts, as for Postfix.
func parseDump(all []byte) (map[string]string, error) {
	entries := map[string]string{}
	lines := bufio.NewScanner(bytes.NewReader(all))
	lines.Buffer(nil, maxAlias+1<<10)
	for lines.Scan() {
		key, value, found := strings.Cut(lines.Text(), "\t")
		if !found {
			return nil, fmt.Errorf("%.100q is no entry", lines.Text())
		}
		if key = strings.ToLower(key); entries[key] == "" {
			entries[key] = strings.TrimSpace(value)
		}
	}
	return entries, lines.Err()
}
