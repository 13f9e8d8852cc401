package lda

import (
	"context"
	"time"

	"github.com/ceralacca/ceralacca/internal/effect"
	"github.com/ceralacca/ceralacca/internal/ledger"
	"github.com/ceralacca/ceralacca/internal/mailbox"
	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/internal/tracking"
	"github.com/ceralacca/ceralacca/pec"
)

// noteKey names an effect of an incoming notification: signer, Message-ID and digest. Its identifier is that of the
// message it is about and would not tell two receipts apart.
func (j *job) noteKey(name string, recipient pec.Address) effect.Key {
	k := j.key(name, recipient)
	k.Identifier = j.messageID()
	if k.Identifier == "" {
		k.Identifier = j.record.ID // without a Message-ID a second copy cannot be known by anything
	}
	return k
}

// note records the facts that a notification of another provider states, before it is delivered: they are true whatever
// becomes of its delivery. A second copy states nothing new. [C131] [C244]
func note(ctx context.Context, j *job) error {
	key := j.noteKey(effectNotification, pec.Address{})
	claim, err := j.claim(ctx, []effect.Key{key})
	if err != nil {
		return err
	}
	defer release(ctx, claim)
	if len(claim.Finished) > 0 {
		r := j.event(ledger.EventDuplicate, j.data.Time)
		r.Effect, r.Kind, r.Related = effectNotification, j.data.Kind, []string{j.messageID()}
		return j.append(ctx, r)
	}
	if err := j.settle(ctx); err != nil {
		return err
	}
	j.end(claim, []effect.Key{key}, j.noted)
	return j.missed(ctx)
}

// noted writes the facts and the record.
func (j *job) noted(tx store.Tx) error {
	kind, about := stated(j.data)
	if kind != "" {
		if err := j.notedOf(tx, kind, about); err != nil {
			return err
		}
	}
	r := j.event(ledger.EventNotification, j.data.Time)
	r.Effect, r.Kind, r.Related, r.Covered = effectNotification, j.data.Kind, []string{j.messageID()}, about
	r.Scan = j.record.Scan
	return ledger.Append(tx, r)
}

// notedOf writes the facts, of a message that we accepted from the sender whom the notification names, or have not
// accepted yet. Of a virus notice that does not fit [tell] says so.
func (j *job) notedOf(tx store.Tx, kind tracking.FactKind, about []pec.Address) error {
	sender, err := j.acceptedFrom(tx, j.data.Identifier)
	if err != nil {
		return err
	}
	fits := sender.IsZero() || sender.Fold() == j.data.Sender.Fold()
	for _, a := range about {
		f := tracking.Fact{Kind: kind, Recipient: a, Time: j.data.Time, Provider: j.provider.Name, MessageID: j.messageID(),
			From: j.data.Sender.Fold().String()}
		switch {
		case fits:
			err = j.work.fact(tx, j.data, j.live.config.Provider.Name, f)
		case j.data.Kind != pec.KindVirusDetection:
			err = j.misfit(tx, f)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// stated is the fact that a notification states, if any, and of whom.
func stated(c *pec.CertData) (tracking.FactKind, []pec.Address) {
	about := c.Taken
	if c.Delivery != nil {
		about = []pec.Address{*c.Delivery}
	}
	switch c.Kind {
	case pec.KindTakeCharge:
		return tracking.Taken, about
	case pec.KindDelivery:
		return tracking.Delivered, about
	case pec.KindNonDelivery, pec.KindVirusDetection:
		return tracking.NotDelivered, about
	}
	return "", about
}

// passNotification puts a notification into the mailbox of the user it is for; what is between providers goes to the
// service mailbox, whoever it was sent to. A user's mailbox that cannot take it fails nothing. [C117] [C020] [C184]
func passNotification(ctx context.Context, j *job) error {
	for i, r := range j.recipients {
		to := r.address
		if j.data.Kind == pec.KindTakeCharge || j.data.Kind == pec.KindVirusDetection {
			to = j.live.config.Provider.ServiceMailbox
		} else if j.live.isService(to) {
			j.answers[i] = j.keep(ctx, to)
			continue
		}
		_, j.answers[i] = j.passAll(ctx, to, j.passTo)
	}
	return nil
}

func (j *job) passTo(ctx context.Context, box mailbox.Box) error {
	return j.pass(ctx, passing{
		key: j.noteKey(effectDelivery, box.To), aside: true,
		parcel: parcel{
			from: j.sender, to: box.To, box: &box, about: j.data.Identifier, kind: j.data.Kind, messageID: j.messageID(),
			digest: j.signed.Digest, write: j.writeAsReceived,
		},
		done: func(tx store.Tx, at time.Time) error {
			r := j.event(ledger.EventNotificationDelivered, at)
			r.Effect, r.Kind, r.Related, r.Covered = effectDelivery, j.data.Kind, []string{j.messageID()}, []pec.Address{box.To}
			return ledger.Append(tx, r)
		},
	})
}
