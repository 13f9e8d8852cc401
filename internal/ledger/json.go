package ledger

import (
	"encoding/json"
	"time"

	"github.com/ceralacca/ceralacca/internal/transaction"
	"github.com/ceralacca/ceralacca/pec"
)

// recordJSON is the form of a record in the store and for programs.
type recordJSON struct {
	Sequence   uint64          `json:"sequence,omitempty"`
	Identifier pec.Identifier  `json:"identifier"`
	Time       string          `json:"time"`
	Sender     string          `json:"sender"`
	Recipients []recipientJSON `json:"recipients"`
	Subject    string          `json:"subject"`
	Event      Event           `json:"event"`
	Related    []string        `json:"related"`
	Provider   string          `json:"provider"`
	Effect     string          `json:"effect"`
	QueueID    string          `json:"queue_id"`
	Covered    []string        `json:"covered,omitempty"`
	Mailboxes  []string        `json:"mailboxes,omitempty"`
	Kind       pec.Kind        `json:"kind,omitempty"`
	Reference  string          `json:"reference,omitempty"`
	Detail     string          `json:"detail,omitempty"`

	Scan transaction.Scan `json:"scan,omitzero"`
}

type recipientJSON struct {
	Address string            `json:"address"`
	Type    pec.RecipientType `json:"type"`
}

var (
	_ json.Marshaler   = Record{}
	_ json.Unmarshaler = (*Record)(nil)
)

// MarshalJSON implements json.Marshaler.
func (r Record) MarshalJSON() ([]byte, error) {
	out := recordJSON{Sequence: r.Sequence, Identifier: r.Identifier, Time: legalTime(r.Time),
		Sender: r.Sender.String(), Recipients: []recipientJSON{}, Subject: r.Subject, Event: r.Event, Related: []string{},
		Provider: r.Provider, Effect: r.Effect, QueueID: r.QueueID, Kind: r.Kind, Reference: r.Reference, Detail: r.Detail,
		Scan: r.Scan}
	for _, recipient := range r.Recipients {
		out.Recipients = append(out.Recipients, recipientJSON{recipient.Address.String(), recipient.Type})
	}
	for _, address := range r.Covered {
		out.Covered = append(out.Covered, address.String())
	}
	for _, address := range r.Mailboxes {
		out.Mailboxes = append(out.Mailboxes, address.String())
	}
	out.Related = append(out.Related, r.Related...)
	return json.Marshal(out)
}

// legalTime writes an instant in the legal time of Italy, or in UTC or as it was given where that would lose something:
// before 1893 Italy was apart from UTC by seconds too, and a year has four digits.
func legalTime(t time.Time) string {
	for _, at := range []time.Time{pec.ItalianTime(t), t.UTC()} {
		_, offset := at.Zone()
		if year := at.Year(); offset%60 == 0 && year >= 0 && year <= 9999 {
			return at.Format(time.RFC3339)
		}
	}
	return t.Format(time.RFC3339)
}

// UnmarshalJSON implements json.Unmarshaler.
func (r *Record) UnmarshalJSON(data []byte) error {
	var in recordJSON
	err := json.Unmarshal(data, &in)
	if err != nil {
		return err
	}
	*r = Record{Sequence: in.Sequence, Identifier: in.Identifier, Subject: in.Subject, Event: in.Event, Provider: in.Provider,
		Effect: in.Effect, QueueID: in.QueueID, Kind: in.Kind, Reference: in.Reference, Detail: in.Detail,
		Scan: in.Scan}
	if len(in.Related) > 0 {
		r.Related = in.Related
	}
	if r.Time, err = time.Parse(time.RFC3339, in.Time); err != nil {
		return err
	}
	if in.Sender != "" {
		if r.Sender, err = pec.ParseAddress(in.Sender); err != nil {
			return err
		}
	}
	for _, recipient := range in.Recipients {
		address, err := pec.ParseAddress(recipient.Address)
		if err != nil {
			return err
		}
		r.Recipients = append(r.Recipients, pec.Recipient{Address: address, Type: recipient.Type})
	}
	if r.Covered, err = addresses(in.Covered); err != nil {
		return err
	}
	r.Mailboxes, err = addresses(in.Mailboxes)
	return err
}

func addresses(texts []string) (list []pec.Address, err error) {
	for _, text := range texts {
		a, err := pec.ParseAddress(text)
		if err != nil {
			return nil, err
		}
		list = append(list, a)
	}
	return list, nil
}
