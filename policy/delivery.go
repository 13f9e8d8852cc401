package policy

import (
	"slices"
	"strings"

	"github.com/ceralacca/ceralacca/pec"
)

// Attempt is how an attempt to deliver ended: the reply of Dovecot, or the status in a delivery status notification.
// Code is the three-digit reply, 0 when unknown; Enhanced is "5.1.1", "" when unknown; Text is for the log.
type Attempt struct {
	Code     int
	Enhanced string
	Text     string
}

// Failure is a failed delivery in the words of the certification data. [C181] [C252]
type Failure struct {
	Error  pec.ErrorCode
	Detail string // of errore-esteso: "code - provider - cause"
	Short  string // the cause alone, for the readable text
}

// Permanent tells whether an attempt failed for good. What is unknown is temporary.
func Permanent(a Attempt) bool {
	return a.Code >= 500 && a.Code < 600 || a.Code == 0 && strings.HasPrefix(a.Enhanced, "5.")
}

// NonDelivery names the failure after a permanent reply; provider is the name of who issues the notice. [C181] [C252]
func NonDelivery(provider string, a Attempt) Failure {
	code, cause, kind := causeOf(a.Enhanced)
	return failure(provider, code, cause, kind)
}

// Expired names the failure of a recipient that nothing could be delivered to in the time allowed.
func Expired(provider string) Failure {
	return failure(provider, "5.4.7", pec.CauseExpired, pec.ErrorOther)
}

func failure(provider, code string, cause pec.Cause, kind pec.ErrorCode) Failure {
	text := cause.Italian()
	return Failure{Error: kind, Short: text, Detail: code + " - " + provider + " - " + text}
}

// causeOf maps an enhanced status code (RFC 3463) to the standard codes of the rules. A status of class 4 in a final
// report is Postfix's way of saying that the time is over.
func causeOf(enhanced string) (code string, cause pec.Cause, kind pec.ErrorCode) {
	class, rest, _ := strings.Cut(enhanced, ".")
	if class == "4" {
		return "5.4.7", pec.CauseExpired, pec.ErrorOther
	}
	switch rest {
	case "1.1", "1.0", "1.3", "1.6", "1.10":
		return "5.1.1", pec.CauseAddress, pec.ErrorRecipient
	case "1.2", "4.4":
		return "5.1.2", pec.CauseDomain, pec.ErrorDomain
	case "2.1":
		return "5.2.1", pec.CauseDisabled, pec.ErrorOther
	case "2.2":
		return "5.2.2", pec.CauseFull, pec.ErrorOther
	case "2.3", "3.4":
		return "5.2.3", pec.CauseTooLarge, pec.ErrorOther
	case "4.7":
		return "5.4.7", pec.CauseExpired, pec.ErrorOther
	}
	if class != "5" || rest == "" {
		enhanced = "5.0.0"
	}
	return enhanced, pec.CauseRefused, pec.ErrorOther
}

// ReceiptFor decides the delivery receipt of one recipient: the kind to state, and whether the original is attached.
// The envelope's header says the kind, its certification data break the tie; the header of the original says who is
// primary, because no signature covers the outer one. [C164] [C166] [C168] [C169] [C178]
func ReceiptFor(c *pec.CertData, envelope, original pec.Header, recipient pec.Address) (pec.ReceiptKind, bool) {
	kind := receiptKind(envelope.Get(pec.FieldReceiptKind), receiptKind(string(c.Receipt), pec.ReceiptComplete))
	switch {
	case kind == pec.ReceiptConcise:
		return pec.ReceiptConcise, false
	case copied(original, recipient):
		return pec.ReceiptComplete, false
	}
	// A brief receipt is answered complete: more than was asked for, never less. See docs/divergences.md.
	return pec.ReceiptComplete, true
}

// copied tells whether recipient is in Cc and surely not in To: whoever is ambiguous counts as primary. [C013] [C169]
func copied(original pec.Header, recipient pec.Address) bool {
	to, err := pec.ParseAddressList(original.Get("To"))
	if err != nil || names(to, recipient) {
		return false
	}
	cc, err := pec.ParseAddressList(original.Get("Cc"))
	return err == nil && names(cc, recipient)
}

func names(list []pec.Address, a pec.Address) bool {
	return slices.ContainsFunc(list, func(b pec.Address) bool { return b.Fold() == a.Fold() })
}
