package lda

import (
	"io"
	"time"

	"github.com/ceralacca/ceralacca/internal/effect"
	"github.com/ceralacca/ceralacca/internal/events"
	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/pec"
)

// announcement are the events of one effect, prepared before its hand-over. Plug-ins hear of them when the effect is done.
type announcement []*events.Pending

// announce prepares the event of a message that goes into a mailbox of a user of ours: what plug-ins must see of it is on
// disk before the hand-over, which is not begun when that fails. Without plug-ins, or for any other addressee, it is nothing.
func (w *work) announce(k effect.Key, p parcel) (announcement, error) {
	if !w.agent.o.Events.Wanted() || !w.live.ours(p.to) || w.live.isService(p.to) {
		return nil, nil
	}
	name := eventOf(p.kind)
	pending, err := w.agent.o.Events.Prepare(events.Event{
		Key: eventKey(k, name, p.to), Name: name, Mailbox: p.to, Identifier: p.about, Transaction: w.id,
		Sender: p.from, Recipients: []string{p.to.String()},
	}, p.write)
	if err != nil {
		return nil, fail("events", p.about, pec.ErrorTemporary, err)
	}
	return announcement{pending}, nil
}

// eventKey names an event after its effect: every retry makes the same.
func eventKey(k effect.Key, name events.Name, mailbox pec.Address) string {
	return events.KeyOf(k.Signer, k.Identifier, string(k.Digest[:]), k.Effect, k.Recipient, string(name), mailbox.Fold().String())
}

// eventOf is what it means to a mailbox that a message of a kind comes into it.
func eventOf(kind pec.Kind) events.Name {
	switch kind {
	case pec.KindTransport:
		return events.Delivered
	case pec.KindAnomaly:
		return events.Anomaly
	case pec.KindAcceptance:
		return events.Accepted
	case pec.KindNonAcceptance:
		return events.NonAcceptance
	case pec.KindDelivery:
		return events.Delivery
	case pec.KindNonDelivery:
		return events.NonDelivery
	}
	return events.Notice
}

// record writes the events, in the transaction that ends the effect.
func (a announcement) record(tx store.Tx, at time.Time) error {
	for _, pending := range a {
		if err := pending.Record(tx, at); err != nil {
			return err
		}
	}
	return nil
}

// forget takes back what was prepared: the effect did not happen in this run.
func (a announcement) forget() {
	for _, pending := range a {
		pending.Forget()
	}
}

// announceSubmitted prepares the event that the envelope of this submission is on its way.
func (j *job) announceSubmitted() (announcement, error) {
	if !j.agent.o.Events.Wanted() {
		return nil, nil
	}
	k := j.key(effectAcceptance, pec.Address{})
	recipients := make([]string, len(j.data.Recipients))
	for i, r := range j.data.Recipients {
		recipients[i] = r.Address.String()
	}
	pending, err := j.agent.o.Events.Prepare(events.Event{
		Key: eventKey(k, events.Submitted, j.data.Sender), Name: events.Submitted, Mailbox: j.data.Sender,
		Identifier: j.data.Identifier, Transaction: j.id, Sender: j.data.Sender.String(), Recipients: recipients,
	}, j.writeSealed)
	if err != nil {
		return nil, fail("events", j.data.Identifier, pec.ErrorTemporary, err)
	}
	return announcement{pending}, nil
}

// writeSealed writes the message as the milter sealed it.
func (j *job) writeSealed(w io.Writer) error {
	_, err := io.CopyBuffer(onlyWriter{w}, whole(j.message), make([]byte, streamBuffer))
	return err
}
