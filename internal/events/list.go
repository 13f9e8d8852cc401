package events

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/pec"
)

// Waiting is an event that a subscriber does not have, as an operator is shown it.
type Waiting struct {
	Plugin     string         `json:"plugin"`
	Mailbox    string         `json:"mailbox"`
	Event      Name           `json:"event"`
	Time       time.Time      `json:"time"`
	Identifier pec.Identifier `json:"identifier,omitempty"`
	Key        string         `json:"key"`
	Attempts   int            `json:"attempts"`
	// Next is when it is tried again; zero when it was never tried, or stands behind another of its mailbox.
	Next      time.Time `json:"next,omitzero"`
	LastError string    `json:"last_error,omitempty"`
	// Refused says that the plug-in will never take it: it is tried no more.
	Refused bool `json:"refused,omitempty"`
}

// Filter chooses events. What is empty chooses all.
type Filter struct {
	Plugin, Mailbox string
}

// List hands on what subscribers do not have, in the order in which it happened, from the number on, and ends with the first
// error of fn. It hands on the number of each, for a call that goes on behind it.
func List(tx store.Tx, from uint64, f Filter, fn func(number uint64, w Waiting) error) error {
	return tx.ScanFrom(tableRows, numberKey(from), func(key, data []byte) error {
		r, err := decode(key, data)
		if err != nil {
			return err
		}
		if f.Plugin != "" && r.Subscriber != f.Plugin || f.Mailbox != "" && r.Mailbox != f.Mailbox {
			return nil
		}
		return fn(r.number, Waiting{Plugin: r.Subscriber, Mailbox: r.Mailbox, Event: r.Name, Time: r.Time, Identifier: r.Identifier,
			Key: r.Key, Attempts: r.Attempts, Next: r.Next, LastError: r.LastError, Refused: r.Refused})
	})
}

// Backlog is how much a subscriber does not have.
type Backlog struct {
	Plugin  string
	Waiting int
	Refused int
	// Oldest is when the oldest that waits happened; zero when nothing does.
	Oldest time.Time
}

// Backlogs counts what waits and what was refused, by subscriber, those included that are no longer configured. It reads the
// keys of all that waits, and the first row of each mailbox.
func Backlogs(tx store.Tx) (map[string]Backlog, error) {
	found := map[string]Backlog{}
	last := ""
	err := tx.Scan(tableWaiting, nil, func(key, _ []byte) error {
		subscriber, _, number, err := parseIndex(key)
		if err != nil {
			return err
		}
		b := found[subscriber]
		b.Plugin, b.Waiting = subscriber, b.Waiting+1
		if box := string(key[:len(key)-8]); box != last {
			last = box
			r, err := read(tx, number)
			if err != nil {
				return err
			}
			if b.Oldest.IsZero() || r.Time.Before(b.Oldest) {
				b.Oldest = r.Time
			}
		}
		found[subscriber] = b
		return nil
	})
	if err != nil {
		return nil, err
	}
	return found, tx.Scan(tableRefused, nil, func(key, _ []byte) error {
		subscriber, _, _, err := parseIndex(key)
		b := found[subscriber]
		b.Plugin, b.Refused = subscriber, b.Refused+1
		found[subscriber] = b
		return err
	})
}

// dropped is how many rows are removed in one transaction.
const dropped = 1000

// Drop forgets, for good, what a subscriber has refused and, when it is subscribed no more, all that waits for it. It returns
// how many events that were.
func (q *Queue) Drop(ctx context.Context, subscriber string) (int, error) {
	subscribed := false
	for _, s := range q.subscribers() {
		subscribed = subscribed || s.Name == subscriber
	}
	for total := 0; ; {
		n, err := q.drop(ctx, subscriber, !subscribed)
		total += n
		if err != nil || n == 0 {
			if total > 0 {
				q.log.Warn("events were dropped, for good", slog.String("plugin", subscriber), slog.Int("events", total))
			}
			return total, err
		}
	}
}

func (q *Queue) drop(ctx context.Context, subscriber string, all bool) (n int, err error) {
	var files []string
	err = q.store.Update(ctx, func(tx store.Tx) error {
		n, files = 0, nil
		rows, err := droppable(tx, subscriber, all)
		for _, r := range rows {
			last, removed := r.remove(tx)
			if err = errors.Join(err, removed); last {
				files = append(files, r.File)
			}
		}
		n = len(rows)
		return err
	})
	if err != nil {
		return 0, err
	}
	for _, file := range files {
		if gone := os.Remove(filepath.Join(q.folder, filepath.Base(file))); gone != nil && !errors.Is(gone, fs.ErrNotExist) {
			err = errors.Join(err, gone)
		}
	}
	return n, err
}

func droppable(tx store.Tx, subscriber string, all bool) (rows []row, err error) {
	tables := []string{tableRefused}
	if all {
		tables = append(tables, tableWaiting)
	}
	for _, table := range tables {
		err = tx.Scan(table, append([]byte(subscriber), 0), func(key, _ []byte) error {
			_, _, number, err := parseIndex(key)
			if err != nil {
				return err
			}
			if len(rows) == dropped {
				return errEnough
			}
			r, err := read(tx, number)
			rows = append(rows, r)
			return err
		})
		if err != nil && !errors.Is(err, errEnough) {
			return nil, err
		}
	}
	return rows, nil
}
