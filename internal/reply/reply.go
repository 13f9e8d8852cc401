package reply

import (
	"errors"
	"fmt"

	"github.com/ceralacca/ceralacca/pec"
)

// Door is where an answer is given. A kind that makes no sense at a door is answered there as temporary.
type Door int

// The doors.
const (
	DoorMilter Door = iota // a milter's answer, in the SMTP session of a client
	DoorLMTP               // the agent's answer to our own Postfix
)

// Reply is an answer of SMTP or LMTP: a code, an enhanced code (RFC 3463) and a fixed text of one line in ASCII.
type Reply struct {
	Code     int
	Enhanced [3]int
	Text     string
}

// String is the reply as it stands on the wire, without its line end.
func (r Reply) String() string {
	return fmt.Sprintf("%d %s %s", r.Code, r.EnhancedText(), r.Text)
}

// EnhancedText is the enhanced code with its dots.
func (r Reply) EnhancedText() string {
	return fmt.Sprintf("%d.%d.%d", r.Enhanced[0], r.Enhanced[1], r.Enhanced[2])
}

// Temporary says whether the peer may try again.
func (r Reply) Temporary() bool { return r.Code/100 == 4 }

// For is the reply to err at a door. What is not known to be permanent is temporary, nil included: a stray permanent
// answer would become a certified non-delivery.
func For(err error, door Door) Reply {
	return OfKind(Kind(err), door)
}

// Kind is what err is to a peer: the kind of the outermost [pec.Error] in its chain. Where several errors are joined,
// they must agree, or it is temporary.
func Kind(err error) pec.ErrorKind {
	switch e := err.(type) { //nolint:errorlint // this walks the chain
	case nil:
		return pec.ErrorTemporary
	case *pec.Error:
		return e.Kind
	case interface{ Unwrap() []error }:
		return common(e.Unwrap())
	default:
		return Kind(errors.Unwrap(err))
	}
}

func common(all []error) pec.ErrorKind {
	if len(all) == 0 {
		return pec.ErrorTemporary
	}
	kind := Kind(all[0])
	for _, err := range all[1:] {
		if Kind(err) != kind {
			return pec.ErrorTemporary
		}
	}
	return kind
}

// OfKind is the reply to an error of this kind at a door.
func OfKind(kind pec.ErrorKind, door Door) Reply {
	r, known := permanent(kind)
	if !known || door == DoorLMTP && r.smtpOnly {
		return Reply{451, [3]int{4, 3, 0}, "Temporary trouble, try again later"}
	}
	return r.Reply
}

// entry is a line of the table. Postfix never has reason to be told over LMTP what is for the SMTP session only: there
// it can only be a fault of ours.
type entry struct {
	Reply
	smtpOnly bool
}

// permanent is the table; what is not in it is temporary. The one 4xx in it asks for another transaction.
func permanent(kind pec.ErrorKind) (e entry, known bool) {
	const session, anywhere = true, false
	switch kind {
	case pec.ErrorFormal:
		return entry{Reply{554, [3]int{5, 6, 0}, "Malformed message"}, session}, true
	case pec.ErrorUnauthenticated: // [C023]
		return entry{Reply{530, [3]int{5, 7, 0}, "Authentication required"}, session}, true
	case pec.ErrorSender:
		return entry{Reply{553, [3]int{5, 7, 1}, "Sender address not allowed for this login"}, session}, true
	case pec.ErrorPath:
		return entry{Reply{501, [3]int{5, 1, 3}, "Address not in the form local@domain"}, session}, true
	case pec.ErrorForbidden:
		return entry{Reply{550, [3]int{5, 7, 1}, "Not allowed to write to this address"}, anywhere}, true
	case pec.ErrorTooLarge:
		return entry{Reply{552, [3]int{5, 3, 4}, "Message too large"}, session}, true
	case pec.ErrorUncertified:
		return entry{Reply{550, [3]int{5, 7, 1}, "Only certified mail is accepted here"}, anywhere}, true
	case pec.ErrorMixed:
		return entry{Reply{452, [3]int{4, 5, 3}, "Send to this recipient in a transaction of its own"}, session}, true
	case pec.ErrorUnknownMailbox:
		return entry{Reply{550, [3]int{5, 1, 1}, "Unknown mailbox"}, anywhere}, true
	case pec.ErrorMailboxFull:
		return entry{Reply{552, [3]int{5, 2, 2}, "Mailbox full"}, anywhere}, true
	case pec.ErrorMailboxDisabled:
		return entry{Reply{550, [3]int{5, 2, 1}, "Mailbox disabled"}, anywhere}, true
	case pec.ErrorUntrusted:
		return entry{Reply{550, [3]int{5, 7, 1}, "Not from the certified mail service"}, anywhere}, true
	case pec.ErrorInfected: // [C123]
		return entry{Reply{550, [3]int{5, 7, 1}, "A virus was found in the message"}, session}, true
	default:
		return entry{}, false
	}
}
