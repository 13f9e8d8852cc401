package config

import (
	"fmt"
	"strings"
)

// Reference is docs/config.md: every section and key.
func Reference() string {
	var b strings.Builder
	b.WriteString("# Configuration\n\n" +
		"<!-- Generated from internal/config: go test ./internal/config -update. -->\n\n" +
		"One TOML file for all commands, " + DefaultPath + " unless `--config` says otherwise. It is strict: an\n" +
		"unknown key, a wrong type, a relative path or a missing section is an error. `ceralacca check-config FILE`\n" +
		"prints a line for each fault, `FILE:LINE:COL: what; write …`, and also looks at the files that the\n" +
		"configuration names. Paths are absolute. Keys and passwords are never in this file but in files of their own:\n" +
		"regular, owned by root or the user of the daemon, closed to group and others.\n\n" +
		"SIGHUP makes a daemon read all of it again, with the files it names; a fault leaves the old configuration in use.\n" +
		"What a daemon opens at its start changes at the next start only: the sockets, `queue_directory`, `state`, `metrics`\n" +
		"and the key of `[hmac]`. A reload that finds another value there says so in the log and keeps the old one.\n\n" +
		"[deploy/ceralacca.toml](../deploy/ceralacca.toml) is a file to start from.\n")
	for _, s := range append(sections(&Config{}), section{name: pluginsSection + ".NAME", doc: pluginReference, keys: pluginKeys(&Plugin{})},
		section{name: environmentsSection + ".NAME", doc: environmentReference, keys: environmentKeys(&Environment{})}) {
		fmt.Fprintf(&b, "\n## [%s]\n\n%s\n\n| key | value | default | meaning |\n|---|---|---|---|\n", s.name, s.doc)
		for _, k := range s.keys {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", k.name, k.value.kind, k.defaultText(), k.doc)
		}
	}
	return b.String()
}

func (k key) defaultText() string {
	switch {
	case k.preset != "":
		return "`" + k.preset + "`"
	case k.optional:
		return "none"
	default:
		return "must be written"
	}
}

// Sample is deploy/ceralacca.toml: a configuration without faults, whose values are to be replaced. What may be left
// out is a comment.
func Sample() string {
	var b strings.Builder
	b.WriteString("# Configuration of ceralacca; docs/config.md explains every key.\n" +
		"# After a change: ceralacca check-config FILE\n")
	for _, s := range sections(&Config{}) {
		if s.name == publishSection { // its header alone would be wrong
			sampleNamed(&b, s.doc, s.name, s.keys)
			continue
		}
		fmt.Fprintf(&b, "\n%s[%s]\n", wrapped(s.doc), s.name)
		for _, k := range s.keys {
			b.WriteString(wrapped(k.doc))
			if k.optional && !k.sampled {
				b.WriteString("#")
			}
			b.WriteString(k.example() + "\n")
		}
	}
	sampleNamed(&b, pluginReference, pluginsSection+".clamav", pluginKeys(&Plugin{}))
	sampleNamed(&b, environmentReference, environmentsSection+".uffici", environmentKeys(&Environment{}))
	return b.String()
}

// sampleNamed is all comment: what there is of it is not known here.
func sampleNamed(b *strings.Builder, doc, section string, keys []key) {
	fmt.Fprintf(b, "\n%s#[%s]\n", wrapped(doc), section)
	for _, k := range keys {
		b.WriteString(wrapped(k.doc) + "#" + k.example() + "\n")
	}
}

// wrapped is text as lines of comment of at most 100 characters.
func wrapped(text string) string {
	var b strings.Builder
	line := "#"
	for _, word := range strings.Fields(text) {
		if len(line)+1+len(word) > 100 {
			b.WriteString(line + "\n")
			line = "#"
		}
		line += " " + word
	}
	return b.String() + line + "\n"
}
