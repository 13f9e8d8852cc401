package lda

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ceralacca/ceralacca/internal/effect"
	"github.com/ceralacca/ceralacca/internal/ledger"
	"github.com/ceralacca/ceralacca/internal/mailbox"
	"github.com/ceralacca/ceralacca/internal/metrics"
	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/policy"
)

// tableExpansions keeps what mailboxes each alias came to when a message was first presented: its one outcome is about
// those, however often the alias changes before it.
const tableExpansions = "lda.expansion"

// expansion is what a certified recipient comes to: one of targets, refused and err is set.
type expansion struct {
	targets []target
	alias   bool
	refused *refusal  // as a whole and for good: nothing is put into any mailbox
	err     error     // not known now
	first   time.Time // first presentation
	// uncertain says that a mailbox may have it; set with err.
	uncertain bool
}

// target is one mailbox.
type target struct {
	Box pec.Address
	To  pec.Address // the address to write to it: a subaddress of it, or Box
	// takes says that the mailbox has just been asked for, and takes mail as far as Dovecot's userdb knows.
	takes bool
}

// expansionRow is a row of the table.
type expansionRow struct {
	First time.Time  `json:"first"`
	Boxes []rowOfBox `json:"boxes"`
}

type rowOfBox struct {
	Box string `json:"box"`
	To  string `json:"to"`
}

// errOutside says that an alias leads out of the provider's certified domains. [C012]
var errOutside = errors.New("the alias leads to an address that is in no certified domain of ours")

// expand says what mailboxes a certified recipient stands for. Postfix expands no address of a certified domain: whoever
// did it there would send an envelope on to where no receipt could follow.
func (j *job) expand(ctx context.Context, certified pec.Address) *expansion {
	e, err := j.expansionOf(ctx, certified)
	if err != nil {
		return j.unexpanded(ctx, certified, err)
	}
	return e
}

// unexpanded is a recipient of whom nothing is known now. Its time runs, and when an earlier run may have put the message
// into its mailbox that is not forgotten. [C102]
func (j *job) unexpanded(ctx context.Context, certified pec.Address, err error) *expansion {
	e := &expansion{err: err, first: j.agent.o.Clock.Now()}
	keys := slices.Compact([]effect.Key{j.key(effectDelivery, certified), j.key(effectDelivery, certified.WithoutDetail())})
	claim, failed := j.agent.o.Register.Claim(ctx, keys)
	if failed != nil {
		j.log.WarnContext(ctx, "a first presentation was not noted", "recipient", certified.String(), "error", failed)
		return e
	}
	defer release(ctx, claim)
	for _, k := range keys {
		if first := claim.First(k); first.Before(e.first) {
			e.first = first
		}
		e.uncertain = e.uncertain || claim.IsPrepared(k)
	}
	return e
}

func (j *job) expansionOf(ctx context.Context, certified pec.Address) (*expansion, error) {
	e, err := j.storedExpansion(ctx, certified)
	if err != nil || e != nil {
		return e, err
	}
	first, began, err := j.began(ctx, certified)
	if err != nil {
		return nil, err
	}
	if began || j.live.isService(certified) { // the latter is for [job.takes] to refuse
		return single(certified, first), nil
	}
	found, err := j.live.mailboxes.Lookup(ctx, certified)
	switch {
	case err != nil:
		return nil, err
	case found.Alias:
		return j.expandAlias(ctx, certified, found, first)
	case len(found.Boxes) == 0:
		return single(certified, first), nil // unknown, which is for Dovecot's LMTP to say
	}
	box := found.Boxes[0]
	e = single(box.Address, first)
	e.targets[0].To, e.targets[0].takes = box.To, box.State == mailbox.Known
	return e, nil
}

// began says when a recipient was first presented, and whether an earlier run put, or may have put, the message into the
// mailbox of its name: then that mailbox is its one, whatever the maps say since.
func (j *job) began(ctx context.Context, certified pec.Address) (first time.Time, began bool, err error) {
	key := j.key(effectDelivery, certified)
	claim, err := j.claim(ctx, []effect.Key{key})
	if err != nil {
		return first, false, err
	}
	defer claim.Forget()
	return claim.First(key), len(claim.Finished) > 0 || claim.IsPrepared(key), nil
}

func single(a pec.Address, first time.Time) *expansion {
	return &expansion{targets: []target{{Box: a, To: a}}, first: first}
}

