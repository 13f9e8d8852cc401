package mailbox

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ceralacca/ceralacca/pec"
)

// State is what a mail system says of an address. Its zero value is Unknown.
type State int

// The states.
const (
	Unknown  State = iota // no mailbox and no alias
	Known                 // a mailbox that takes mail
	Disabled              // a mailbox that exists and takes no mail
)

// String is the state in English, for logs.
func (s State) String() string {
	switch s {
	case Known:
		return "known"
	case Disabled:
		return "disabled"
	}
	return "unknown"
}

// Box is one mailbox and its state, never Unknown.
type Box struct {
	Address pec.Address
	State   State
}

// Result is what an address comes to. State is Known when one of Boxes is, else Disabled when one of them is.
type Result struct {
	State State
	Boxes []Box
}

// Limits on what an alias may expand to; beyond them the answer is an error, never a part of the mailboxes.
const (
	maxDepth = 10
	maxBoxes = 1000
)

const (
	userTimeout  = 10 * time.Second
	aliasTimeout = 10 * time.Second
)

// Options say where to ask.
type Options struct {
	// UserDB is the path of Dovecot's auth-userdb socket.
	UserDB string
	// Maps are alias maps of Postfix, "type:path", asked in order for what Dovecot does not know. May be empty.
	Maps []string
	// Postmap is the program that reads them; empty means postmap, found through PATH.
	Postmap string
	// IMAP is where Holds looks.
	IMAP IMAP
}

// Mailboxes answers questions about mailboxes. It is immutable and safe for concurrent use.
type Mailboxes struct{ o Options }

// New returns a Mailboxes. It opens nothing: each question makes a connection of its own, so that a restart of Dovecot
// is not noticed.
func New(o Options) *Mailboxes {
	if o.Postmap == "" {
		o.Postmap = "postmap"
	}
	return &Mailboxes{o: o}
}

// Lookup says what an address comes to; that of a subaddress is its mailbox. Every error is temporary: nothing is known of the address.
func (m *Mailboxes) Lookup(ctx context.Context, a pec.Address) (Result, error) {
	w := walk{m: m, seen: make(map[pec.Address]bool)}
	if err := w.visit(ctx, a, 0); err != nil {
		return Result{}, fmt.Errorf("mailbox: %q: %w", a, err)
	}
	return Result{State: best(w.boxes), Boxes: w.boxes}, nil
}

func best(boxes []Box) State {
	state := Unknown
	for _, b := range boxes {
		if b.State == Known {
			return Known
		}
		state = b.State
	}
	return state
}

// walk follows aliases, each address once.
type walk struct {
	m     *Mailboxes
	seen  map[pec.Address]bool
	boxes []Box
}

func (w *walk) visit(ctx context.Context, a pec.Address, depth int) error {
	if w.seen[a.Fold()] {
		return nil
	}
	w.seen[a.Fold()] = true
	if depth > maxDepth || len(w.seen) > maxBoxes {
		return errors.New("the alias expands without end")
	}
	state, err := w.m.user(ctx, a)
	if err != nil {
		return err
	}
	if state != Unknown {
		w.boxes = append(w.boxes, Box{Address: a, State: state})
		return nil
	}
	targets, err := w.m.alias(ctx, a)
	if err != nil {
		return err
	}
	if len(targets) == 0 { // Dovecot's userdb knows nothing of details, only its LMTP does
		targets = append(targets, a.WithoutDetail())
	}
	for _, t := range targets {
		if err := w.visit(ctx, t, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// account is the name under which Dovecot knows the mailbox of an address: without the detail, if it does not know it
// with.
func (m *Mailboxes) account(ctx context.Context, a pec.Address) (pec.Address, error) {
	base := a.WithoutDetail()
	if base == a {
		return a, nil
	}
	if state, err := m.user(ctx, a); err != nil || state != Unknown {
		return a, err
	}
	return base, nil
}

// parseTargets reads the right side of an alias map: addresses with commas or spaces between them. A target that is no
// plain address cannot be a mailbox of ours and is an error: a part of an alias must not pass for the whole.
func parseTargets(value string) ([]pec.Address, error) {
	var out []pec.Address
	for _, word := range strings.FieldsFunc(value, func(r rune) bool { return strings.ContainsRune(", \t\r\n", r) }) {
		a, err := pec.ParseAddress(word)
		if err != nil {
			return nil, fmt.Errorf("alias target %.100q: %w", word, err)
		}
		out = append(out, a)
	}
	return out, nil
}
