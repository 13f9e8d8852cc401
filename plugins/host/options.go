package host

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/internal/metrics"
	"github.com/ceralacca/ceralacca/plugins"
)

// Options are what a plug-in is started with.
type Options struct {
	// Name is the one in the configuration, [plugins.NAME].
	Name    string
	Program Program
	// Kind is what it is wanted for. It decides what it must describe itself as.
	Kind plugins.Kind
	// Config are the values of [plugins.NAME.config]; nil is an empty table.
	Config map[string]any
	// Deadline of each call, waiting for a place and for a restart included.
	Deadline time.Duration
	// Concurrency is how many calls it gets at a time.
	Concurrency int
	// RunDir holds the folders of the processes; it must exist, and its path be short. Only the host's own user should
	// be able to write there; that of the plug-in must be able to pass through.
	RunDir string
	// SpoolDir holds files while they are handed over; it should not be in memory. Empty: in RunDir.
	SpoolDir string
	// HostVersion is what plug-ins are told.
	HostVersion string

	Clock   clock.Clock
	Log     *slog.Logger
	Metrics *metrics.Metrics
}

// Defaults of a plug-in's section.
const (
	DefaultDeadline    = time.Minute
	DefaultConcurrency = 16
)

// folderPrefix begins the names of the folders of processes; the number of the host's process follows.
const folderPrefix = "plugin-"

// sweep removes what the processes of a host left that was killed.
func (o Options) sweep() error {
	folders := []string{o.RunDir}
	if o.SpoolDir != "" {
		folders = append(folders, o.SpoolDir)
	}
	for _, folder := range folders {
		entries, err := os.ReadDir(folder)
		if err != nil {
			return err
		}
		for _, entry := range entries {
			if !orphaned(entry.Name()) {
				continue
			}
			// What another user has closed to us is no reason not to start.
			if err := os.RemoveAll(filepath.Join(folder, entry.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
				o.Log.Warn("files of a plug-in that ended cannot be removed; remove them", slog.String("plugin", o.Name), slog.Any("error", err))
			}
		}
	}
	return nil
}

// orphaned says whether a folder is one of a host that has ended.
func orphaned(name string) bool {
	rest, ok := strings.CutPrefix(name, folderPrefix)
	number, _, dashed := strings.Cut(rest, "-")
	pid, err := strconv.Atoi(number)
	return ok && dashed && err == nil && pid > 0 && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
}
