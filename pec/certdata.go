package pec

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // legal time of Italy must be there on any host

	"github.com/ceralacca/ceralacca/pec/internal/rfc822"
)

// Recipient is an addressee of a certified message, and whether its provider certifies delivery. [C031]
type Recipient struct {
	Address Address
	Type    RecipientType
}

// CertData is the certification data of a message, daticert.xml. [C198]
type CertData struct {
	Kind       Kind
	Error      ErrorCode
	Sender     Address     // the envelope sender of the original [C012]
	Recipients []Recipient // the envelope recipients of the original; at least one
	ReplyTo    string      // the value of Reply-To of the original, or its sender's address
	Subject    *string     // in UTF-8, decoded; nil when the original has none
	Provider   string      // the name of who emits
	Time       time.Time   // of the message that carries the data, to the second [C186]
	Identifier Identifier  // always of the transport envelope [C204]
	MessageID  string      // of the client, with < >; "" when it sent none [C037] [C038]
	Receipt    ReceiptKind // asked for; only in transport envelopes and delivery receipts [C205]
	Delivery   *Address    // the one recipient of a delivery, non-delivery, virus or timeout notification [C206]
	Taken      []Address   // the recipients of a take-charge [C206]
	Detail     string      // the error in words
}

// ErrCertData says that certification data are not well formed, not valid, or lack what their kind demands.
var ErrCertData = errors.New("invalid certification data")

// Formats of the two halves of a time, and of its zone. [C188] [C203]
const (
	DayFormat  = "02/01/2006"
	HourFormat = "15:04:05"
	ZoneFormat = "-0700"
)

// legalErrors are the error codes that each kind may carry. [C055] [C065] [C085] [C130] [C163] [C181] [C199] [C200]
var legalErrors = map[Kind][]ErrorCode{
	KindTransport:      {ErrorNone},
	KindAcceptance:     {ErrorNone},
	KindTakeCharge:     {ErrorNone},
	KindDelivery:       {ErrorNone},
	KindNonAcceptance:  {ErrorOther, ErrorVirus},
	KindNonDelivery:    {ErrorRecipient, ErrorDomain, ErrorVirus, ErrorOther},
	KindTimeout:        {ErrorOther},
	KindVirusDetection: {ErrorVirus},
}

var (
	errorCodes   = []ErrorCode{ErrorNone, ErrorRecipient, ErrorDomain, ErrorVirus, ErrorOther}
	receiptKinds = []ReceiptKind{ReceiptComplete, ReceiptBrief, ReceiptConcise}
)

// Reference is the value of X-Riferimento-Message-ID that goes with c: the Message-ID of the client, or "" when there is
// none, or one that no header can hold: that stands in the certification data alone. [C019] [C036] [C038]
func (c *CertData) Reference() string {
	const longest = 900 // no line may have 1,000
	foreign := strings.ContainsFunc(c.MessageID, func(r rune) bool { return r < ' ' || r >= 0x7f })
	if foreign || len(c.MessageID) >= longest {
		return ""
	}
	return c.MessageID
}

// ErrorFits tells whether the error code is one that the kind may carry: a delivery receipt that states an error, or a
// non-delivery that states none, contradicts itself. [C200]
func (c *CertData) ErrorFits() bool { return slices.Contains(legalErrors[c.Kind], c.Error) }

