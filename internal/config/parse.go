package config

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// maxFile is far beyond any configuration, and keeps a wrong path from filling the memory.
const maxFile = 1 << 20

// Load reads the file at path. The error is of type [Faults] when the file is wrong, and names all that is; otherwise
// it is that of reading. The files that the configuration names are not looked at: see [Config.CheckFiles].
func Load(path string) (*Config, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	return Parse(path, data)
}

func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close() // it was only read
	data, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s: more than %d bytes", path, maxFile)
	}
	return data, nil
}

// Parse is [Load] of data that were read from the named file. The error is of type [Faults].
func Parse(name string, data []byte) (*Config, error) {
	doc, syntax := read(name, data)
	if syntax != nil {
		return nil, Faults{*syntax}
	}
	c := &Config{doc: doc}
	r := reader{doc: &c.doc, good: map[string]bool{}}
	r.readSections(sections(c))
	r.readPlugins(c)
	r.readEnvironments(c)
	r.checkTogether(c)
	if len(r.faults) > 0 {
		r.faults.Sort()
		return nil, r.faults
	}
	return c, nil
}

// reader fills a Config and gathers what is wrong.
type reader struct {
	doc    *document
	good   map[string]bool // "section.key" that were written and are right, or have their default
	faults Faults
}

func (r *reader) add(section, key, what, write string) {
	r.faults = append(r.faults, r.doc.fault(section, key, what, write))
}

func (r *reader) readSections(all []section) {
	names := make([]string, 0, len(all))
	for _, s := range all {
		names = append(names, "["+s.name+"]")
		r.readSection(s)
	}
	for name := range r.doc.values {
		if !hasSection(all, name) && name != pluginsSection && name != environmentsSection {
			r.add(name, "", fmt.Sprintf("%q is not a section", name), strings.Join(names, ", "))
		}
	}
}

func (r *reader) readSection(s section) {
	written, ok := r.doc.values[s.name]
	if !ok && len(s.mandatory()) > 0 {
		r.add(s.name, "", fmt.Sprintf("section [%s] is missing", s.name),
			fmt.Sprintf("[%s] with %s", s.name, strings.Join(s.mandatory(), ", ")))
		return
	}
	values, isTable := written.(map[string]any)
	if ok && !isTable {
		r.add(s.name, "", fmt.Sprintf("%s is %s, not a section", s.name, typeName(written)), "["+s.name+"]")
		return
	}
	for _, k := range s.keys {
		r.readKey(s.name, k, values)
	}
	for name := range values {
		if !s.has(name) {
			r.add(s.name, name, fmt.Sprintf("%s.%s is not a key", s.name, name), strings.Join(s.keyNames(), ", "))
		}
	}
}

func (r *reader) readKey(section string, k key, values map[string]any) {
	full := section + "." + k.name
	v, written := values[k.name]
	switch {
	case written:
		if wrong := k.value.set(v); wrong != "" {
			r.add(section, k.name, full+" "+wrong, k.example())
			return
		}
	case k.preset != "":
		k.setPreset()
	case k.optional:
		return
	default:
		r.add(section, k.name, full+" is missing", k.example())
		return
	}
	r.good[full] = true
}

// setPreset gives a key its default, which the tests know to be right.
func (k key) setPreset() {
	var holder struct{ V any }
	_ = toml.Unmarshal([]byte("v = "+k.preset), &holder) // written in keys.go
	_ = k.value.set(holder.V)
}

func (k key) example() string { return k.name + " = " + k.sample }

func hasSection(all []section, name string) bool {
	for _, s := range all {
		if s.name == name {
			return true
		}
	}
	return false
}

func (s section) has(name string) bool {
	for _, k := range s.keys {
		if k.name == name {
			return true
		}
	}
	return false
}

func (s section) keyNames() []string {
	names := make([]string, len(s.keys))
	for i, k := range s.keys {
		names[i] = k.name
	}
	return names
}

// mandatory are the keys without which the section is wrong, those included that another may stand for.
func (s section) mandatory() []string {
	var names []string
	for _, k := range s.keys {
		if k.preset == "" && (!k.optional || k.sampled) {
			names = append(names, k.name)
		}
	}
	return names
}
