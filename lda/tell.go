package lda

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ceralacca/ceralacca/internal/effect"
	"github.com/ceralacca/ceralacca/internal/ledger"
	"github.com/ceralacca/ceralacca/internal/metrics"
	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/internal/tracking"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/pec/compose"
	"github.com/ceralacca/ceralacca/policy"
)

// history is what the store knows of one recipient of a message of ours, when a virus notice speaks of it.
type history struct {
	acceptance *ledger.Record // nil when we have none
	final      *tracking.Fact // what became of the recipient
	notices    []string       // the virus notices that spoke of it, by Message-ID
}

// history reads it.
func (j *job) history(ctx context.Context, recipient pec.Address) (h history, err error) {
	ours := j.live.config.Provider.Name
	err = j.agent.o.Store.View(ctx, func(tx store.Tx) error {
		h = history{}
		state, err := tracking.Outcome(tx, ours, j.data.Identifier, recipient)
		if err != nil {
			return err
		}
		h.final = state.Final
		return ledger.Read(tx, j.data.Identifier, func(r ledger.Record) error {
			switch {
			case r.Event == ledger.EventAcceptance && r.Provider == ours:
				h.acceptance = &r
			case r.Event == ledger.EventNotification && r.Kind == pec.KindVirusDetection && covers(r, recipient):
				h.notices = append(h.notices, r.Related...)
			}
			return nil
		})
	})
	return h, err
}

func covers(r ledger.Record, a pec.Address) bool {
	return slices.ContainsFunc(r.Covered, func(c pec.Address) bool { return c.Fold() == a.Fold() })
}

// tell sends the original sender one virus-induced non-delivery notice for the recipient of a virus notice, built from
// what that one says. It goes out only for what we accepted, and when nothing else is known to have become of it.
// [C153] [C154] [C155] [C156] [C157]
func tell(ctx context.Context, j *job) error {
	if j.data.Kind != pec.KindVirusDetection || j.data.Delivery == nil {
		return nil
	}
	if err := j.written(ctx); err != nil { // what the notice states
		return err
	}
	recipient := *j.data.Delivery
	h, err := j.history(ctx, recipient)
	if err != nil {
		return err
	}
	switch {
	case h.final != nil && !slices.Contains(h.notices, h.final.MessageID):
		if h.final.Kind == tracking.Delivered {
			return nil // written with the fact that contradicts it
		}
		return j.contradicts(ctx, recipient, string(h.final.Kind)+" by "+h.final.Provider+" is known before")
	case h.acceptance == nil:
		return j.tooEarly(ctx, recipient)
	case !accepted(h.acceptance.Sender, h.acceptance.Recipients, j.data.Sender, recipient):
		return j.contradicts(ctx, recipient, "we accepted no such message of that sender for that recipient")
	}
	digest, err := j.digestSent(ctx, j.data.Identifier)
	if err != nil {
		return err
	}
	return j.issueTold(ctx, told{
		about: j.data, recipient: recipient, virus: policy.VirusOf(j.data.Detail), digest: digest, at: j.record.Instant,
		related: j.messageID(),
	})
}

// accepted says whether a message was accepted from a sender for a certified recipient.
func accepted(from pec.Address, to []pec.Recipient, sender, recipient pec.Address) bool {
	return from.Fold() == sender.Fold() && slices.ContainsFunc(to, func(r pec.Recipient) bool {
		return r.Type == pec.Certified && r.Address.Fold() == recipient.Fold()
	})
}

// missed tells the operator what our own scanner let through. [C152]
func (j *job) missed(ctx context.Context) error {
	if j.data.Kind != pec.KindVirusDetection || j.data.Delivery == nil {
		return nil
	}
	h, err := j.history(ctx, *j.data.Delivery)
	if err != nil {
		return err
	}
	said := "nothing: no acceptance of the message is known"
	if h.acceptance != nil {
		s := h.acceptance.Scan
		said = fmt.Sprintf("%q, engine %q, signatures %q", s.Verdict, s.Engine, s.Signatures)
	}
	j.log.ErrorContext(ctx, "another provider found a virus in a message of ours: our own scanner missed it", "alarm", true,
		"virus", policy.VirusOf(j.data.Detail), "provider", j.provider.Name, "sender", j.data.Sender.String(),
		"recipient", j.data.Delivery.String(), "ours_said", said)
	j.agent.o.Metrics.Count(metrics.Alarms, "missed-virus")
	return nil
}

// contradicts writes down, once, that a virus notice does not agree with what is known: nobody is told anything.
func (j *job) contradicts(ctx context.Context, recipient pec.Address, why string) error {
	r := j.event(ledger.EventContradiction, j.record.Instant)
	r.Covered, r.Effect, r.Related = []pec.Address{recipient}, effectContradiction, []string{j.messageID()}
	r.Provider = j.live.config.Provider.Name
	r.Detail = string(pec.KindVirusDetection) + " by " + j.provider.Name + ": " + why
	first, err := j.once(ctx, j.noteKey(effectContradiction, recipient), r)
	if first {
		j.log.ErrorContext(ctx, "contradictory certificates", "alarm", true, "recipient", recipient.String(), "detail", r.Detail)
		j.agent.o.Metrics.Count(metrics.Alarms, "contradiction")
	}
	return err
}

