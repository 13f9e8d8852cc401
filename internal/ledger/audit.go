package ledger

import (
	"time"

	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/pec"
)

// Finding is what an audit has to say of a message.
type Finding struct {
	// Identifier is that of the message.
	Identifier pec.Identifier `json:"identifier"`
	// Rule is the number of the rule that is broken, from 1 to 7, or 0 for what no rule forbids.
	Rule int `json:"rule"`
	// Fault says that something is wrong; otherwise it is worth knowing.
	Fault bool `json:"fault"`
	// Text is a sentence.
	Text string `json:"text"`
}

// Audit is what the rules need to know.
type Audit struct {
	// Ours says whether a folded domain is managed by this provider.
	Ours func(domain string) bool
	// Settled is the instant before which a message must have come to its end: of younger ones only what is there is
	// judged, not what is missing.
	Settled time.Time
}

// Run judges the whole log, as it stands in tx.
func (a Audit) Run(tx store.Tx) ([]Finding, error) { return nil, nil }
