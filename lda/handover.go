package lda

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/ceralacca/ceralacca/internal/ledger"
	"github.com/ceralacca/ceralacca/internal/mailbox"
	"github.com/ceralacca/ceralacca/internal/metrics"
	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/internal/tracking"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/policy"
	"github.com/ceralacca/ceralacca/signer"
)

// parcel is a message that is handed over. write may run more than once and writes the same each time.
type parcel struct {
	from       string // of the envelope, "" is the null sender
	to         pec.Address
	box        *mailbox.Box // the one mailbox that it goes into, when to has been expanded; nil is all that to comes to
	envelopeID string
	about      pec.Identifier // of the message that a notification is about
	kind       pec.Kind
	messageID  string   // with angle brackets
	digest     [32]byte // of the signed part
	write      func(io.Writer) error
	search     bool // look into the mailbox first
	again      bool // the same, and what is not found there is said to be a possible duplicate
}

// refusal is a permanent answer of Dovecot: the mailbox does not take this message, now or later.
type refusal struct{ policy.Attempt }

func (r *refusal) Error() string {
	return fmt.Sprintf("the mailbox refuses: %d %s %.200q", r.Code, r.Enhanced, r.Text)
}

// wholeOf writes a sealed message.
func wholeOf(s *signer.Sealed) func(io.Writer) error {
	return func(w io.Writer) error {
		b := bufio.NewWriter(w) // for the header; the body comes in large pieces, which go past it
		if _, err := s.Header().WriteTo(b); err != nil {
			return err
		}
		if _, err := b.WriteString("\r\n"); err != nil {
			return err
		}
		if err := s.WriteBody(b); err != nil {
			return err
		}
		return b.Flush()
	}
}

// handOver gives a notification to its addressee: into the mailbox when it is one of ours, else through the outbound
// instance, which has it safely when it says so. A mailbox that cannot take it does not fail the transaction: the
// notification is put aside, and the row that is returned MUST be written with what ends the effect. Every error is
// temporary.
func (w *work) handOver(ctx context.Context, p parcel) (*tracking.Due, error) {
	if !w.live.local(p.to) {
		return nil, w.agent.send(ctx, p)
	}
	return w.orAside(ctx, p, w.intoMailboxes(ctx, p))
}

// orAside puts a message aside when the error says that a mailbox refused it.
func (w *work) orAside(ctx context.Context, p parcel, err error) (*tracking.Due, error) {
	refused, ok := errors.AsType[*refusal](err)
	if !ok {
		return nil, err
	}
	return w.putAside(ctx, p, refused)
}

// boxesOf are the mailboxes that a message goes into. What has been expanded is not expanded again: an alias that keeps a
// copy in a mailbox of its own name would lead to the others once more.
func (w *work) boxesOf(ctx context.Context, p parcel) (mailbox.Result, error) {
	if p.box != nil {
		return mailbox.Result{State: p.box.State, Boxes: []mailbox.Box{*p.box}}, nil
	}
	return w.live.mailboxes.Lookup(ctx, p.to)
}

// intoMailboxes puts a message into its one mailbox, or into every mailbox that an address of ours comes to. A refusal is
// returned only when none took it.
func (w *work) intoMailboxes(ctx context.Context, p parcel) error {
	found, err := w.boxesOf(ctx, p)
	if err != nil && p.again {
		return fmt.Errorf("%w: %w", errUncertain, err)
	}
	if err != nil {
		return err
	}
	taken, last := false, refusedBy(found.State)
	for _, box := range found.Boxes {
		if box.State != mailbox.Known {
			continue
		}
		one := p
		one.to = box.To
		err := w.intoMailbox(ctx, one)
		refused, isRefusal := errors.AsType[*refusal](err)
		switch {
		case isRefusal:
			last = refused
		case err != nil && taken:
			return fmt.Errorf("%w: %w", errUncertain, err) // in the boxes before this one
		case err != nil:
			return err
		default:
			taken = true
		}
	}
	if taken {
		return nil
	}
	return last
}

// refusedBy is what a state of an address says to mail, for those that are not known.
func refusedBy(s mailbox.State) *refusal {
	if s == mailbox.Disabled {
		return &refusal{policy.Attempt{Code: 550, Enhanced: "5.2.1", Text: "disabled in the userdb"}}
	}
	return &refusal{policy.Attempt{Code: 550, Enhanced: "5.1.1", Text: "not in the userdb"}}
}

// intoMailbox puts a message into one mailbox, once: when an earlier run may have done it the mailbox is searched
// first. Errors are *refusal or temporary.
func (w *work) intoMailbox(ctx context.Context, p parcel) error {
	if p.again || p.search {
		there, err := w.isThere(ctx, p)
		if err != nil {
			return fmt.Errorf("%w: %w", errUncertain, err)
		}
		if there {
			w.log.InfoContext(ctx, "an earlier run delivered it", "to", p.to.String(), "message_id", p.messageID)
			return nil
		}
	}
	if p.again {
		if err := w.possibleDuplicate(ctx, p); err != nil {
			return err
		}
	}
	return w.agent.lmtp(ctx, p)
}

// possibleDuplicate says in the log that a hand-over of unknown outcome is repeated.
func (w *work) possibleDuplicate(ctx context.Context, p parcel) error {
	w.log.WarnContext(ctx, "possible duplicate", "to", p.to.String(), "message_id", p.messageID)
	w.agent.o.Metrics.Count(metrics.Repeats, string(p.kind))
	return w.append(ctx, ledger.Record{
		Identifier: p.about, Event: ledger.EventPossibleDuplicate, Kind: p.kind, Covered: []pec.Address{p.to},
		Related: []string{p.messageID}, Detail: "handed over again to " + p.to.String(),
	})
}

// append writes a record that belongs to no effect, as of now. What has no identifier has that of the transaction.
func (w *work) append(ctx context.Context, r ledger.Record) error {
	r.Time, r.QueueID = w.agent.now(), w.queueID
	if r.Identifier == "" {
		r.Identifier = pec.Identifier(w.id)
	}
	return w.agent.o.Store.Update(ctx, func(tx store.Tx) error {
		if len(r.Recipients) == 0 {
			if err := complete(tx, &r); err != nil {
				return err
			}
		}
		return ledger.Append(tx, r)
	})
}

// isThere looks for a parcel in its mailbox. What has no Message-ID cannot be looked up. An address without a mailbox holds
// nothing: Dovecot lets nobody look into it, which would be waited for in vain.
func (w *work) isThere(ctx context.Context, p parcel) (bool, error) {
	if p.messageID == "" {
		return false, nil
	}
	found, err := w.live.mailboxes.Lookup(ctx, p.to)
	if err != nil || found.State == mailbox.Unknown {
		return false, err
	}
	return w.live.mailboxes.Holds(ctx, p.to, p.messageID, sameAs(p.digest))
}

// sameAs compares signed parts: what a mailbox holds has fields of Dovecot's above ours.
func sameAs(digest [32]byte) mailbox.Match {
	return func(src pec.Source) (bool, error) {
		opened, err := signer.Open(src)
		if err != nil {
			return false, nil // another message of that Message-ID
		}
		return opened.Digest == digest, nil
	}
}
