package host

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/ceralacca/ceralacca/plugins"
)

// Misfit is one thing that a plug-in's schema does not allow in its configuration. Path leads to it: names of tables and
// keys, and numbers of list elements; empty for the whole.
type Misfit struct {
	Path []string
	What string // the end of a sentence that begins with the path
}

const schemaName = "plugin:schema"

// errForeign keeps a schema from reading files or the network.
var errForeign = errors.New("a schema must be whole in itself")

type noLoader struct{}

// Load implements jsonschema.URLLoader.
func (noLoader) Load(string) (any, error) { return nil, errForeign }

func compile(schema json.RawMessage) (*jsonschema.Schema, error) {
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		return nil, err
	}
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(noLoader{})
	if err := compiler.AddResource(schemaName, document); err != nil {
		return nil, err
	}
	return compiler.Compile(schemaName)
}

func checkSchema(schema json.RawMessage) error {
	if len(schema) == 0 {
		return errors.New("there is none")
	}
	_, err := compile(schema)
	return err
}

// CheckConfig validates the values of [plugins.NAME.config], as TOML gives them, against the schema of a description that
// fits, and returns all that is wrong.
func CheckConfig(d plugins.Description, values map[string]any) []Misfit {
	schema, err := compile(d.Schema)
	if err != nil {
		return []Misfit{{What: fmt.Sprintf("has a schema that is wrong: %v", err)}}
	}
	document, err := plain(values)
	if err != nil {
		return []Misfit{{What: err.Error()}}
	}
	wrong := schema.Validate(document)
	fault, ok := errors.AsType[*jsonschema.ValidationError](wrong)
	if !ok {
		return nil
	}
	var misfits []Misfit
	gather(fault, &misfits)
	return misfits
}

// gather takes the leaves, which say what is wrong where.
func gather(e *jsonschema.ValidationError, to *[]Misfit) {
	for _, cause := range e.Causes {
		gather(cause, to)
	}
	if len(e.Causes) > 0 {
		return
	}
	printer := message.NewPrinter(language.English)
	if extra, ok := e.ErrorKind.(*kind.AdditionalProperties); ok {
		for _, name := range extra.Properties {
			*to = append(*to, Misfit{Path: append(e.InstanceLocation[:len(e.InstanceLocation):len(e.InstanceLocation)], name),
				What: "is not a key of this plug-in"})
		}
		return
	}
	*to = append(*to, Misfit{Path: e.InstanceLocation, What: "does not fit: " + e.ErrorKind.LocalizedString(printer)})
}

// plain turns what TOML gives into what JSON has.
func plain(v map[string]any) (any, error) {
	text, err := configJSON(v)
	if err != nil {
		return nil, err
	}
	return jsonschema.UnmarshalJSON(bytes.NewReader(text))
}

// configJSON is the configuration as the plug-in gets it.
func configJSON(values map[string]any) ([]byte, error) {
	if values == nil {
		return []byte("{}"), nil
	}
	if err := finite(values); err != nil {
		return nil, err
	}
	return json.Marshal(values)
}

// finite refuses the numbers that JSON does not have.
func finite(v any) error {
	switch v := v.(type) {
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return errors.New("has a number that is not finite")
		}
	case time.Duration:
		return errors.New("has a duration; write it as a text")
	case []any:
		for _, item := range v {
			if err := finite(item); err != nil {
				return err
			}
		}
	case map[string]any:
		for _, item := range v {
			if err := finite(item); err != nil {
				return err
			}
		}
	}
	return nil
}

// String is path and fault in one sentence.
func (m Misfit) String() string {
	if len(m.Path) == 0 {
		return "the configuration " + m.What
	}
	return strings.Join(m.Path, ".") + " " + m.What
}
