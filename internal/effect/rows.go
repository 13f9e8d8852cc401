package effect

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/pec"
)

// The tables: one row per key, one per artefact that is prepared and not yet done.
const (
	tableKeys      = "effect"
	tableArtefacts = "effect.prepared"
)

// state of a key.
type state string

const (
	stateSeen     state = "seen"
	statePrepared state = "prepared"
	stateDone     state = "done"
)

// keyRow is what the store knows of a key. Rows live as long as the log.
type keyRow struct {
	State    state     `json:"s"`
	First    time.Time `json:"f"`
	Artefact uint64    `json:"a,omitempty"` // number of the artefact while prepared
	Done     time.Time `json:"d,omitzero"`
}

// artefactRow is a [Prepared]; it goes when its effects are done, because signatures are long.
type artefactRow struct {
	Keys        []Key     `json:"keys"`
	At          time.Time `json:"at"`
	Instant     time.Time `json:"instant"`
	MessageID   string    `json:"message_id,omitempty"`
	Certificate [32]byte  `json:"certificate"`
	CMS         []byte    `json:"cms,omitempty"`
	Digest      [32]byte  `json:"digest"`
	To          string    `json:"to,omitempty"`
	Data        []byte    `json:"data,omitempty"`
}

func readKey(tx store.Tx, key Key) (row keyRow, err error) {
	data, found := tx.Get(tableKeys, key.row())
	if !found {
		return keyRow{}, nil
	}
	return row, store.Decode(data, &row)
}

func writeKey(tx store.Tx, key Key, row keyRow) error {
	data, err := store.Encode(row)
	if err != nil {
		return err
	}
	return tx.Put(tableKeys, key.row(), data)
}

func artefactKey(number uint64) []byte { return binary.BigEndian.AppendUint64(nil, number) }

func writeArtefact(tx store.Tx, p Prepared, at time.Time) (uint64, error) {
	row := artefactRow{Keys: p.Keys, At: at, Instant: p.Instant, MessageID: p.MessageID, Certificate: p.Certificate,
		CMS: p.CMS, Digest: p.Digest, Data: p.Data}
	if !p.To.IsZero() {
		row.To = p.To.String()
	}
	data, err := store.Encode(row)
	if err != nil {
		return 0, err
	}
	return tx.Append(tableArtefacts, data)
}

func readArtefact(tx store.Tx, number uint64) (Prepared, error) {
	data, found := tx.Get(tableArtefacts, artefactKey(number))
	if !found {
		return Prepared{}, fmt.Errorf("%w: artefact %d is not there", store.ErrRow, number)
	}
	p, _, err := decodeArtefact(data)
	return p, err
}

func decodeArtefact(data []byte) (p Prepared, at time.Time, err error) {
	var row artefactRow
	if err := store.Decode(data, &row); err != nil {
		return Prepared{}, time.Time{}, err
	}
	if len(row.Keys) == 0 {
		return Prepared{}, time.Time{}, fmt.Errorf("%w: an artefact without keys", store.ErrRow)
	}
	p = Prepared{Keys: row.Keys, Instant: row.Instant, MessageID: row.MessageID, Certificate: row.Certificate,
		CMS: row.CMS, Digest: row.Digest, Data: row.Data}
	if row.To != "" {
		if p.To, err = pec.ParseAddress(row.To); err != nil {
			return Prepared{}, time.Time{}, fmt.Errorf("%w: %w", store.ErrRow, err)
		}
	}
	return p, row.At, nil
}

// Unfinished is an artefact that was prepared, and is not known to have arrived.
type Unfinished struct {
	Prepared
	// Since is when it was prepared.
	Since time.Time
}

// Identifier is the identifier of the message that the effects are for.
func (u Unfinished) Identifier() string { return u.Keys[0].Identifier }

// Sentence says in English what is unfinished, for an audit.
func (u Unfinished) Sentence() string {
	var whom []string
	for _, key := range u.Keys {
		if key.Recipient != "" {
			whom = append(whom, key.Recipient)
		}
	}
	what := "The " + u.Keys[0].Effect
	if len(whom) > 0 {
		what += " for " + strings.Join(whom, ", ")
	}
	return fmt.Sprintf("%s was prepared at %s and is not known to have arrived.", what, u.Since.UTC().Format(time.RFC3339))
}

// FindUnfinished returns what was prepared before an instant and is not done, the oldest first.
func FindUnfinished(tx store.Tx, before time.Time) ([]Unfinished, error) {
	var found []Unfinished
	err := tx.Scan(tableArtefacts, nil, func(_, data []byte) error {
		p, at, err := decodeArtefact(data)
		if err == nil && at.Before(before) {
			found = append(found, Unfinished{Prepared: p, Since: at})
		}
		return err
	})
	return found, err
}

// digests hands on the digests under which a signer and an identifier have rows, and the first instant of each row.
func digests(tx store.Tx, key Key, fn func(digest [32]byte, first time.Time)) error {
	prefix := key.message()
	return tx.Scan(tableKeys, prefix, func(name, data []byte) error {
		var row keyRow
		if err := store.Decode(data, &row); err != nil {
			return err
		}
		digest := [32]byte{}
		if rest := bytes.TrimPrefix(name, prefix); copy(digest[:], rest) < len(digest) {
			return fmt.Errorf("%w: short key", store.ErrRow)
		}
		fn(digest, row.First)
		return nil
	})
}
