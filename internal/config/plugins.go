package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Plugin is a section [plugins.NAME]: an executable that is started and asked. What it is for, it says itself.
type Plugin struct {
	Name        string
	Path        string // absolute
	SHA256      string // 64 hexadecimal digits in lower case
	User        string // may be empty
	Network     bool
	Deadline    time.Duration
	Concurrency int
	// Values are those of [plugins.NAME.config] as TOML gives them; nil when it is not written.
	Values map[string]any
}

// Bounds of a plug-in's section.
const (
	minDeadline    = time.Second
	maxDeadline    = 10 * time.Minute
	maxConcurrency = 256
)

// pluginsSection is the name above the sections of plug-ins.
const pluginsSection = "plugins"

func pluginKeys(p *Plugin) []key {
	return []key{
		{name: "path", value: path(&p.Path), sample: `"/usr/lib/ceralacca/plugins/clamav"`, file: FilePublic,
			doc: "The executable. It and its folder belong to root or to the user of the daemon, and nobody else can write there."},
		{name: "sha256", value: checksum(&p.SHA256), sample: `"` + strings.Repeat("0", 64) + `"`,
			doc: "Its SHA-256, checked at every start; `ceralacca plugin check PATH` prints it."},
		{name: "user", value: text(&p.User), sample: `"ceralacca-plugin"`, optional: true,
			doc: "The user it runs as, not root. Must be written when the daemon is root; without it, the user of the daemon."},
		{name: "network", value: boolean(&p.Network), sample: "false", preset: "false",
			doc: "Whether it may use the network, that of this host included. Unix sockets need none."},
		{name: "deadline", value: duration(&p.Deadline, minDeadline, maxDeadline), sample: `"1m"`, preset: `"1m"`,
			doc: "How long a call may take, from `1s` to `10m`."},
		{name: "concurrency", value: count(&p.Concurrency, maxConcurrency), sample: "16", preset: "16",
			doc: "How many calls it gets at a time, up to 256."},
	}
}

var checksumForm = regexp.MustCompile(`^[0-9a-f]{64}$`)

func checksum(field *string) value {
	return ofString("SHA-256", func(s string) string {
		if *field = strings.ToLower(s); !checksumForm.MatchString(*field) {
			return fmt.Sprintf("is %q, not 64 hexadecimal digits", s)
		}
		return ""
	})
}

func boolean(field *bool) value {
	return value{kind: "`true` or `false`", set: func(v any) string {
		b, ok := v.(bool)
		if !ok {
			return fmt.Sprintf("is %s, not true or false", describe(v))
		}
		*field = b
		return ""
	}}
}

func count(field *int, most int64) value {
	return value{kind: "number", set: func(v any) string {
		n, ok := v.(int64)
		if !ok || n < 1 || n > most {
			return fmt.Sprintf("is %s, not a number from 1 to %d", describe(v), most)
		}
		*field = int(n)
		return ""
	}}
}

var pluginName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)

// readPlugins reads all sections of plug-ins, in the order of their names.
func (r *reader) readPlugins(c *Config) {
	r.readNamed(pluginsSection, "a plug-in", func(name string, values map[string]any) {
		c.Plugins = append(c.Plugins, r.readPlugin(name, values))
	})
}

// readNamed hands on the tables of a section whose names are the operator's, in their order: names of what.
func (r *reader) readNamed(section, what string, fn func(name string, values map[string]any)) {
	example := "[" + section + ".NAME]"
	written, ok := r.doc.values[section]
	all, isTable := written.(map[string]any)
	if ok && !isTable {
		r.add(section, "", fmt.Sprintf("%s is %s, not a section", section, typeName(written)), example)
		return
	}
	for _, name := range sortedNames(all) {
		full := section + "." + name
		values, isTable := all[name].(map[string]any)
		switch {
		case !isTable:
			r.add(section, name, fmt.Sprintf("%s is %s, not a section", full, typeName(all[name])), example)
		case !pluginName.MatchString(name):
			r.add(full, "", fmt.Sprintf("%q is no name for %s", name, what), "lower case letters, digits and hyphens, at most 32")
		default:
			fn(name, values)
		}
	}
}

func sortedNames(all map[string]any) []string {
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (r *reader) readPlugin(name string, values map[string]any) Plugin {
	p, section := Plugin{Name: name}, pluginsSection+"."+name
	keys := pluginKeys(&p)
	names := make([]string, 0, len(keys)+1)
	for _, k := range keys {
		r.readKey(section, k, values)
		names = append(names, k.name)
	}
	for written := range values {
		if written != "config" && !slices.Contains(names, written) {
			r.add(section, written, fmt.Sprintf("%s.%s is not a key", section, written),
				strings.Join(names, ", ")+", or it below ["+section+".config]")
		}
	}
	if config, ok := values["config"]; ok {
		if p.Values, ok = config.(map[string]any); !ok {
			r.add(section, "config", fmt.Sprintf("%s.config is %s, not a section", section, typeName(config)), "["+section+".config]")
		}
	}
	return p
}

// PluginKeyFault is a fault of what a key of [plugins.NAME] says; where it is not written, of the section.
func (c *Config) PluginKeyFault(name, key, what, write string) Fault {
	return c.doc.fault(pluginsSection+"."+name, key, what, write)
}

// PluginFault is a fault of [plugins.NAME.config] or, with an empty path, of the plug-in. The path names tables, keys and
// numbers of elements; where it cannot be found, the fault is at what holds it.
func (c *Config) PluginFault(name string, path []string, what, write string) Fault {
	section := pluginsSection + "." + name
	if len(path) == 0 {
		return c.doc.fault(section, "path", what, write)
	}
	for n := len(path); n >= 0; n-- {
		at := strings.Join(append([]string{section, "config"}, path[:n]...), ".")
		if _, ok := c.doc.at[at]; ok {
			return c.doc.fault(at, "", what, write)
		}
	}
	return c.doc.fault(section, "", what, write)
}

// checkPluginFiles looks at the executables, as [Config.CheckFiles] does.
func (c *Config) checkPluginFiles(look func(path string, kind FileKind) error) Faults {
	var faults Faults
	for _, p := range c.Plugins {
		if err := look(p.Path, FilePublic); err != nil {
			faults = append(faults, c.fileFault(pluginsSection+"."+p.Name, "path", p.Path, err))
		}
	}
	return faults
}

// pluginReference is the part of the reference that the list of sections does not have.
const pluginReference = "One section for each plug-in; `NAME` is yours to choose, in lower case letters, digits and hyphens. Its own " +
	"configuration stands in `[plugins.NAME.config]` and is checked against the schema that `ceralacca plugin describe PATH` prints."

// LoadValues reads a file that holds what would stand in [plugins.NAME.config]. Where its keys stand is in the faults that
// the returned function makes.
func LoadValues(name string) (values map[string]any, fault func(path []string, what, write string) Fault, err error) {
	data, err := readFile(name)
	if err != nil {
		return nil, nil, err
	}
	doc, syntax := read(name, data)
	if syntax != nil {
		return nil, nil, Faults{*syntax}
	}
	return doc.values, func(path []string, what, write string) Fault {
		for n := len(path); n > 0; n-- {
			if at := strings.Join(path[:n], "."); doc.at[at] != (position{}) {
				return doc.fault(at, "", what, write)
			}
		}
		return doc.fault("", "", what, write)
	}, nil
}
