package pec

import "fmt"

// ErrorKind says what an error means to the peer; internal/reply maps it to a reply. The numbers are frozen: they are
// written to logs and rows. The zero value is ErrorTemporary, because a stray permanent answer becomes a certified
// non-delivery.
type ErrorKind int

// The kinds of error. A kind is added at the end and never renumbered.
const (
	ErrorTemporary       ErrorKind = 0  // trouble of ours or unknown: try later
	ErrorFormal          ErrorKind = 1  // the message is malformed
	ErrorUnauthenticated ErrorKind = 2  // no login
	ErrorSender          ErrorKind = 3  // the envelope sender is empty, foreign, or not the login's
	ErrorPath            ErrorKind = 4  // a path is not in the plain form local@domain
	ErrorForbidden       ErrorKind = 5  // a recipient that nobody may write to from outside
	ErrorTooLarge        ErrorKind = 6  // over the hard size
	ErrorUncertified     ErrorKind = 7  // ordinary mail, where the configuration refuses it
	ErrorMixed           ErrorKind = 8  // a recipient of another class than the first: on its own, later
	ErrorUnknownMailbox  ErrorKind = 9  // no such mailbox
	ErrorMailboxFull     ErrorKind = 10 // over quota
	ErrorMailboxDisabled ErrorKind = 11 // the mailbox exists and takes nothing
	ErrorUntrusted       ErrorKind = 12 // no genuine transaction header, or a bounce that is none of ours
	ErrorBusy            ErrorKind = 13 // somebody else holds the work: try later
	ErrorNotFound        ErrorKind = 14 // what was asked for does not exist
	ErrorInfected        ErrorKind = 15 // a virus was found in it
)

// String is a short English name, for logs.
func (k ErrorKind) String() string {
	names := [...]string{"temporary", "formal", "unauthenticated", "sender", "path", "forbidden", "too large",
		"uncertified", "mixed", "unknown mailbox", "mailbox full", "mailbox disabled", "untrusted", "busy", "not found", "infected"}
	if k < 0 || int(k) >= len(names) {
		return fmt.Sprintf("kind %d", int(k))
	}
	return names[k]
}

// Error is an error that somebody else must act upon. ID and Err may be zero.
type Error struct {
	Op   string     // what was being done, as in "lda: deliver"
	ID   Identifier // the message it is about
	Kind ErrorKind
	Err  error // the cause
}

// Error implements error. It is for logs, never for a peer.
func (e *Error) Error() string {
	text := e.Op
	if e.ID != "" {
		text += " (" + string(e.ID) + ")"
	}
	if e.Kind != ErrorTemporary {
		text += ": " + e.Kind.String()
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }
