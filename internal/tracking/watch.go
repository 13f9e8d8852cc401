package tracking

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/ceralacca/ceralacca/internal/store"
)

// ErrWatch says that a watch lacks its transaction or an instant.
var ErrWatch = errors.New("tracking: incomplete watch")

// Watch is a message of ours whose recipients may still lack a certificate: what its sender is to be told of that is
// looked at when it is due. A fact does not touch it, so that an event costs the same whatever is open; one that has
// come to nothing is found so when it is due.
type Watch struct {
	// Transaction is the id under which the submission is kept.
	Transaction string
	// Sent is when the message was dispatched.
	Sent time.Time
	// Last says that the first look is over, and the one that is due ends the watch.
	Last bool
	// Due is when it is looked at, in milliseconds.
	Due time.Time
	// PutOff says that nobody ran when it was due, and that it was given time once.
	PutOff bool
}

// The tables: the watches by instant and transaction, and how many there are, under no key but its own name.
const (
	tableWatches = "tracking.watch"
	tableCounts  = "tracking.count"
)

type watchJSON struct {
	Sent   time.Time `json:"sent"`
	Last   bool      `json:"last,omitempty"`
	PutOff bool      `json:"put_off,omitempty"`
}

// PutWatch begins a watch; what is there already stays as it is.
func PutWatch(tx store.Tx, w Watch) error {
	if w.Transaction == "" || w.Sent.IsZero() || w.Due.IsZero() {
		return fmt.Errorf("%w: %q", ErrWatch, w.Transaction)
	}
	data, err := store.Encode(watchJSON{Sent: w.Sent.UTC(), Last: w.Last, PutOff: w.PutOff})
	if err != nil {
		return err
	}
	isNew, err := tx.PutNew(tableWatches, timeKey(w.Due, w.Transaction), data)
	if err != nil || !isNew {
		return err
	}
	return addWatches(tx, 1)
}

// EndWatch forgets a watch, if it is there as it was read.
func EndWatch(tx store.Tx, w Watch) error {
	key := timeKey(w.Due, w.Transaction)
	if _, found := tx.Get(tableWatches, key); !found {
		return nil
	}
	if err := tx.Delete(tableWatches, key); err != nil {
		return err
	}
	return addWatches(tx, -1)
}

// MoveWatch replaces a watch, which was read as old, by what it is now. One that is there no more is not begun again.
func MoveWatch(tx store.Tx, old, now Watch) error {
	if _, found := tx.Get(tableWatches, timeKey(old.Due, old.Transaction)); !found {
		return nil
	}
	if err := EndWatch(tx, old); err != nil {
		return err
	}
	return PutWatch(tx, now)
}

// WatchesDue returns the watches that are due, the most overdue first, at most limit. It costs the same whatever is open
// and not due.
func WatchesDue(tx store.Tx, now time.Time, limit int) ([]Watch, error) {
	var due []Watch
	err := tx.Scan(tableWatches, nil, func(key, data []byte) error {
		w, err := decodeWatch(key, data)
		if err != nil {
			return err
		}
		if w.Due.After(now) || len(due) == limit {
			return errEnough
		}
		due = append(due, w)
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return due, err
}

// WatchesFrom hands on the watches from the given one on, in the order in which they are due, and ends with the first
// error of fn. The zero Watch is before all.
func WatchesFrom(tx store.Tx, from Watch, fn func(Watch) error) error {
	var key []byte
	if !from.Due.IsZero() {
		key = timeKey(from.Due, from.Transaction)
	}
	return tx.ScanFrom(tableWatches, key, func(key, data []byte) error {
		w, err := decodeWatch(key, data)
		if err != nil {
			return err
		}
		return fn(w)
	})
}

// FirstDue returns the watch that is due before all others, and whether there is one.
func FirstDue(tx store.Tx) (w Watch, found bool, err error) {
	err = WatchesFrom(tx, Watch{}, func(one Watch) error {
		w, found = one, true
		return errEnough
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return w, found, err
}

// Watched is how many watches there are. It costs nothing.
func Watched(tx store.Tx) int {
	data, _ := tx.Get(tableCounts, []byte(tableWatches))
	if len(data) != 8 {
		return 0
	}
	return int(binary.BigEndian.Uint64(data))
}

func addWatches(tx store.Tx, n int) error {
	return tx.Put(tableCounts, []byte(tableWatches), binary.BigEndian.AppendUint64(nil, uint64(max(Watched(tx)+n, 0))))
}

func decodeWatch(key, data []byte) (Watch, error) {
	due, transaction, err := parseTimeKey(key)
	if err != nil {
		return Watch{}, err
	}
	var row watchJSON
	if err := store.Decode(data, &row); err != nil {
		return Watch{}, err
	}
	return Watch{Transaction: transaction, Sent: row.Sent, Last: row.Last, Due: due, PutOff: row.PutOff}, nil
}
