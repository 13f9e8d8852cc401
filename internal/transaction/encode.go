package transaction

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ceralacca/ceralacca/pec"
)

// layout is a Record as it is written. Names are short because it is repeated in every queue file.
type layout struct {
	Version    int       `json:"v"`
	Point      Point     `json:"point"`
	Verdict    Verdict   `json:"verdict"`
	Reason     string    `json:"reason,omitempty"`
	Detail     string    `json:"detail,omitempty"`
	ID         string    `json:"id"`
	Identifier string    `json:"ident,omitempty"`
	Instant    time.Time `json:"at"`
	Sender     string    `json:"from"`
	Recipients []string  `json:"to"`
	Types      []string  `json:"types,omitempty"`
	Signer     string    `json:"signer,omitempty"`
	SignerCert string    `json:"cert,omitempty"`
	Kind       pec.Kind  `json:"kind,omitempty"`
	Login      string    `json:"login,omitempty"`
	Client     string    `json:"client,omitempty"`
	Digest     string    `json:"digest"`
	Subject    *string   `json:"subject,omitempty"`
	MessageID  string    `json:"msgid,omitempty"`
	Scan       *Scan     `json:"scan,omitempty"`
}

func encode(r *Record) ([]byte, error) {
	l := layout{
		Version: Version, Point: r.Point, Verdict: r.Verdict, Reason: r.Reason, Detail: r.Detail,
		ID: r.ID, Identifier: string(r.Identifier), Instant: r.Instant.UTC(), Sender: r.Sender.String(),
		Signer: r.Signer, Kind: r.Kind, Login: r.Login, Client: r.Client,
		Digest: hex.EncodeToString(r.Digest[:]), MessageID: r.MessageID,
	}
	for _, recipient := range r.Recipients {
		l.Recipients = append(l.Recipients, recipient.String())
	}
	for _, kind := range r.Types {
		l.Types = append(l.Types, string(kind))
	}
	if r.SignerCert != [32]byte{} {
		l.SignerCert = hex.EncodeToString(r.SignerCert[:])
	}
	if r.HasSubject || r.Subject != "" {
		l.Subject = &r.Subject
	}
	if r.Scan != (Scan{}) {
		l.Scan = &r.Scan
	}
	return json.Marshal(l)
}

// decode reads what a genuine milter wrote: it finds faults of ours, it does not defend.
func decode(text []byte) (*Record, error) {
	var head struct {
		Version int `json:"v"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return nil, err
	}
	if head.Version != Version {
		return nil, fmt.Errorf("%w: %d, this is %d", ErrVersion, head.Version, Version)
	}
	var l layout
	if err := json.Unmarshal(text, &l); err != nil {
		return nil, err
	}
	r, err := l.record()
	if err != nil {
		return nil, err
	}
	return r, r.check()
}

func (l *layout) record() (*Record, error) {
	r := &Record{
		Version: l.Version, Point: l.Point, Verdict: l.Verdict, Reason: l.Reason, Detail: l.Detail,
		ID: l.ID, Identifier: pec.Identifier(l.Identifier), Instant: l.Instant,
		Signer: l.Signer, Kind: l.Kind, Login: l.Login, Client: l.Client, MessageID: l.MessageID,
	}
	sender, err := parseSender(l.Sender)
	r.Sender = sender
	for _, text := range l.Recipients {
		recipient, wrong := pec.ParseAddress(text)
		r.Recipients, err = append(r.Recipients, recipient), errors.Join(err, wrong)
	}
	for _, kind := range l.Types {
		r.Types = append(r.Types, pec.RecipientType(kind))
	}
	if l.Subject != nil {
		r.Subject, r.HasSubject = *l.Subject, true
	}
	if l.Scan != nil {
		r.Scan = *l.Scan
	}
	err = errors.Join(err, parseHash(&r.Digest, l.Digest))
	if l.SignerCert != "" {
		err = errors.Join(err, parseHash(&r.SignerCert, l.SignerCert))
	}
	return r, err
}

func parseSender(text string) (pec.Address, error) {
	if text == "" {
		return pec.Address{}, nil
	}
	return pec.ParseAddress(text)
}

func parseHash(hash *[32]byte, text string) error {
	if len(text) != hex.EncodedLen(len(hash)) {
		return fmt.Errorf("transaction: a digest of %d characters", len(text))
	}
	_, err := hex.Decode(hash[:], []byte(text))
	return err
}
