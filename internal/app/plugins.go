package app

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/ceralacca/ceralacca/internal/config"
	"github.com/ceralacca/ceralacca/plugins"
	"github.com/ceralacca/ceralacca/plugins/host"
)

// PluginFaults asks each plug-in of the configuration what it is, and holds [plugins.NAME.config] against its schema. It
// starts none for good.
func PluginFaults(ctx context.Context, c *config.Config) config.Faults {
	_, faults := DescribePlugins(ctx, c)
	return faults
}

// DescribePlugins is [PluginFaults] with what the plug-ins that can be described say of themselves, by the names of their
// sections.
func DescribePlugins(ctx context.Context, c *config.Config) (map[string]plugins.Description, config.Faults) {
	described := map[string]plugins.Description{}
	var faults config.Faults
	for _, p := range c.Plugins {
		d, err := Program(p).Describe(ctx)
		if err != nil {
			faults = append(faults, pluginFault(c, p, err))
			continue
		}
		described[p.Name] = d
		for _, m := range host.CheckConfig(d, p.Values) {
			faults = append(faults, c.PluginFault(p.Name, append([]string{}, m.Path...), "plugins."+p.Name+".config: "+m.String(),
				"what ceralacca plugin describe "+p.Path+" says"))
		}
	}
	if len(faults) == 0 {
		faults = append(antivirusFaults(c, described), keyFaults(c, described)...)
	}
	return described, faults
}

// keyFaults: what signs must be there to sign.
func keyFaults(c *config.Config, described map[string]plugins.Description) config.Faults {
	if kind := described[c.Key.Plugin].Kind; c.Key.Plugin != "" && kind != plugins.KindKey {
		return config.Faults{c.Fault("key", "plugin", "key.plugin: plugins."+c.Key.Plugin+" is of the kind "+string(kind),
			"the name of a plug-in of the kind key")}
	}
	return nil
}

// antivirusFaults: whether there is an antivirus is said twice, so that none is lost by leaving something out. [C232]
func antivirusFaults(c *config.Config, described map[string]plugins.Description) config.Faults {
	var found []string
	for _, p := range c.Plugins {
		if described[p.Name].Kind == plugins.KindAntivirus {
			found = append(found, p.Name)
		}
	}
	none := c.Antivirus.Mode == config.AntivirusNone
	switch {
	case none && len(found) > 0:
		return config.Faults{c.Fault("antivirus", "mode", `antivirus.mode is "none", and plugins.`+found[0]+" is an antivirus",
			`mode = "plugins", or no [plugins.`+found[0]+"]")}
	case !none && len(found) == 0:
		return config.Faults{c.Fault("antivirus", "mode", `antivirus.mode is "plugins", and no plug-in is an antivirus`,
			"[plugins.NAME] for one")}
	}
	return nil
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

// Program is the executable of a plug-in as the configuration wants it run.
func Program(p config.Plugin) host.Program {
	return host.Program{Path: p.Path, SHA256: p.SHA256, Isolation: host.Isolation{User: p.User, Network: p.Network}}
}

// pluginFault says what keeps a plug-in from being used, at the key that must change.
func pluginFault(c *config.Config, p config.Plugin, err error) config.Fault {
	name := "plugins." + p.Name + ": "
	what := name + strings.TrimPrefix(oneLine(err), name) // a supervisor says the name itself
	sum, changed := errors.AsType[*host.ChecksumError](err)
	switch {
	case changed:
		return c.PluginKeyFault(p.Name, "sha256", what, fmt.Sprintf("sha256 = %q if you trust this file, or the path of the one that you trust", sum.Got))
	case errors.Is(err, host.ErrFile):
		return c.PluginKeyFault(p.Name, "path", what, "the path of an executable that nobody but root, or the user of the daemon, can change")
	case errors.Is(err, host.ErrIsolation):
		return c.PluginKeyFault(p.Name, "user", what, `user = "ceralacca-plugin" or another that this host has, and network = true only if it must`)
	case errors.Is(err, host.ErrConfiguration):
		return c.PluginKeyFault(p.Name, "config", what, "below [plugins."+p.Name+".config] what the plug-in takes")
	default:
		return c.PluginKeyFault(p.Name, "path", what, "the path of a plug-in that passes ceralacca plugin check")
	}
}

// version is that of this program, which plug-ins are told.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return ""
}
