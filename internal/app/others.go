package app

import (
	"context"
	"log/slog"
	"slices"

	"github.com/ceralacca/ceralacca/internal/config"
	"github.com/ceralacca/ceralacca/internal/directory"
)

// OtherDomains are the domains of the other providers, as the directory of this host has them: the version in use or, when the
// agent has kept none, the configured file. Nobody is asked. None are known where neither can be read.
func OtherDomains(ctx context.Context, c *config.Config, d Deps) []string {
	d.Log = slog.New(slog.DiscardHandler)
	var s *directory.Snapshot
	var err error
	if c.Directory.File != "" {
		s, err = inUseOrPublished(ctx, c, d)
	} else {
		s, err = inUse(c)
	}
	if err != nil || s == nil {
		return nil // an error is said by CheckContents
	}
	var domains []string
	for _, r := range s.Providers() {
		for _, domain := range r.Domains {
			if !slices.Contains(c.Provider.Domains, domain) {
				domains = append(domains, domain)
			}
		}
	}
	return domains
}
