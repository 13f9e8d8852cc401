package tracking

import (
	"errors"
	"fmt"
	"time"

	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/pec"
)

// ErrFact says that a fact lacks its sending provider, identifier, recipient, instant or kind.
var ErrFact = errors.New("tracking: incomplete fact")

// FactKind says what is known of a recipient. The values are stable.
type FactKind string

// The kinds of fact. The last two are final.
const (
	Taken        FactKind = "taken"
	Delivered    FactKind = "delivered"
	NotDelivered FactKind = "not-delivered"
)

// Fact is what somebody certified about a message and one of its recipients.
type Fact struct {
	// Sender is the name of the provider that sent the message: another may use the same identifier for one of its own.
	Sender     string
	Identifier pec.Identifier
	Recipient  pec.Address
	Kind       FactKind
	// Time is the instant of the artefact that says so.
	Time time.Time
	// Provider is who says so.
	Provider string
	// From is the sender that the artefact names, folded; empty in what we say ourselves.
	From string
	// MessageID is that of the artefact, with brackets.
	MessageID string
}

// State is what is known of a recipient; nil is what is not known.
type State struct {
	Taken *Fact
	// Final is a fact of the kind [Delivered] or [NotDelivered].
	Final *Fact
}

const tableFacts = "tracking.fact"

// factJSON is a fact in its row, where the key says whom it is about.
type factJSON struct {
	Kind      FactKind  `json:"kind"`
	Time      time.Time `json:"time"`
	Provider  string    `json:"provider,omitempty"`
	From      string    `json:"from,omitempty"`
	MessageID string    `json:"message_id,omitempty"`
}

type stateJSON struct {
	Taken *factJSON `json:"taken,omitempty"`
	Final *factJSON `json:"final,omitempty"`
	// Others name another sender than those above: which of them sent the message is known when it is accepted.
	Others []*factJSON `json:"others,omitempty"`
}

// maxOthers bounds them: each is a signed artefact of a provider that invents senders.
const maxOthers = 8

// Record adds a fact. The first of a sort stands: when a final fact of the other kind is there already, it is returned,
// nothing is changed, and the caller logs and alarms. What says the same again is no contradiction.
func Record(tx store.Tx, f Fact) (contradicts *Fact, err error) {
	if f.Sender == "" || f.Identifier == "" || f.Recipient.IsZero() || f.Time.IsZero() {
		return nil, fmt.Errorf("%w: %q about %q", ErrFact, f.Kind, f.Identifier)
	}
	key := factKey(f.Sender, f.Identifier, f.Recipient)
	state, err := readState(tx, key)
	if err != nil {
		return nil, err
	}
	place := state.place(f.Kind)
	if place == nil {
		return nil, fmt.Errorf("%w: kind %q", ErrFact, f.Kind)
	}
	row := &factJSON{Kind: f.Kind, Time: f.Time, Provider: f.Provider, From: f.From, MessageID: f.MessageID}
	switch old := *place; {
	case old == nil:
		*place = row
	case old.From != "" && f.From != "" && old.From != f.From:
		if len(state.Others) == maxOthers {
			return nil, nil
		}
		state.Others = append(state.Others, row)
	case old.Kind == f.Kind:
		return nil, nil
	default:
		return old.fact(f.Sender, f.Identifier, f.Recipient), nil
	}
	return nil, state.put(tx, key)
}

// place is where a fact of a kind stands, nil for none.
func (s *stateJSON) place(kind FactKind) **factJSON {
	switch kind {
	case Taken:
		return &s.Taken
	case Delivered, NotDelivered:
		return &s.Final
	}
	return nil
}

func (s *stateJSON) put(tx store.Tx, key []byte) error {
	data, err := store.Encode(s)
	if err != nil {
		return err
	}
	return tx.Put(tableFacts, key, data)
}

// Outcome returns what is known of a recipient of a message of the provider sender; the zero state when nothing is.
func Outcome(tx store.Tx, sender string, id pec.Identifier, recipient pec.Address) (State, error) {
	state, err := readState(tx, factKey(sender, id, recipient))
	if err != nil {
		return State{}, err
	}
	return State{Taken: state.Taken.fact(sender, id, recipient), Final: state.Final.fact(sender, id, recipient)}, nil
}

// Disown drops the facts about the certified recipients of a submission that came before it and name another sender: they
// are about no message that was sent. It returns them.
func (s Submission) Disown(tx store.Tx, sender string) (dropped []Fact, err error) {
	recipients, err := s.Certified(tx, sender)
	if err != nil {
		return nil, err
	}
	for _, r := range recipients {
		key := factKey(sender, s.Identifier, r.Address)
		state, err := readState(tx, key)
		if err != nil {
			return nil, err
		}
		others := state.disown(s.Sender.Fold().String())
		if len(others) == 0 {
			continue
		}
		for _, f := range others {
			dropped = append(dropped, *f.fact(sender, s.Identifier, r.Address))
		}
		if err := state.put(tx, key); err != nil {
			return nil, err
		}
	}
	return dropped, nil
}

// disown leaves what names a sender, or none, and returns the rest.
func (s *stateJSON) disown(from string) (others []*factJSON) {
	all := append([]*factJSON{s.Taken, s.Final}, s.Others...)
	*s = stateJSON{}
	for _, f := range all {
		switch {
		case f == nil:
		case f.From != "" && f.From != from:
			others = append(others, f)
		default:
			if place := s.place(f.Kind); *place == nil {
				*place = f
			}
		}
	}
	return others
}

func (f *factJSON) fact(sender string, id pec.Identifier, recipient pec.Address) *Fact {
	if f == nil {
		return nil
	}
	return &Fact{
		Sender: sender, Identifier: id, Recipient: recipient, Kind: f.Kind, Time: f.Time, Provider: f.Provider, From: f.From,
		MessageID: f.MessageID,
	}
}

func readState(tx store.Tx, key []byte) (state stateJSON, err error) {
	data, found := tx.Get(tableFacts, key)
	if !found {
		return stateJSON{}, nil
	}
	return state, store.Decode(data, &state)
}

func factKey(sender string, id pec.Identifier, recipient pec.Address) []byte {
	return []byte(sender + "\x00" + string(id) + "\x00" + recipient.Fold().String())
}