// tableEarly keeps the virus notices about messages that we have not accepted, or not yet: the envelope may be with
// another provider before our agent has come to its acceptance. By identifier and recipient.
const tableEarly = "lda.virus"

// early is a row of it.
type early struct {
	Sender    string `json:"sender"`
	Virus     string `json:"virus"`
	MessageID string `json:"message_id"`
}

func earlyKey(id pec.Identifier, recipient pec.Address) []byte {
	return []byte(string(id) + "\x00" + recipient.Fold().String())
}

// tooEarly remembers a virus notice until its message is accepted.
func (j *job) tooEarly(ctx context.Context, recipient pec.Address) error {
	row := early{Sender: j.data.Sender.String(), Virus: policy.VirusOf(j.data.Detail), MessageID: j.messageID()}
	isNew := false
	err := j.agent.o.Store.Update(ctx, func(tx store.Tx) (err error) {
		isNew, err = tx.PutNew(tableEarly, earlyKey(j.data.Identifier, recipient), encode(row))
		return err
	})
	if isNew && err == nil {
		j.log.ErrorContext(ctx, "a virus notice about a message that was not accepted here: its sender is told when it is", "alarm", true,
			"recipient", recipient.String(), "provider", j.provider.Name)
		j.agent.o.Metrics.Count(metrics.Alarms, "unknown-message")
	}
	return err
}

// tellEarly tells the sender of a message, once it is accepted, of the virus notices that came before. [C153] [C157]
func tellEarly(ctx context.Context, j *job) error {
	rows := map[string]early{}
	prefix := []byte(string(j.data.Identifier) + "\x00")
	err := j.agent.o.Store.View(ctx, func(tx store.Tx) error {
		return tx.Scan(tableEarly, prefix, func(key, value []byte) error {
			var row early
			err := decode(value, &row)
			rows[string(bytes.TrimPrefix(key, prefix))] = row
			return err
		})
	})
	if err != nil {
		return err
	}
	for to, row := range rows {
		if err := j.tellOne(ctx, to, row); err != nil {
			return err
		}
	}
	return nil
}

// tellOne is for one of them. One that speaks of another sender or recipient stays an alarm, and tells nobody.
func (j *job) tellOne(ctx context.Context, to string, row early) error {
	recipient, err := pec.ParseAddress(to)
	if err != nil {
		return err
	}
	sender, err := pec.ParseAddress(row.Sender)
	if err != nil {
		return err
	}
	if !accepted(j.data.Sender, j.data.Recipients, sender, recipient) {
		_ = j.alarm("a virus notice came before its message, and does not fit it", errors.New(to)) // nothing is due
		return nil
	}
	at, err := j.instant(ctx, j.record.Instant)
	if err != nil {
		return err
	}
	return j.issueTold(ctx, told{
		about: j.data, recipient: recipient, virus: row.Virus, digest: j.signed.Digest, at: at, related: row.MessageID,
	})
}

// told is a virus-induced non-delivery notice that is due.
type told struct {
	about     *pec.CertData
	recipient pec.Address
	virus     string
	digest    [32]byte // of the signed part of our envelope
	at        time.Time
	related   string // the Message-ID of the virus notice
}

// issueTold issues it, under the key of every outcome of the recipient: one that was issued excludes all others. [C157]
func (j *job) issueTold(ctx context.Context, d told) error {
	ours := j.live.config.Provider.Name
	key := effect.Key{
		Signer: ours, Identifier: string(d.about.Identifier), Digest: d.digest, Effect: effectOutcome,
		Recipient: d.recipient.Fold().String(),
	}
	failure := policy.Infected(ours, d.virus)
	o := outcome{Recipient: d.recipient.String(), At: d.at, Failure: &failure, Virus: d.virus}
	return j.issue(ctx, plan{
		keys: []effect.Key{key}, at: d.at,
		data: func([]effect.Key) []byte { return encode(o) },
		compose: func(p effect.Prepared) (compose.Notification, error) {
			var o outcome
			if err := decode(p.Data, &o); err != nil {
				return compose.Notification{}, err
			}
			if o.Failure == nil || o.Virus == "" {
				return compose.Notification{}, errors.New("another outcome is being certified")
			}
			return j.nonDelivery(d.about, d.recipient, o), nil
		},
		done: func(tx store.Tx, s issued) error { return j.toldOf(tx, s, d) },
	})
}

// toldOf writes what the notice makes true.
func (j *job) toldOf(tx store.Tx, s issued, d told) error {
	r := j.work.event(d.about, j.live.config.Provider.Name, ledger.EventNonDeliveryVirus, s.Instant)
	r.Effect, r.Related, r.Covered, r.Detail = effectOutcome, []string{s.MessageID, d.related}, []pec.Address{d.recipient}, s.notice.Virus
	if err := tx.Delete(tableEarly, earlyKey(d.about.Identifier, d.recipient)); err != nil {
		return err
	}
	return ledger.Append(tx, r)
}
