package app

import (
	"context"
	"log/slog"
	"path/filepath"
	"slices"

	"github.com/ceralacca/ceralacca/internal/config"
	"github.com/ceralacca/ceralacca/internal/directory"
)

// OtherDomains are the domains of the other providers, as the directory of this host has them: the configured file, or the last
// version that the agent kept of one behind a URL. Nobody is asked. None are known where neither can be read.
func OtherDomains(ctx context.Context, c *config.Config, d Deps) []string {
	here := *c
	if here.Directory.File == "" {
		kept, _ := filepath.Glob(filepath.Join(c.Agent.State, "directory", "*.p7m")) // the pattern is ours
		if len(kept) == 0 {
			return nil
		}
		here.Directory.File, here.Directory.URL = slices.Max(kept), "" // their names begin with their instant
	}
	d.Log = slog.New(slog.DiscardHandler)
	loaded, err := directory.Load(ctx, directoryOptions(&here, "", d))
	if err != nil {
		return nil // said by CheckContents
	}
	var domains []string
	for _, r := range loaded.Current().Providers() {
		for _, domain := range r.Domains {
			if !slices.Contains(c.Provider.Domains, domain) {
				domains = append(domains, domain)
			}
		}
	}
	return domains
}
