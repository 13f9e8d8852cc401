package tracking

import (
	"fmt"
	"time"

	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/pec"
)

// Submission is what a bounce of an envelope does not bring back.
type Submission struct {
	Identifier pec.Identifier
	Sender     pec.Address
	Recipients []pec.Recipient
	// Subject is nil when the original has none.
	Subject *string
	// MessageID is that of the original, with brackets; empty when it had none.
	MessageID string
	ReplyTo   string
	Receipt   pec.ReceiptKind
	Time      time.Time
}

const tableSubmissions = "tracking.submission"

type submissionJSON struct {
	Identifier pec.Identifier  `json:"identifier"`
	Sender     string          `json:"sender"`
	Recipients []recipientJSON `json:"recipients"`
	Subject    *string         `json:"subject,omitempty"`
	MessageID  string          `json:"message_id,omitempty"`
	ReplyTo    string          `json:"reply_to,omitempty"`
	Receipt    pec.ReceiptKind `json:"receipt,omitempty"`
	Time       time.Time       `json:"time"`
}

type recipientJSON struct {
	Address string            `json:"address"`
	Type    pec.RecipientType `json:"type"`
}

// PutSubmission keeps a submission under the id of its transaction, unless there is one.
func PutSubmission(tx store.Tx, transaction string, s Submission) error {
	row := submissionJSON{Identifier: s.Identifier, Sender: s.Sender.String(), Subject: s.Subject, MessageID: s.MessageID,
		ReplyTo: s.ReplyTo, Receipt: s.Receipt, Time: s.Time}
	for _, recipient := range s.Recipients {
		row.Recipients = append(row.Recipients, recipientJSON{recipient.Address.String(), recipient.Type})
	}
	data, err := store.Encode(row)
	if err != nil {
		return err
	}
	_, err = tx.PutNew(tableSubmissions, []byte(transaction), data)
	return err
}

// GetSubmission returns the submission of a transaction, and whether there is one.
func GetSubmission(tx store.Tx, transaction string) (s Submission, found bool, err error) {
	data, found := tx.Get(tableSubmissions, []byte(transaction))
	if !found {
		return Submission{}, false, nil
	}
	s, err = decodeSubmission(data)
	return s, err == nil, err
}

func decodeSubmission(data []byte) (Submission, error) {
	var row submissionJSON
	if err := store.Decode(data, &row); err != nil {
		return Submission{}, err
	}
	s := Submission{Identifier: row.Identifier, Subject: row.Subject, MessageID: row.MessageID, ReplyTo: row.ReplyTo,
		Receipt: row.Receipt, Time: row.Time}
	var err error
	if s.Sender, err = pec.ParseAddress(row.Sender); err != nil {
		return Submission{}, fmt.Errorf("%w: %w", store.ErrRow, err)
	}
	for _, recipient := range row.Recipients {
		address, err := pec.ParseAddress(recipient.Address)
		if err != nil {
			return Submission{}, fmt.Errorf("%w: %w", store.ErrRow, err)
		}
		s.Recipients = append(s.Recipients, pec.Recipient{Address: address, Type: recipient.Type})
	}
	return s, nil
}

// Recipient is a certified recipient of a submission, and what is known of it.
type Recipient struct {
	pec.Address
	State
}

// Certified returns the certified recipients of a submission of the provider sender, each once, in order.
func (s Submission) Certified(tx store.Tx, sender string) ([]Recipient, error) {
	var out []Recipient
	seen := make(map[pec.Address]bool)
	for _, r := range s.Recipients {
		if r.Type != pec.Certified || seen[r.Address.Fold()] {
			continue
		}
		seen[r.Address.Fold()] = true
		state, err := Outcome(tx, sender, s.Identifier, r.Address)
		if err != nil {
			return nil, err
		}
		out = append(out, Recipient{r.Address, state})
	}
	return out, nil
}
