package examine

import (
	"strings"
	"time"
	"unicode"

	"github.com/ceralacca/ceralacca/pec"
)

// KindOrdinary is how a report calls a message that is not of the PEC system.
const KindOrdinary = "ordinary"

// Names of the checks, in the order in which a report holds them.
const (
	CheckSignature  = "signature"
	CheckChain      = "chain"
	CheckRevocation = "revocation"
	CheckDirectory  = "directory"
	CheckHeaders    = "headers"
	CheckCertData   = "certdata"
	CheckText       = "text"
	CheckOriginal   = "original" // only there when an original was given
)

var checkNames = [...]string{
	CheckSignature, CheckChain, CheckRevocation, CheckDirectory, CheckHeaders, CheckCertData, CheckText,
}

// Check is one thing that was looked at. OK is nil when it was not asked for or does not apply; Detail says which.
type Check struct {
	Name   string `json:"name"`
	OK     *bool  `json:"ok"`
	Detail string `json:"detail"`
}

// Recipient is one recipient that the certification data name.
type Recipient struct {
	Address string `json:"address"`
	Type    string `json:"type"`
}

// Report is what there is to say about one file. Fields that the message does not state are null. Error stands alone:
// the file could not be read.
type Report struct {
	File       string      `json:"file"`
	Error      string      `json:"error,omitempty"`
	Kind       string      `json:"kind"`
	Identifier *string     `json:"identifier"`
	Reference  *string     `json:"reference"` // with angle brackets
	Time       *time.Time  `json:"time"`      // RFC 3339, legal time of Italy
	Provider   *string     `json:"provider"`
	Sender     *string     `json:"sender"`
	Recipients []Recipient `json:"recipients"` // nil, null: it states none
	OK         bool        `json:"ok"`
	Checks     []Check     `json:"checks"`
	Note       string      `json:"note,omitempty"` // for example: read with bare LF

	said []string // of the text: what a receipt or notice says of whom
}

// Unreadable is the report of a file that could not be read.
type Unreadable struct {
	File  string `json:"file"`
	Error string `json:"error"`
}

// JSON is what stands for r in the JSON Lines.
func (r *Report) JSON() any {
	if r.Error != "" {
		return Unreadable{r.File, r.Error}
	}
	return r
}

func newReport(file string) *Report {
	r := &Report{File: file, Kind: KindOrdinary}
	for _, name := range checkNames {
		r.Checks = append(r.Checks, Check{Name: name})
	}
	return r
}

// set records the result of a check: good when err is nil, whose text is otherwise the detail.
func (r *Report) set(name string, err error, detail string) {
	for i := range r.Checks {
		if r.Checks[i].Name != name {
			continue
		}
		ok := err == nil
		r.Checks[i].OK, r.Checks[i].Detail = &ok, detail
		if err != nil {
			r.Checks[i].Detail = oneLine(err.Error())
		}
	}
}

// detail says why a check was not made.
func (r *Report) detail(name, why string) {
	for i := range r.Checks {
		if r.Checks[i].Name == name {
			r.Checks[i].Detail = why
		}
	}
}

// explain says why of all checks that were not made and do not say so yet.
func (r *Report) explain(why string) {
	for i := range r.Checks {
		if r.Checks[i].OK == nil && r.Checks[i].Detail == "" {
			r.Checks[i].Detail = why
		}
	}
}

// conclude decides whether the file holds: it is a message of the PEC system, and nothing that was looked at is wrong.
func (r *Report) conclude() {
	r.OK = r.Kind != KindOrdinary
	for _, c := range r.Checks {
		r.OK = r.OK && (c.OK == nil || *c.OK)
	}
}

// state copies what the certification data say.
func (r *Report) state(c *pec.CertData) {
	id, sender, at := string(c.Identifier), c.Sender.String(), pec.ItalianTime(c.Time)
	r.Identifier, r.Sender, r.Time = &id, &sender, &at
	if r.Provider == nil {
		name := c.Provider
		r.Provider = &name
	}
	if c.MessageID != "" {
		ref := "<" + strings.Trim(c.MessageID, "<> ") + ">"
		r.Reference = &ref
	}
	switch {
	case c.Kind == pec.KindDelivery && c.Delivery != nil:
		r.said = append(r.said, "delivered to "+c.Delivery.String())
	case c.Delivery != nil:
		r.said = append(r.said, "about "+c.Delivery.String())
	}
	for _, a := range c.Taken {
		r.said = append(r.said, "taken in charge for "+a.String())
	}
	if c.Detail != "" {
		r.said = append(r.said, "error: "+oneLine(c.Detail))
	}
	for _, to := range c.Recipients {
		r.Recipients = append(r.Recipients, Recipient{to.Address.String(), string(to.Type)})
	}
}

// Text says the report in plain words, one fact a line.
func (r *Report) Text() string {
	var b strings.Builder
	line := func(s ...string) { b.WriteString(strings.Join(s, "") + "\n") }
	if r.Error != "" {
		line(r.File, ": cannot be read: ", r.Error)
		return b.String()
	}
	line(r.File, ": ", sentence(r))
	if r.Note != "" {
		line("  note: ", r.Note)
	}
	if r.Identifier != nil {
		line("  message ", *r.Identifier, oneLine(orEmpty(", which its sender's program called ", r.Reference)))
		line("  certified by ", oneLine(*r.Provider), " at ", r.Time.Format("2006-01-02 15:04:05 -0700"), ", sent by ", *r.Sender)
		for _, to := range r.Recipients {
			line("  to ", to.Address, " (", englishType[pec.RecipientType(to.Type)], ")")
		}
	}
	for _, said := range r.said {
		line("  ", said)
	}
	if r.Identifier == nil && r.Provider != nil {
		line("  made by ", oneLine(*r.Provider))
	}
	for _, c := range r.Checks {
		line("  ", mark(c.OK), " ", c.Name, orEmpty(": ", &c.Detail))
	}
	return b.String()
}

// oneLine joins errors, one a line, and keeps what a message holds from steering a terminal.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ReplaceAll(s, "\n", "; "))
}

func orEmpty(before string, s *string) string {
	if s == nil || *s == "" {
		return ""
	}
	return before + *s
}

func mark(ok *bool) string {
	switch {
	case ok == nil:
		return "  -  "
	case *ok:
		return "  ok "
	}
	return "WRONG"
}

var englishType = map[pec.RecipientType]string{pec.Certified: "certified", pec.Ordinary: "ordinary"}

var englishKind = map[string]string{
	string(pec.KindTransport):      "a transport envelope",
	string(pec.KindAnomaly):        "an anomaly envelope: what is inside was not certified",
	string(pec.KindAcceptance):     "an acceptance receipt",
	string(pec.KindNonAcceptance):  "a notice of non-acceptance",
	string(pec.KindTakeCharge):     "a take-charge receipt",
	string(pec.KindDelivery):       "a delivery receipt",
	string(pec.KindNonDelivery):    "a notice of non-delivery",
	string(pec.KindTimeout):        "a notice of non-delivery for exceeding the maximum time",
	string(pec.KindVirusDetection): "a virus detection notice",
	KindOrdinary:                   "an ordinary message, not one of certified mail",
}

func sentence(r *Report) string {
	what := englishKind[r.Kind]
	if what == "" {
		what = "a message of unknown kind " + oneLine(r.Kind)
	}
	switch {
	case r.Kind == KindOrdinary:
		return what
	case r.OK:
		return what + "; everything that was checked holds"
	}
	return what + "; it does NOT hold"
}
