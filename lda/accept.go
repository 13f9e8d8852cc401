package lda

import (
	"context"
	"time"

	"github.com/ceralacca/ceralacca/internal/effect"
	"github.com/ceralacca/ceralacca/internal/ledger"
	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/internal/tracking"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/pec/compose"
)

// accept issues the acceptance receipt, before any other effect of the transaction. Every presentation of the envelope
// carries all that it needs, so that each of them does it if none did. Its instant is that of the envelope: both are of
// one processing step. [C068] [C069] [C186]
func accept(ctx context.Context, j *job) error {
	err := j.issue(ctx, plan{
		keys:    []effect.Key{j.key(effectAcceptance, pec.Address{})},
		at:      j.record.Instant,
		compose: j.composeAcceptance,
		done:    j.accepted, announce: j.announceSubmitted,
	})
	if err != nil {
		return err
	}
	for i, r := range j.recipients {
		if j.internal(r.address) {
			j.answers[i] = nil
		}
	}
	return nil
}

func (j *job) composeAcceptance(p effect.Prepared) (compose.Notification, error) {
	// To the reverse path, never to Reply-To. [C009] [C010]
	return compose.Notification{Data: j.reply(j.data, pec.KindAcceptance, p.Instant), To: j.data.Sender}, nil
}

// accepted writes the log and what the bounces of this envelope will ask for.
func (j *job) accepted(tx store.Tx, s issued) error {
	acceptance := j.event(ledger.EventAcceptance, s.Instant)
	acceptance.Effect, acceptance.Related, acceptance.Scan = effectAcceptance, []string{s.MessageID}, j.record.Scan
	for _, r := range []ledger.Record{acceptance, j.event(ledger.EventEnvelope, s.Instant)} {
		if err := ledger.Append(tx, r); err != nil {
			return err
		}
	}
	if err := j.likelyTwice(tx, s.Instant); err != nil {
		return err
	}
	sent := tracking.Submission{
		Identifier: j.data.Identifier, Sender: j.data.Sender, Recipients: j.data.Recipients, Subject: j.data.Subject,
		MessageID: j.data.MessageID, ReplyTo: j.data.ReplyTo, Receipt: j.data.Receipt, Time: s.Instant,
	}
	if err := tracking.PutSubmission(tx, j.record.ID, sent); err != nil {
		return err
	}
	misfits, err := sent.Disown(tx, j.provider.Name)
	if err != nil {
		return err
	}
	for _, f := range misfits {
		if err := j.misfit(tx, f); err != nil {
			return err
		}
	}
	return startWatch(tx, j.provider.Name, j.record.ID, sent)
}

// tableSent holds the identifier under which a message was accepted first, by its sender and the Message-ID that the
// sender's program gave it.
const tableSent = "lda.sent"

// likelyTwice marks a message that its sender seems to have sent before: a client that heard 451 because Postfix died
// while it wrote the queue file sends again what went out all the same. Both are messages of their own.
func (j *job) likelyTwice(tx store.Tx, at time.Time) error {
	if j.data.MessageID == "" {
		return nil
	}
	row := []byte(j.data.Sender.Fold().String() + "\x00" + j.data.MessageID)
	isNew, err := tx.PutNew(tableSent, row, []byte(j.data.Identifier))
	if err != nil || isNew {
		return err
	}
	first, _ := tx.Get(tableSent, row)
	r := j.event(ledger.EventPossibleDuplicate, at)
	r.Related = []string{"<" + string(first) + ">"}
	r.Detail = "its sender has sent a message with the same Message-ID before"
	return ledger.Append(tx, r)
}
