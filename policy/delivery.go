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

// Permanent tells whether an attempt failed for good. What is unknown, or contradicts itself, is temporary.
func Permanent(a Attempt) bool {
	if a.Code == 0 {
		return strings.HasPrefix(a.Enhanced, "5.")
	}
	return a.Code >= 500 && a.Code < 600 && (a.Enhanced == "" || strings.HasPrefix(a.Enhanced, "5."))
}

// ReceiptFor decides the delivery receipt of one recipient: the kind to state, and whether the original is attached.
// The envelope's header says the kind, its certification data break the tie; the header of the original says who is
// primary, because no signature covers the outer one. Of the brief kind, what is attached is what package brief makes of
// the original; a copy recipient's has the kind that was asked for, and no original. [C164] [C166] [C168] [C169] [C170]
// [C178]
func ReceiptFor(c *pec.CertData, envelope, original pec.Header, recipient pec.Address) (pec.ReceiptKind, bool) {
	kind := receiptKind(envelope.Get(pec.FieldReceiptKind), receiptKind(string(c.Receipt), pec.ReceiptComplete))
	if kind == pec.ReceiptConcise {
		return kind, false
	}
	return kind, !copied(original, recipient)
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
