package policy

import (
	"regexp"
	"slices"
	"strings"

	"github.com/ceralacca/ceralacca/pec"
)

// CodeLine is a line of the one table from what servers say to what a certified notice says. [C200] [C252]
type CodeLine struct {
	// Statuses are enhanced status codes (RFC 3463) without their class; "7.*" is all of a subject, "*" is what no other
	// line has. None: no server says it, the notice is due to something else.
	Statuses []string
	Meaning  string // in English, for the page
	Code     string // in notices and certification data
	Cause    pec.Cause
	Error    pec.ErrorCode
}

// The codes that AgID's note 12 gives to what no server says; no status of another server may be repeated as one of them.
const (
	codeTimeout = "5.4.1" // the certification data of pec.TimeoutDetail begin with it [C253]
	codeVirus   = "5.5.1" // what real notices say of a virus, in the place of a status code
)

// Codes is the table. A status of class 4 in a final report is Postfix's way of saying that the time is over. What is not
// said precisely is not certified: it is "refused", never "no such recipient".
func Codes() []CodeLine {
	return []CodeLine{
		{[]string{"1.1", "1.3", "1.6"}, "no such mailbox, no such address, moved away", "5.1.1", pec.CauseAddress, pec.ErrorRecipient},
		{[]string{"1.2", "1.10", "4.4"}, "no such domain, no mail server for it, one that takes no mail", "5.1.2", pec.CauseDomain, pec.ErrorDomain},
		{[]string{"2.1"}, "the mailbox is disabled", "5.2.1", pec.CauseDisabled, pec.ErrorOther},
		{[]string{"2.2"}, "the mailbox is full", "5.2.2", pec.CauseFull, pec.ErrorOther},
		{[]string{"2.3", "3.4"}, "the message is too large", "5.2.3", pec.CauseTooLarge, pec.ErrorOther},
		{[]string{"4.6"}, "the way leads in a circle", "5.4.6", pec.CauseLoop, pec.ErrorOther},
		{[]string{"4.7", "4.x.x"}, "still not delivered when the time was over: 24 hours in the queue, 22 hours at the mailbox", "5.4.7", pec.CauseExpired, pec.ErrorOther},
		{[]string{"7.*"}, "policy, relaying or security of the other server", "5.7.1", pec.CauseForbidden, pec.ErrorOther},
		refused(),
		{nil, "no delivery receipt within 24 hours: a notice of the sender's own provider", codeTimeout, pec.CauseTimeout, pec.ErrorOther},
		{nil, "a virus", codeVirus, pec.CauseVirus, pec.ErrorVirus},
	}
}

func refused() CodeLine {
	return CodeLine{[]string{"*"}, "anything else, or nothing", "5.0.0", pec.CauseRefused, pec.ErrorOther}
}

// statusForm is an enhanced status code.
var statusForm = regexp.MustCompile(`^[45]\.\d{1,3}\.\d{1,3}$`)

// lineOf finds the line of a failed attempt. Without an enhanced status the reply code alone says too little.
func lineOf(enhanced string) CodeLine {
	if !statusForm.MatchString(enhanced) {
		return refused()
	}
	class, rest, _ := strings.Cut(enhanced, ".")
	if class == "4" {
		return lineFor("4.x.x")
	}
	subject, _, _ := strings.Cut(rest, ".")
	return lineFor(rest, subject+".*")
}

// lineFor is the line of the first of these that the table has.
func lineFor(statuses ...string) CodeLine {
	for _, s := range statuses {
		for _, l := range Codes() {
			if slices.Contains(l.Statuses, s) {
				return l
			}
		}
	}
	return refused()
}

// CauseOf is why an attempt failed for good.
func CauseOf(a Attempt) pec.Cause { return lineOf(a.Enhanced).Cause }

// NonDelivery names the failure after a permanent reply; provider is the name of who issues the notice. [C181] [C252]
func NonDelivery(provider string, a Attempt) Failure { return lineOf(a.Enhanced).failure(provider) }

// Expired names the failure of a recipient that nothing could be delivered to in the time allowed.
func Expired(provider string) Failure { return lineFor("4.7").failure(provider) }

func (l CodeLine) failure(provider string) Failure {
	text := l.Cause.Italian()
	return Failure{Error: l.Error, Short: text, Detail: l.Code + " - " + provider + " - " + text}
}
