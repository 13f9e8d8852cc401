package host

import "github.com/ceralacca/ceralacca/plugins"

// Consequence is what a missing answer does to mail.
type Consequence string

// The consequences.
const (
	TryLater    Consequence = "451 and an alarm"                            // the message is refused for now
	StaysQueued Consequence = "the event stays queued, an alarm by its age" // mail is not delayed
	NoStart     Consequence = "the daemon does not start"
)

// Consequences are those of one kind: of a plug-in that does not fit or is missing when the daemon starts, and later of
// one that is absent, slow, wrong, or dies in the middle of a call.
type Consequences struct {
	AtStart, Absent, Slow, Wrong, Dies Consequence
}

// Table says what happens when a plug-in of each kind does not answer. In no case is a missing answer a good one.
func Table() map[plugins.Kind]Consequences {
	return map[plugins.Kind]Consequences{
		plugins.KindAntivirus:    {NoStart, TryLater, TryLater, TryLater, TryLater},
		plugins.KindKey:          {NoStart, TryLater, TryLater, TryLater, TryLater},
		plugins.KindConservation: {NoStart, StaysQueued, StaysQueued, StaysQueued, StaysQueued},
		plugins.KindNotification: {NoStart, StaysQueued, StaysQueued, StaysQueued, StaysQueued},
	}
}
