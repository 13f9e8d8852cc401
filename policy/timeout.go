package policy

import "time"

// When the sender of a message is told that nothing is known of a recipient, counted from the dispatch.
const (
	// FirstNotice is for who was neither taken charge of nor delivered to. [C088]
	FirstNotice = 12 * time.Hour
	// LastNotice is for who was not delivered to. It lies between 22 and 24 hours: late enough that the coded non-delivery
	// of an agent like ours, which gives up after 22 hours, when Postfix (maximal_backoff_time, 4000 s) presents the message
	// again, precedes it; early enough that a sender's mailbox that cannot be had can be tried again for a while. [C089]
	LastNotice = 23*time.Hour + 15*time.Minute
	// LastLimit is when it must have gone out. [C089]
	LastLimit = 24 * time.Hour
)

// Known is what is known of a certified recipient.
type Known struct {
	Taken bool // its provider took charge of the message
	Final bool // it was delivered, or will not be: there is a certificate of the one or the other
}

// NoticeDue decides whether the first time notice, or the last one, is due of a recipient when its time has come, by the
// three cases of RFC 6109 3.1.6. [C088] [C089] [C090] [C091] [C092] [C100]
func NoticeDue(last bool, k Known) bool {
	if last {
		return !k.Final
	}
	return !k.Final && !k.Taken
}
