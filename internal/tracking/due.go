package tracking

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/pec"
)

// ErrDue says that a due notification cannot be kept as it is.
var ErrDue = errors.New("tracking: incomplete due notification")

// Due is a notification that no mailbox has taken yet. Its bytes stand in a file, never in the store.
type Due struct {
	// ID is the name under which it is kept; the caller chooses it, and it says which notification it is.
	ID         string
	Identifier pec.Identifier
	Kind       pec.Kind
	To         pec.Address
	// File is the name of the file with its bytes, relative to the folder that the caller keeps them in.
	File string
	// Since is when it was first tried.
	Since time.Time
	// Next is when it is tried again, in milliseconds.
	Next     time.Time
	Attempts int
	// LastError is what the mailbox said.
	LastError string
	// GaveUp says that it is tried no more, and listed for the operator.
	GaveUp bool
	// Data is what the caller needs to finish the effect; its form is the caller's.
	Data []byte
}

// The tables: the notifications by id, and those still tried by the instant of the next try.
const (
	tableDue   = "tracking.due"
	tableTimes = "tracking.due.next"
)

type dueJSON struct {
	Identifier pec.Identifier `json:"identifier"`
	Kind       pec.Kind       `json:"kind"`
	To         string         `json:"to"`
	File       string         `json:"file"`
	Since      time.Time      `json:"since"`
	Next       time.Time      `json:"next,omitzero"`
	Attempts   int            `json:"attempts"`
	LastError  string         `json:"last_error,omitempty"`
	GaveUp     bool           `json:"gave_up,omitempty"`
	Data       []byte         `json:"data,omitempty"`
}

// PutDue keeps a notification, over what was kept under its id.
func PutDue(tx store.Tx, d Due) error {
	if d.ID == "" || d.To.IsZero() || d.Next.IsZero() && !d.GaveUp {
		return fmt.Errorf("%w: %q", ErrDue, d.ID)
	}
	if err := DeleteDue(tx, d.ID); err != nil {
		return err
	}
	data, err := store.Encode(d.row())
	if err != nil {
		return err
	}
	if err := tx.Put(tableDue, []byte(d.ID), data); err != nil || d.GaveUp {
		return err
	}
	return tx.Put(tableTimes, timeKey(d.Next, d.ID), nil)
}

// DeleteDue forgets a notification, if there is one under the id.
func DeleteDue(tx store.Tx, id string) error {
	old, found, err := GetDue(tx, id)
	if err != nil || !found {
		return err
	}
	if err := tx.Delete(tableTimes, timeKey(old.Next, id)); err != nil {
		return err
	}
	return tx.Delete(tableDue, []byte(id))
}

// GetDue returns a notification, and whether there is one under the id.
func GetDue(tx store.Tx, id string) (d Due, found bool, err error) {
	data, found := tx.Get(tableDue, []byte(id))
	if !found {
		return Due{}, false, nil
	}
	d, err = decodeDue(id, data)
	return d, err == nil, err
}

// errEnough ends a scan.
var errEnough = errors.New("enough")

// DueBefore returns the notifications whose next try is not after now, the most overdue first, at most limit. It costs
// nothing when there are none.
func DueBefore(tx store.Tx, now time.Time, limit int) ([]Due, error) {
	var due []Due
	err := tx.Scan(tableTimes, nil, func(key, _ []byte) error {
		next, id, err := parseTimeKey(key)
		if err != nil {
			return err
		}
		if next.After(now) || len(due) == limit {
			return errEnough
		}
		d, found, err := GetDue(tx, id)
		if err != nil {
			return err
		}
		if !found {
			return fmt.Errorf("%w: no notification %q", store.ErrRow, id)
		}
		due = append(due, d)
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return due, err
}

// Undelivered hands on all notifications that wait or were given up, and ends with the first error of fn.
func Undelivered(tx store.Tx, fn func(Due) error) error {
	return tx.Scan(tableDue, nil, func(key, data []byte) error {
		d, err := decodeDue(string(key), data)
		if err != nil {
			return err
		}
		return fn(d)
	})
}

func (d Due) row() dueJSON {
	return dueJSON{Identifier: d.Identifier, Kind: d.Kind, To: d.To.String(), File: d.File, Since: d.Since, Next: d.Next,
		Attempts: d.Attempts, LastError: d.LastError, GaveUp: d.GaveUp, Data: d.Data}
}

func decodeDue(id string, data []byte) (Due, error) {
	var row dueJSON
	if err := store.Decode(data, &row); err != nil {
		return Due{}, err
	}
	to, err := pec.ParseAddress(row.To)
	if err != nil {
		return Due{}, fmt.Errorf("%w: %w", store.ErrRow, err)
	}
	return Due{ID: id, Identifier: row.Identifier, Kind: row.Kind, To: to, File: row.File, Since: row.Since, Next: row.Next,
		Attempts: row.Attempts, LastError: row.LastError, GaveUp: row.GaveUp, Data: row.Data}, nil
}

var _ json.Marshaler = Due{}

// MarshalJSON implements json.Marshaler: what an operator is shown, without Data.
func (d Due) MarshalJSON() ([]byte, error) {
	row := d.row()
	row.Data = nil
	return json.Marshal(struct {
		ID string `json:"id"`
		dueJSON
	}{d.ID, row})
}

func timeKey(next time.Time, id string) []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(next.UnixMilli())), id...)
}

func parseTimeKey(key []byte) (next time.Time, id string, err error) {
	if len(key) <= 8 {
		return time.Time{}, "", fmt.Errorf("%w: time %x", store.ErrRow, key)
	}
	return time.UnixMilli(int64(binary.BigEndian.Uint64(key))), string(key[8:]), nil
}
