package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// memory keeps which rows of a seed are proven, so that a run can be interrupted, or be repeated when something was mended.
type memory struct {
	path   string
	killed map[string]verdict
}

// remember reads what an earlier run of the same seed left.
func remember(o options) (*memory, error) {
	m := &memory{path: filepath.Join(o.work, fmt.Sprintf("seed-%d.tsv", o.seed)), killed: map[string]verdict{}}
	if err := os.MkdirAll(o.work, 0o755); err != nil {
		return nil, err
	}
	data, err := os.ReadFile(m.path)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	for line := range strings.Lines(string(data)) {
		field := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(field) != 5 || outcome(field[1]) != killed {
			continue
		}
		file, number, _ := strings.Cut(field[2], ":")
		at, _ := strconv.Atoi(number) // for display only
		m.killed[field[0]] = verdict{id: field[0], outcome: killed, test: field[4],
			change: change{file: file, line: at, what: field[3]}}
	}
	return m, err
}

// add keeps a row that is proven.
func (m *memory) add(v verdict) error {
	if _, known := m.killed[v.id]; known || v.outcome != killed {
		return nil
	}
	m.killed[v.id] = v
	file, err := os.OpenFile(m.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(file, strings.Join(v.columns(), "\t"))
	return errors.Join(err, file.Close())
}

// end forgets a run that proved all it picked: the next one looks again.
func (m *memory) end(unproven int) error {
	if unproven > 0 {
		return nil
	}
	if err := os.Remove(m.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
