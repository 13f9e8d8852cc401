package events

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/pec"
)

// The tables: the rows by number, two indexes of them by subscriber, mailbox and number, and by file how many rows name
// it.
const (
	tableRows    = "events"
	tableWaiting = "events.waiting"
	tableRefused = "events.refused"
	tableFiles   = "events.files"
)

// row is an event for one subscriber.
type row struct {
	number      uint64
	Subscriber  string         `json:"subscriber"`
	Key         string         `json:"key"`
	Name        Name           `json:"event"`
	Mailbox     string         `json:"mailbox"`
	Time        time.Time      `json:"time"`
	Identifier  pec.Identifier `json:"identifier,omitempty"`
	Transaction string         `json:"transaction,omitempty"`
	Sender      string         `json:"sender,omitempty"`
	Recipients  []string       `json:"recipients,omitempty"`
	File        string         `json:"file,omitempty"`
	Body        content        `json:"body"`
	Shows       bool           `json:"shows,omitempty"` // the whole content, not the headers alone
	Attempts    int            `json:"attempts,omitempty"`
	Next        time.Time      `json:"next,omitzero"`
	LastError   string         `json:"last_error,omitempty"`
	Refused     bool           `json:"refused,omitempty"`
}

// row is the event as one subscriber may see it.
func (p *Pending) row(s Subscription, at time.Time) row {
	e := p.event
	r := row{Subscriber: s.Name, Key: e.Key, Name: e.Name, Mailbox: e.Mailbox.String(), Time: at.Truncate(time.Second),
		Identifier: e.Identifier}
	if s.Metadata {
		r.Transaction, r.Sender, r.Recipients = e.Transaction, e.Sender, e.Recipients
	}
	if s.Content || s.Headers {
		r.File, r.Body, r.Shows = p.file, p.body, s.Content
	}
	return r
}

// put appends a new row.
func (r row) put(tx store.Tx) error {
	data, err := store.Encode(r)
	if err != nil {
		return err
	}
	number, err := tx.Append(tableRows, data)
	if err != nil {
		return err
	}
	return tx.Put(tableWaiting, indexKey(r.Subscriber, r.Mailbox, number), nil)
}

// update writes what became of an attempt.
func (r row) update(tx store.Tx) error {
	data, err := store.Encode(r)
	if err != nil {
		return err
	}
	return tx.Put(tableRows, numberKey(r.number), data)
}

// refuse takes a row out of what waits, and keeps it.
func (r row) refuse(tx store.Tx) error {
	key := indexKey(r.Subscriber, r.Mailbox, r.number)
	return errors.Join(r.update(tx), tx.Delete(tableWaiting, key), tx.Put(tableRefused, key, nil))
}

// remove forgets a row, and says whether its file is of no use any more.
func (r row) remove(tx store.Tx) (last bool, err error) {
	_, there := tx.Get(tableRows, numberKey(r.number))
	key := indexKey(r.Subscriber, r.Mailbox, r.number)
	err = errors.Join(tx.Delete(tableRows, numberKey(r.number)), tx.Delete(tableWaiting, key), tx.Delete(tableRefused, key))
	if err != nil || !there || r.File == "" {
		return false, err
	}
	data, _ := tx.Get(tableFiles, []byte(r.File))
	if len(data) == 8 && binary.BigEndian.Uint64(data) > 1 {
		return false, putUsers(tx, r.File, int(binary.BigEndian.Uint64(data)-1))
	}
	return true, tx.Delete(tableFiles, []byte(r.File))
}

// putUsers writes how many rows name a file.
func putUsers(tx store.Tx, file string, users int) error {
	if file == "" || users == 0 {
		return nil
	}
	return tx.Put(tableFiles, []byte(file), numberKey(uint64(users)))
}

// read returns the row with a number.
func read(tx store.Tx, number uint64) (row, error) {
	data, found := tx.Get(tableRows, numberKey(number))
	if !found {
		return row{}, fmt.Errorf("%w: no event %d", store.ErrRow, number)
	}
	return decode(numberKey(number), data)
}

func decode(key, data []byte) (r row, err error) {
	if len(key) != 8 {
		return r, fmt.Errorf("%w: an event with the number %x", store.ErrRow, key)
	}
	err = store.Decode(data, &r)
	r.number = binary.BigEndian.Uint64(key)
	return r, err
}

// errEnough ends a scan.
var errEnough = errors.New("enough")

// first is the number of the first row that waits for a subscriber in a mailbox, 0 when there is none.
func first(tx store.Tx, subscriber, mailbox string) (number uint64, err error) {
	err = tx.Scan(tableWaiting, indexPrefix(subscriber, mailbox), func(key, _ []byte) error {
		if _, _, number, err = parseIndex(key); err != nil {
			return err
		}
		return errEnough
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return number, err
}

// mailboxes are those in which something waits for a subscriber.
func mailboxes(tx store.Tx, subscriber string) ([]string, error) {
	var found []string
	prefix := append([]byte(subscriber), 0)
	for from := bytes.Clone(prefix); ; {
		next, done := "", true
		err := tx.ScanFrom(tableWaiting, from, func(key, _ []byte) (err error) {
			if bytes.HasPrefix(key, prefix) {
				if _, next, _, err = parseIndex(key); err != nil {
					return err
				}
				done = false
			}
			return errEnough
		})
		if err != nil && !errors.Is(err, errEnough) {
			return nil, err
		}
		if done {
			return found, nil
		}
		found = append(found, next)
		from = append(append(bytes.Clone(prefix), next...), 1) // after all numbers of this mailbox
	}
}

func numberKey(number uint64) []byte { return binary.BigEndian.AppendUint64(nil, number) }

func indexPrefix(subscriber, mailbox string) []byte {
	return append(append(append([]byte(subscriber), 0), mailbox...), 0)
}

func indexKey(subscriber, mailbox string, number uint64) []byte {
	return append(indexPrefix(subscriber, mailbox), numberKey(number)...)
}

func parseIndex(key []byte) (subscriber, mailbox string, number uint64, err error) {
	head, tail := key, []byte(nil)
	if len(key) > 8 {
		head, tail = key[:len(key)-8], key[len(key)-8:]
	}
	name, rest, ok := bytes.Cut(head, []byte{0})
	box, ended := bytes.CutSuffix(rest, []byte{0})
	if !ok || !ended || tail == nil {
		return "", "", 0, fmt.Errorf("%w: %q in the index of events", store.ErrRow, key)
	}
	return string(name), string(box), binary.BigEndian.Uint64(tail), nil
}
