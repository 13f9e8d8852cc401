package directory

import (
	"context"
	"encoding/hex"
	"time"
)

// Outcome is what became of a look at the source, for who asked for it.
type Outcome struct {
	SHA256   string    `json:"sha256"` // of what is in use
	Accepted time.Time `json:"accepted"`
	Checked  time.Time `json:"checked"` // when the source was last found good
	Updated  bool      `json:"updated"` // another one is in use than before
	Changes  []Change  `json:"changes,omitempty"`
	Counts   Counts    `json:"counts"`
	Problems []string  `json:"problems,omitempty"`
	Error    string    `json:"error,omitempty"` // why nothing new was taken
	Waiting  *Held     `json:"waiting,omitempty"`
}

// Held is a version that waits for a person.
type Held struct {
	SHA256  string    `json:"sha256"`
	Since   time.Time `json:"since"`
	Reasons []string  `json:"reasons"`
	Loss    Loss      `json:"loss"`
	Changes []Change  `json:"changes"`
}

// Update fetches now, takes what waits when accept is its SHA-256, and says what came of it.
func (l *Loader) Update(ctx context.Context, accept string) Outcome {
	before := l.Current()
	var err error
	if accept == "" {
		err = l.Refresh(ctx)
	} else {
		err = l.Accept(ctx, accept)
	}
	current, state := l.Current(), l.State()
	o := Outcome{SHA256: hex.EncodeToString(state.Digest[:]), Accepted: state.Accepted, Checked: state.Checked,
		Updated: current != before, Counts: current.Counts(), Problems: current.Problems()}
	if o.Updated {
		o.Changes = current.Diff(before)
	}
	if err != nil {
		o.Error = err.Error()
	}
	if w := state.Waiting; w != nil {
		o.Waiting = &Held{SHA256: hex.EncodeToString(w.Digest[:]), Since: w.Since, Reasons: w.Reasons, Loss: w.Loss,
			Changes: w.snapshot.Diff(current)}
	}
	return o
}
