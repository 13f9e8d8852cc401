package policy

import (
	"strings"

	"github.com/ceralacca/ceralacca/pec"
)

// Limits are sizes in bytes, with CRLF line ends. Zero means no limit.
type Limits struct {
	Size     int64 // of one message; beyond it a non-acceptance notice
	Product  int64 // size × recipients; beyond it a non-acceptance notice
	HardSize int64 // beyond it the SMTP session itself refuses
}

// Lengths at which Postfix, or the next host, would alter a message that must not be altered. See docs/postfix-facts.md.
const (
	maxLine  = 998   // RFC 5322 2.1.1; longer lines are broken on the way
	maxField = 59000 // Postfix cuts a header field at 60,000 bytes without a word
	maxCount = 1000  // fields; Postfix looks for each that is replaced from the top
)

// Submission is all that the access point knows of one SMTP transaction when its content has arrived.
type Submission struct {
	Sender      pec.Address   // of MAIL FROM, already checked against the login
	Recipients  []pec.Address // of RCPT TO
	Header      pec.Header
	Size        int64 // CRLF bytes of the whole message as received
	LongestLine int   // octets without line end, header and body
	NUL         bool  // a NUL byte was seen
	Limits      Limits
}

// Fault is a formal exception: why a submission may not enter the PEC system. Detail is what it is about, in the
// words of the message itself.
type Fault struct {
	Code   pec.FaultCode
	Detail string
}

// CheckSubmission applies the formal checks of RFC 6109 3.1.1 and returns every fault, or nothing when the message is
// in order.
func CheckSubmission(s *Submission) []Fault {
	var f faults
	checkForm(s, &f)
	checkFrom(s, &f)
	listed := checkRecipientFields(s, &f)
	checkForwardPaths(s, listed, &f)
	checkSizes(s, &f)
	return f
}

// JoinFaults puts the faults into one line of Italian for the notice. [C054]
func JoinFaults(list []Fault) string {
	texts := make([]string, len(list))
	for i, f := range list {
		texts[i] = f.Code.Italian(f.Detail)
	}
	return strings.Join(texts, "; ")
}

type faults []Fault

func (f *faults) add(code pec.FaultCode, detail string) {
	*f = append(*f, Fault{Code: code, Detail: detail})
}

// singular are the fields that RFC 5322 3.6 allows once.
var singular = [...]string{
	"From", "Sender", "Reply-To", "To", "Cc", "Bcc", "Message-ID", "In-Reply-To", "References", "Subject", "Date",
}

// checkForm asks for a message that is well formed and can be carried without an alteration. [C039]
func checkForm(s *Submission, f *faults) {
	for _, name := range singular {
		if len(s.Header.Values(name)) > 1 {
			f.add(pec.FaultDuplicate, name)
		}
	}
	for _, field := range s.Header {
		if len(field.Value) >= maxField {
			f.add(pec.FaultField, field.Name)
		}
		if !ascii(field.Value) {
			f.add(pec.FaultHeaderBytes, field.Name)
		}
	}
	if len(s.Header) > maxCount {
		f.add(pec.FaultFields, "")
	}
	if s.Header.Has("Date") {
		if _, err := pec.ParseDate(s.Header.Get("Date")); err != nil {
			f.add(pec.FaultSyntax, "Date")
		}
	}
	for _, name := range [...]string{"Sender", "Reply-To"} {
		value := s.Header.Get(name)
		if _, err := pec.ParseAddressList(value); err != nil && !strings.Contains(value, "@") { // forms that we do not write may be right
			f.add(pec.FaultSyntax, name)
		}
	}
	if len(s.Header.Values("Message-ID")) > 0 && !validMessageID(s.Header.MessageID()) {
		f.add(pec.FaultSyntax, "Message-ID")
	}
	if s.NUL {
		f.add(pec.FaultNUL, "")
	}
	if s.LongestLine > maxLine {
		f.add(pec.FaultLine, "")
	}
}

// checkFrom asks for one author, who is the sender of the envelope. [C040] [C042]
func checkFrom(s *Submission, f *faults) {
	author, err := pec.ParseAuthor(s.Header.Get("From"))
	if err != nil {
		f.add(pec.FaultFrom, "")
		return
	}
	if author.Fold() != s.Sender.Fold() {
		f.add(pec.FaultSender, author.String())
	}
}

// checkRecipientFields asks for a To with an address and for no Bcc, and returns who is named. [C041] [C044] [C014]
func checkRecipientFields(s *Submission, f *faults) map[pec.Address]bool {
	to, err := pec.ParseAddressList(s.Header.Get("To"))
	if err != nil || len(to) == 0 {
		f.add(pec.FaultTo, "")
	}
	var cc []pec.Address
	if s.Header.Get("Cc") != "" {
		if cc, err = pec.ParseAddressList(s.Header.Get("Cc")); err != nil {
			f.add(pec.FaultSyntax, "Cc")
		}
	}
	for _, name := range [...]string{"Bcc", "Resent-Bcc"} {
		for _, field := range s.Header.Values(name) {
			if strings.TrimSpace(field.Value) != "" {
				f.add(pec.FaultBcc, name)
			}
		}
	}
	listed := make(map[pec.Address]bool, len(to)+len(cc))
	for _, a := range append(to, cc...) {
		listed[a.Fold()] = true
	}
	return listed
}

// checkForwardPaths asks that every recipient of the envelope is named in To or Cc. [C043]
func checkForwardPaths(s *Submission, listed map[pec.Address]bool, f *faults) {
	for _, r := range s.Recipients {
		if !listed[r.Fold()] {
			f.add(pec.FaultHidden, r.String())
		}
	}
}

// checkSizes applies the two limits of the provider. [C045] [C046]
func checkSizes(s *Submission, f *faults) {
	if s.Limits.Size > 0 && s.Size > s.Limits.Size {
		f.add(pec.FaultSize, "")
	}
	if s.Limits.Product > 0 && s.Size*int64(len(s.Recipients)) > s.Limits.Product {
		f.add(pec.FaultProduct, "")
	}
}

// WantedReceipt is the kind of delivery receipt that the original asks for; unknown words count as complete. [C081]
// [C082]
func WantedReceipt(original pec.Header) pec.ReceiptKind {
	return receiptKind(original.Get(pec.FieldReceiptKind), pec.ReceiptComplete)
}

func receiptKind(word string, otherwise pec.ReceiptKind) pec.ReceiptKind {
	switch k := pec.ReceiptKind(strings.ToLower(strings.TrimSpace(word))); k {
	case pec.ReceiptComplete, pec.ReceiptBrief, pec.ReceiptConcise:
		return k
	}
	return otherwise
}

// validMessageID accepts what can stand in a reference: one pair of angle brackets around visible characters.
func validMessageID(id string) bool {
	inner, ok := strings.CutPrefix(id, "<")
	if !ok {
		return false
	}
	inner, ok = strings.CutSuffix(inner, ">")
	if !ok || inner == "" || len(id) >= 900 {
		return false
	}
	return !strings.ContainsFunc(inner, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '<' || r == '>' })
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
