package mailbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
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

// Box is one mailbox. Its state is Unknown only for what an alias leads to and nobody has.
type Box struct {
	// Address is the mailbox.
	Address pec.Address
	// To is the address to write to it: Address, or a subaddress of it.
	To    pec.Address
	State State
}

// Result is what an address comes to. State is Known when one of Boxes is, else Disabled when one of them is.
type Result struct {
	State State
	// Alias says that the maps have it: Boxes, each once, and Outside are all that it leads to. Otherwise it has at most
	// one box, its own.
	Alias bool
	Boxes []Box
	// Outside are the addresses in no domain of ours that the alias leads to.
	Outside []pec.Address
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
	// Maps are alias maps in the form of Postfix's virtual_alias_maps, "type:path", asked in order. May be empty.
	Maps []string
	// Domains are the certified domains of this provider, in lower case: whatever an alias leads to elsewhere is outside.
	Domains []string
	// Postmap is the program that reads them; empty means postmap, found through PATH.
	Postmap string
	// IMAP is where Holds looks.
	IMAP IMAP
}

// Mailboxes answers questions about mailboxes. It is safe for concurrent use.
type Mailboxes struct {
	o      Options
	tables []*table
}

// New returns a Mailboxes. It opens nothing: each question makes a connection of its own, so that a restart of Dovecot
// is not noticed.
func New(o Options) *Mailboxes {
	if o.Postmap == "" {
		o.Postmap = "postmap"
	}
	m := &Mailboxes{o: o}
	for _, spec := range o.Maps {
		m.tables = append(m.tables, &table{spec: spec})
	}
	return m
}

// Lookup says what an address comes to; that of a subaddress is its mailbox. An entry of the maps comes before a mailbox
// of the same name, as in Postfix; one for a whole domain comes after it. An alias that leads back to itself leads to the
// mailbox of its name. Every error is temporary: nothing is known of the address.
func (m *Mailboxes) Lookup(ctx context.Context, a pec.Address) (Result, error) {
	w := walk{m: m, seen: map[pec.Address]bool{}, open: map[pec.Address]bool{}, asked: map[pec.Address]Box{}}
	if err := w.visit(ctx, a, 0); err != nil {
		return Result{}, fmt.Errorf("mailbox: %q: %w", a, err)
	}
	w.found.State = best(w.found.Boxes)
	return w.found, nil
}

func best(boxes []Box) State {
	state := Unknown
	for _, b := range boxes {
		switch b.State {
		case Known:
			return Known
		case Disabled:
			state = Disabled
		}
	}
	return state
}

// walk follows aliases, each address once.
type walk struct {
	m     *Mailboxes
	seen  map[pec.Address]bool
	open  map[pec.Address]bool // the addresses on the way here
	asked map[pec.Address]Box
	found Result
}

func (w *walk) visit(ctx context.Context, a pec.Address, depth int) error {
	key := a.Fold()
	switch {
	case w.open[key]: // it leads to itself
		return w.end(ctx, a, true)
	case w.seen[key]:
		return nil
	case depth > maxDepth || len(w.seen) >= maxBoxes:
		return errors.New("the alias expands without end")
	}
	w.seen[key], w.open[key] = true, true
	defer delete(w.open, key)
	targets, err := w.expand(ctx, a)
	if err != nil {
		return err
	}
	if len(targets) == 0 {
		return w.end(ctx, a, depth > 0)
	}
	w.found.Alias = true
	for _, t := range targets {
		if !slices.Contains(w.m.o.Domains, t.Domain()) {
			w.outside(t)
			continue
		}
		if err := w.visit(ctx, t, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// expand finds the entry of an address in the maps, nothing for a mailbox. The detail of a subaddress goes on to the
// targets of its alias, as in Postfix.
func (w *walk) expand(ctx context.Context, a pec.Address) ([]pec.Address, error) {
	targets, err := w.m.alias(ctx, a)
	if err != nil || len(targets) > 0 || len(w.m.tables) == 0 {
		return targets, err
	}
	if base := a.WithoutDetail(); base != a {
		if targets, err = w.m.alias(ctx, base); err != nil || len(targets) > 0 {
			return withDetailOf(a, targets), err
		}
	}
	if own, err := w.own(ctx, a); err != nil || own.State != Unknown {
		return nil, err
	}
	return w.m.catchAll(ctx, a)
}

// withDetailOf gives the targets of an alias the detail of a, unless they have one.
func withDetailOf(a pec.Address, targets []pec.Address) []pec.Address {
	detail := strings.TrimPrefix(a.Local(), a.WithoutDetail().Local())
	for i, t := range targets {
		if t.WithoutDetail() != t {
			continue
		}
		if detailed, err := pec.ParseAddress(t.Local() + detail + "@" + t.Domain()); err == nil { // else it is too long: without
			targets[i] = detailed
		}
	}
	return targets
}

// end adds the mailbox of an address. One that nobody has is added too when an alias leads there.
func (w *walk) end(ctx context.Context, a pec.Address, always bool) error {
	own, err := w.own(ctx, a)
	if err != nil || own.State == Unknown && !always {
		return err
	}
	is := func(b Box) bool { return b.Address.Fold() == own.Address.Fold() }
	if !slices.ContainsFunc(w.found.Boxes, is) {
		w.found.Boxes = append(w.found.Boxes, own)
	}
	return nil
}

// own asks Dovecot, once, for the mailbox of an address.
func (w *walk) own(ctx context.Context, a pec.Address) (Box, error) {
	if box, asked := w.asked[a]; asked {
		return box, nil
	}
	box := Box{Address: a, To: a}
	var err error
	for _, box.Address = range slices.Compact([]pec.Address{a, a.WithoutDetail()}) {
		if box.State, err = w.m.user(ctx, box.Address); err != nil {
			return Box{}, err
		}
		if box.State != Unknown {
			break
		}
	}
	w.asked[a] = box
	return box, nil
}

func (w *walk) outside(a pec.Address) {
	if !slices.ContainsFunc(w.found.Outside, func(o pec.Address) bool { return o.Fold() == a.Fold() }) {
		w.found.Outside = append(w.found.Outside, a)
	}
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