// expandAlias fixes what an alias comes to, before the first mailbox gets anything. When it cannot come to its end,
// because it leads outside or to a mailbox that takes nothing, no mailbox gets anything.
func (j *job) expandAlias(ctx context.Context, certified pec.Address, found mailbox.Result, first time.Time) (*expansion, error) {
	e := &expansion{alias: true, first: first}
	if e.refused = j.refusedAlias(ctx, certified, found); e.refused != nil {
		return e, nil
	}
	for _, b := range found.Boxes {
		e.targets = append(e.targets, target{Box: b.Address, To: b.To, takes: true})
	}
	return e, j.storeExpansion(ctx, certified, e)
}

// refusedAlias is what keeps an alias from being delivered as a whole, nil when nothing does.
func (j *job) refusedAlias(ctx context.Context, certified pec.Address, found mailbox.Result) *refusal {
	if len(found.Outside) > 0 {
		j.outside(ctx, certified, found.Outside)
		return &refusal{policy.Attempt{Code: 550, Enhanced: "5.7.1", Text: errOutside.Error()}}
	}
	for _, b := range found.Boxes {
		switch {
		case j.live.isService(b.Address): // [C184]
			return refusedBy(mailbox.Disabled)
		case b.State != mailbox.Known:
			j.log.WarnContext(ctx, "an alias leads to a mailbox that takes nothing", "recipient", certified.String(),
				"mailbox", b.Address.String(), "state", b.State.String())
			return refusedBy(b.State)
		}
	}
	return nil
}

// outside raises the alarm about an alias that leads outside: the operator must take that target out.
func (w *work) outside(ctx context.Context, alias pec.Address, where []pec.Address) {
	w.log.ErrorContext(ctx, "an alias of a certified domain leads outside", "alarm", true, "recipient", alias.String(),
		"outside", strings.Join(texts(where), ", "))
	w.agent.o.Metrics.Count(metrics.Alarms, "alias")
}

// storeExpansion writes the mailboxes of an alias, and says in the log which they are.
func (j *job) storeExpansion(ctx context.Context, certified pec.Address, e *expansion) error {
	row := expansionRow{First: e.first}
	r := j.event(ledger.EventExpansion, j.agent.now())
	r.Covered = []pec.Address{certified}
	for _, t := range e.targets {
		row.Boxes = append(row.Boxes, rowOfBox{t.Box.String(), t.To.String()})
		r.Mailboxes = append(r.Mailboxes, t.Box)
	}
	return j.agent.o.Store.Update(ctx, func(tx store.Tx) error {
		return errors.Join(tx.Put(tableExpansions, j.expansionKey(certified), encode(row)), ledger.Append(tx, r))
	})
}

func (j *job) expansionKey(certified pec.Address) []byte {
	return rowOf(j.key(effectDelivery, certified))
}

// storedExpansion is what an earlier presentation fixed, nil when none did.
func (j *job) storedExpansion(ctx context.Context, certified pec.Address) (*expansion, error) {
	var row expansionRow
	found := false
	err := j.agent.o.Store.View(ctx, func(tx store.Tx) error {
		var value []byte
		if value, found = tx.Get(tableExpansions, j.expansionKey(certified)); !found {
			return nil
		}
		return decode(value, &row)
	})
	if err != nil || !found {
		return nil, err
	}
	e := &expansion{alias: true, first: row.First}
	for _, b := range row.Boxes {
		box, err := pec.ParseAddress(b.Box)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", store.ErrRow, err)
		}
		to, err := pec.ParseAddress(b.To)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", store.ErrRow, err)
		}
		e.targets = append(e.targets, target{Box: box, To: to})
	}
	return e, nil
}

// presentedAs asks that Postfix presents a recipient as it was written, or a mailbox that it stands for. Else Postfix
// expands aliases that we do not know, and what it made of them can be neither all nor delivered.
func (j *job) presentedAs(e *expansion, certified pec.Address) error {
	if e.err != nil || e.refused != nil {
		return nil
	}
	for _, i := range j.placesOf(certified) {
		got := j.recipients[i].address
		known := got.Fold() == certified.Fold()
		for _, t := range e.targets {
			known = known || got.Fold() == t.Box.Fold() || got.Fold() == t.To.Fold()
		}
		if !known {
			err := fmt.Errorf("%s was presented for %s", got, certified)
			j.log.Error("Postfix expands an alias of a certified domain, which is the agent's to do: see deploy/postfix/README.md",
				"alarm", true, "error", err)
			j.agent.o.Metrics.Count(metrics.Alarms, "alias")
			return fail("expand", j.record.Identifier, pec.ErrorTemporary, err)
		}
	}
	return nil
}
