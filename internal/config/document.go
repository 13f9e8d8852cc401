package config

import (
	"errors"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// document is a TOML file as values and where each stands.
type document struct {
	file   string
	values map[string]any
	at     map[string]position // of "section" and "section.key"
}

type position struct{ line, column int }

// read takes a file apart. The fault is of TOML, not of the configuration; only the first is known.
func read(file string, data []byte) (document, *Fault) {
	d := document{file: file, values: map[string]any{}, at: map[string]position{}}
	if err := toml.Unmarshal(data, &d.values); err != nil {
		f := d.syntaxFault(err)
		return d, &f
	}
	d.locate(data)
	return d, nil
}

func (d *document) syntaxFault(err error) Fault {
	f := Fault{File: d.file, Line: 1, Column: 1, What: strings.TrimPrefix(err.Error(), "toml: "), Write: "TOML 1.0"}
	if wrong, ok := errors.AsType[*toml.DecodeError](err); ok {
		f.Line, f.Column = wrong.Position()
	}
	return f
}

// locate notes where sections and keys stand, in a document that is known to be good.
func (d *document) locate(data []byte) {
	var parser unstable.Parser
	parser.Reset(data)
	var table []string
	for parser.NextExpression() {
		node := parser.Expression()
		switch node.Kind {
		case unstable.Table, unstable.ArrayTable:
			table = d.note(&parser, nil, node.Key())
		case unstable.KeyValue:
			d.locateValue(&parser, d.note(&parser, table, node.Key()), node.Value())
		}
	}
}

// locateValue goes into inline tables: they are sections too.
func (d *document) locateValue(parser *unstable.Parser, path []string, node *unstable.Node) {
	if node.Kind != unstable.InlineTable {
		return
	}
	pairs := node.Children()
	for pairs.Next() {
		if pair := pairs.Node(); pair.Kind == unstable.KeyValue {
			d.locateValue(parser, d.note(parser, path, pair.Key()), pair.Value())
		}
	}
}

// note remembers the first place of each part of a key and returns its full path.
func (d *document) note(parser *unstable.Parser, path []string, parts unstable.Iterator) []string {
	for parts.Next() {
		part := parts.Node()
		path = append(path[:len(path):len(path)], string(part.Data))
		start := parser.Shape(part.Raw).Start
		if name := strings.Join(path, "."); d.at[name] == (position{}) {
			d.at[name] = position{start.Line, start.Column}
		}
	}
	return path
}

// fault is about a key, which stands in the file or whose section does.
func (d *document) fault(section, key, what, write string) Fault {
	at, ok := d.at[section+"."+key]
	if !ok || key == "" {
		at, ok = d.at[section]
	}
	if !ok {
		at = position{1, 1}
	}
	return Fault{File: d.file, Line: at.line, Column: at.column, What: what, Write: write}
}
