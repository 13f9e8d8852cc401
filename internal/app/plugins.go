package app

import (
	"context"
	"errors"

	"github.com/ceralacca/ceralacca/internal/config"
	"github.com/ceralacca/ceralacca/plugins/host"
)

// PluginFaults asks each plug-in of the configuration what it is, and holds [plugins.NAME.config] against its schema. It
// starts none for good.
func PluginFaults(ctx context.Context, c *config.Config) config.Faults {
	var faults config.Faults
	for _, p := range c.Plugins {
		d, err := Program(p).Describe(ctx)
		if err != nil {
			faults = append(faults, c.PluginFault(p.Name, nil, "plugins."+p.Name+": "+err.Error(), writeFor(err)))
			continue
		}
		for _, m := range host.CheckConfig(d, p.Values) {
			faults = append(faults, c.PluginFault(p.Name, append([]string{}, m.Path...), "plugins."+p.Name+".config: "+m.String(),
				"what ceralacca plugin describe "+p.Path+" says"))
		}
	}
	return faults
}

// Program is the executable of a plug-in as the configuration wants it run.
func Program(p config.Plugin) host.Program {
	return host.Program{Path: p.Path, SHA256: p.SHA256, Isolation: host.Isolation{User: p.User, Network: p.Network}}
}

func writeFor(err error) string {
	switch {
	case errors.Is(err, host.ErrFile):
		return "the path and the sha256 of the file that you trust; ceralacca plugin check PATH prints it"
	case errors.Is(err, host.ErrIsolation):
		return "a user that this host has, and network = true only if it must"
	default:
		return "the path of a plug-in that passes ceralacca plugin check"
	}
}
