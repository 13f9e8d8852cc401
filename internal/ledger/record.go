package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/internal/transaction"
	"github.com/ceralacca/ceralacca/pec"
)

// ErrRecord says that a record lacks what every record has.
var ErrRecord = errors.New("ledger: incomplete record")

// Record is one event. Its JSON is documented at the fields; what is empty is left out, but for the eight fields that
// the standard names. [C241]
type Record struct {
	// Sequence is the place of the record in the log, from 1; Append sets it. JSON: "sequence".
	Sequence uint64
	// Identifier is the identifier of the message, or the id of the transaction of a message without. JSON: "identifier".
	Identifier pec.Identifier
	// Time is the instant of the artefact that the record is about, in whole seconds like the artefact's own. JSON:
	// "time", RFC 3339 in the legal time of Italy. [C243]
	Time time.Time
	// Sender of the message. JSON: "sender", empty for the null sender.
	Sender pec.Address
	// Recipients are all recipients of the message. JSON: "recipients", a list of {"address", "type"}.
	Recipients []pec.Recipient
	// Subject of the message, decoded. JSON: "subject".
	Subject string
	// Event says what happened. JSON: "event".
	Event Event
	// Related are the ids of related messages, with brackets: of the receipt, of the original. JSON: "related".
	Related []string
	// Provider is the sending provider. JSON: "provider".
	Provider string
	// Effect is the effect that the record completes. JSON: "effect".
	Effect string
	// QueueID is the id of the queue file at the presentation. JSON: "queue_id".
	QueueID string
	// Covered are the recipients that this event is about. JSON: "covered", a list of addresses.
	Covered []pec.Address
	// Mailboxes are those that an alias comes to. JSON: "mailboxes", a list of addresses.
	Mailboxes []pec.Address
	// Kind is what the notification is that came in. JSON: "kind".
	Kind pec.Kind
	// Reference is the Message-ID of the original, with brackets. JSON: "reference".
	Reference string
	// Detail is what else a human wants to know. JSON: "detail".
	Detail string
	// Scan is what the antivirus said of the message when it came in; zero when none was asked, and in the records of what
	// came later. JSON: "scan", an object of "verdict" ("clean", "infected" or "encrypted"), "virus", "engine" and
	// "signatures".
	Scan transaction.Scan
}

// The tables: the records by number, and an index of their identifiers.
const (
	tableRecords     = "ledger"
	tableIdentifiers = "ledger.identifier"
)

// Append adds a record to the log, in the transaction of what it records. A record without time, event or usable
// identifier is [ErrRecord].
func Append(tx store.Tx, r Record) error {
	if r.Event == "" || r.Identifier == "" || strings.ContainsRune(string(r.Identifier), 0) || r.Time.IsZero() {
		return fmt.Errorf("%w: event %q of %q", ErrRecord, r.Event, r.Identifier)
	}
	r.Sequence = 0
	data, err := store.Encode(r)
	if err != nil {
		return err
	}
	sequence, err := tx.Append(tableRecords, data)
	if err != nil {
		return err
	}
	return tx.Put(tableIdentifiers, append(indexed(r.Identifier), number(sequence)...), nil)
}

// Read hands on the records of a message in the order of the log, or all of them when id is empty, and ends with the
// first error of fn.
func Read(tx store.Tx, id pec.Identifier, fn func(Record) error) error {
	if id == "" {
		return ReadFrom(tx, 0, fn)
	}
	prefix := indexed(id)
	return tx.Scan(tableIdentifiers, prefix, func(key, _ []byte) error {
		data, found := tx.Get(tableRecords, key[len(prefix):])
		if !found {
			return fmt.Errorf("%w: %q has a record that is not there", store.ErrRow, id)
		}
		return handOn(key[len(prefix):], data, fn)
	})
}

// ReadFrom hands on the records from a sequence number on, in order, and ends with the first error of fn.
func ReadFrom(tx store.Tx, sequence uint64, fn func(Record) error) error {
	return tx.ScanFrom(tableRecords, number(sequence), func(key, data []byte) error { return handOn(key, data, fn) })
}

func handOn(key, data []byte, fn func(Record) error) error {
	if len(key) != 8 {
		return fmt.Errorf("%w: a record with the number %x", store.ErrRow, key)
	}
	var r Record
	if err := store.Decode(data, &r); err != nil {
		return err
	}
	r.Sequence = binary.BigEndian.Uint64(key)
	return fn(r)
}

func number(sequence uint64) []byte { return binary.BigEndian.AppendUint64(nil, sequence) }

// indexed is how the index begins for an identifier: the NUL keeps apart those that begin alike.
func indexed(id pec.Identifier) []byte { return append([]byte(id), 0) }
