package plugins

import (
	"encoding/json"
	"fmt"
	"log/slog"
)

// Kind is what a plug-in is for.
type Kind string

// The kinds.
const (
	KindAntivirus    Kind = "antivirus"    // says whether a message holds a virus
	KindConservation Kind = "conservation" // keeps messages and receipts for years
	KindNotification Kind = "notification" // tells somebody about mail by another way
	KindKey          Kind = "key"          // signs with a key that never leaves its device
)

// Need is what a plug-in must see of a message; nothing else leaves the host.
type Need string

// The needs.
const (
	NeedMetadata Need = "metadata" // envelope, identifiers
	NeedHeaders  Need = "headers"  // the header section
	NeedContent  Need = "content"  // the whole message, header section included
)

// Capability is what a plug-in can do and others of its kind need not.
type Capability string

// CapabilityFile is to take content as a file that the host hands over, rather than streamed.
const CapabilityFile Capability = "file"

// HandshakeKey and HandshakeValue are the variable of the environment by which a plug-in knows that the host has
// started it. It is no secret.
const (
	HandshakeKey   = "CERALACCA_PLUGIN"
	HandshakeValue = "a1c5d2e8-sealed-with-wax"
)

// ServiceName is what go-plugin calls the one thing that a plug-in serves.
const ServiceName = "ceralacca"

// DescribeArgument makes a plug-in print its [Description] and end.
const DescribeArgument = "describe"

// Description is the JSON object that a plug-in prints when its only argument is "describe".
type Description struct {
	// Name is what the author calls it: lower case letters, digits and hyphens.
	Name string `json:"name"`
	// Kind decides which service it serves.
	Kind Kind `json:"kind"`
	// Version is the author's.
	Version string `json:"version"`
	// Protocols are the versions of the contract it speaks.
	Protocols []int `json:"protocols"`
	// Capabilities may be empty; unknown ones are not an error.
	Capabilities []Capability `json:"capabilities"`
	// Needs may be empty. An antivirus needs the content.
	Needs []Need `json:"needs"`
	// Schema is the JSON Schema (draft 2020-12) of its configuration, an object.
	Schema json.RawMessage `json:"schema"`
}

// About is what an author says of a plug-in; the rest of its [Description] follows from what it is.
type About struct {
	Name, Version string
	// Needs beside what the kind always needs. May be empty.
	Needs []Need
	// Schema of the configuration as JSON. Empty: there is nothing to configure.
	Schema string
}

// nothing is the schema of a configuration without keys.
const nothing = `{"type":"object","additionalProperties":false}`

func (a About) describe(kind Kind, protocols []int, always ...Need) Description {
	schema := a.Schema
	if schema == "" {
		schema = nothing
	}
	return Description{Name: a.Name, Kind: kind, Version: a.Version, Protocols: protocols, Capabilities: []Capability{},
		Needs: append(always, a.Needs...), Schema: json.RawMessage(schema)}
}

// Setup is what the host gives a plug-in before the first call.
type Setup struct {
	// Dir is a folder of the plug-in's own, which is empty and goes with the process.
	Dir string
	// Log goes to the log of the host. It is safe for concurrent use.
	Log *slog.Logger
	// HostVersion is for logs; empty when the host does not say.
	HostVersion string

	config []byte
}

// Decode reads the configuration into v as [json.Unmarshal] does. It is already valid for the schema.
func (s Setup) Decode(v any) error {
	if len(s.config) == 0 {
		return nil
	}
	if err := json.Unmarshal(s.config, v); err != nil {
		return fmt.Errorf("the configuration does not fit the plug-in's own types: %w", err)
	}
	return nil
}

// Measure is a number that becomes a metric of the host. Name has its unit at its end: "signatures_age_seconds".
type Measure struct {
	Name  string
	Value float64
}

// Health is how a plug-in is. Problem is empty when calls can succeed.
type Health struct {
	Problem  string
	Measures []Measure
}

// Healther is what an implementation of any kind may also implement. Health is called every few seconds and must answer
// within two; without it the plug-in is healthy as long as it lives.
type Healther interface {
	Health() Health
}

// Outcome is what became of a call that has an effect.
type Outcome int

// The outcomes. The zero value is a call that failed and comes again.
const (
	Failed  Outcome = iota
	Done            // it has happened, now or at an earlier call with the same key, and will outlive a crash
	Refused         // it never will, whatever is tried
	Later           // not now
)

// Effect is the answer of a call that has an effect.
type Effect struct {
	Outcome Outcome
	// Reference is what the other side calls it; not empty with Done, and the same for the same key.
	Reference string
	// Reason is one sentence, with Refused and Later.
	Reason string
}

// Metadata says which message a call is about. It is all empty unless the plug-in needs it.
type Metadata struct {
	Identifier, Transaction string
	Point                   string // "access", "incoming" or "delivery"
	Sender                  string
	Recipients              []string
}