// Encode is the XML document: UTF-8, without DOCTYPE, valid against postacert.dtd, times in the legal time of Italy.
// Characters that XML cannot hold become spaces or U+FFFD. It refuses, with ErrCertData, what no message of its kind
// says.
func (c *CertData) Encode() ([]byte, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	var d certDataXML
	d.Kind, d.Error = c.Kind, c.Error
	d.Header.Sender = c.Sender.String()
	for _, r := range c.Recipients {
		d.Header.Recipients = append(d.Header.Recipients, recipientXML{Type: r.Type, Address: r.Address.String()})
	}
	d.Header.ReplyTo = rfc822.OneLine(c.ReplyTo)
	if c.Subject != nil {
		subject := rfc822.OneLine(*c.Subject)
		d.Header.Subject = &subject
	}
	d.Data.Provider = rfc822.OneLine(c.Provider)
	when := ItalianTime(c.Time)
	d.Data.Time.Zone, d.Data.Time.Day, d.Data.Time.Hour = when.Format(ZoneFormat), when.Format(DayFormat), when.Format(HourFormat)
	d.Data.Identifier, d.Data.MessageID, d.Data.Detail = c.Identifier, rfc822.OneLine(c.MessageID), rfc822.OneLine(c.Detail)
	if c.Receipt != "" {
		d.Data.Receipt = &receiptXML{Kind: c.Receipt}
	}
	if c.Delivery != nil {
		delivery := c.Delivery.String()
		d.Data.Delivery = &delivery
	}
	for _, a := range c.Taken {
		d.Data.Taken = append(d.Data.Taken, a.String())
	}
	return marshal(&d)
}

func marshal(d *certDataXML) ([]byte, error) {
	b := bytes.NewBufferString(xml.Header)
	e := xml.NewEncoder(b)
	e.Indent("", "  ")
	if err := e.Encode(d); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCertData, err)
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}

// check says what is wrong with data that are to be certified.
func (c *CertData) check() error {
	_, known := legalErrors[c.Kind]
	switch {
	case !known:
		return fmt.Errorf("%w: kind %q", ErrCertData, c.Kind)
	case !c.ErrorFits():
		return fmt.Errorf("%w: error %q in %s", ErrCertData, c.Error, c.Kind)
	case c.Sender.IsZero() || len(c.Recipients) == 0 || c.Provider == "" || c.Identifier == "" || c.Time.IsZero():
		return fmt.Errorf("%w: sender, recipients, provider, identifier or time is missing", ErrCertData)
	}
	for _, r := range c.Recipients {
		if r.Address.IsZero() || r.Type != Certified && r.Type != Ordinary {
			return fmt.Errorf("%w: recipient %q of type %q", ErrCertData, r.Address, r.Type)
		}
	}
	return c.checkKind()
}

// checkKind checks what only some kinds carry.
func (c *CertData) checkKind() error {
	asks := c.Kind == KindTransport || c.Kind == KindDelivery
	single := asks && c.Kind != KindTransport || c.Kind == KindNonDelivery || c.Kind == KindTimeout || c.Kind == KindVirusDetection
	switch {
	case asks != (c.Receipt != "") || asks && !slices.Contains(receiptKinds, c.Receipt): // [C073] [C085] [C205]
		return fmt.Errorf("%w: receipt %q in %s", ErrCertData, c.Receipt, c.Kind)
	case single != (c.Delivery != nil) || single && c.Delivery.IsZero(): // [C206]
		return fmt.Errorf("%w: %s and the one recipient do not agree", ErrCertData, c.Kind)
	case (c.Kind == KindTakeCharge) != (len(c.Taken) > 0) || slices.Contains(c.Taken, Address{}): // [C206]
		return fmt.Errorf("%w: %s and the recipients taken in charge do not agree", ErrCertData, c.Kind)
	case (c.Error == ErrorNone) != (c.Detail == ""):
		return fmt.Errorf("%w: error %q and detail %q do not agree", ErrCertData, c.Error, c.Detail)
	}
	return nil
}

// rome is loaded once; time/tzdata makes it certain that it is there.
var rome = sync.OnceValues(func() (*time.Location, error) { return time.LoadLocation("Europe/Rome") })

// ItalianTime is t in the legal time of Italy. [C187]
func ItalianTime(t time.Time) time.Time {
	where, err := rome()
	if err != nil {
		panic("pec: no legal time of Italy: " + err.Error()) // the data are linked in
	}
	return t.In(where)
}
