package tracking

import (
	"fmt"
	"time"

	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/policy"
)

// Open is a certified recipient of a message of ours of whom no outcome is known, and whose sender waits.
type Open struct {
	Identifier  pec.Identifier `json:"identifier"`
	Transaction string         `json:"transaction"`
	Sender      string         `json:"sender"`
	Recipient   string         `json:"recipient"`
	// Since is when the message was dispatched.
	Since time.Time `json:"since"`
	// Taken is when its provider took charge of it; nil is not yet.
	Taken *time.Time `json:"taken,omitempty"`
	// Notice says which notice comes next: [NoticeFirst] or [NoticeLast].
	Notice string `json:"notice"`
	// Next is when it comes, unless a certificate comes before.
	Next time.Time `json:"next"`
}

// The notices as operators call them. The values are stable.
const (
	NoticeFirst = "12h"
	NoticeLast  = "24h"
)

// OpenOf returns the open recipients of a watch of the provider sender.
func OpenOf(tx store.Tx, sender string, w Watch) ([]Open, error) {
	s, found, err := GetSubmission(tx, w.Transaction)
	if err == nil && !found {
		err = fmt.Errorf("%w: no submission of transaction %s", store.ErrRow, w.Transaction)
	}
	if err != nil {
		return nil, err
	}
	recipients, err := s.Certified(tx, sender)
	if err != nil {
		return nil, err
	}
	var out []Open
	for _, r := range recipients {
		if r.Final != nil {
			continue
		}
		o := Open{Identifier: s.Identifier, Transaction: w.Transaction, Sender: s.Sender.String(), Recipient: r.Address.String(),
			Since: w.Sent, Notice: NoticeFirst, Next: w.Due}
		if r.Taken != nil {
			o.Taken = &r.Taken.Time
		}
		if w.Last || r.Taken != nil {
			o.Notice = NoticeLast
		}
		if !w.Last && r.Taken != nil {
			o.Next = w.Sent.Add(policy.LastNotice)
		}
		out = append(out, o)
	}
	return out, nil
}
