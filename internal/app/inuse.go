package app

import (
	"context"

	"github.com/ceralacca/ceralacca/internal/config"
	"github.com/ceralacca/ceralacca/internal/directory"
)

// inUse is the version of the directory by which the daemons of a configuration judge: the last that the agent kept, whatever
// is published by now or waits for a person. Nil without an error: it kept none.
func inUse(c *config.Config) (*directory.Snapshot, error) {
	kept, err := directory.Versions(DirectoryFolder(c))
	if err != nil || len(kept) == 0 {
		return nil, err
	}
	return kept[len(kept)-1].Open()
}

// inUseOrPublished is inUse; when nothing is kept it reads or fetches what is published, by which daemons would start.
func inUseOrPublished(ctx context.Context, c *config.Config, d Deps) (*directory.Snapshot, error) {
	s, err := inUse(c)
	if s != nil || err != nil {
		return s, err
	}
	loaded, err := directory.Load(ctx, directoryOptions(c, "", d))
	if err != nil {
		return nil, err
	}
	return loaded.Current(), nil
}
