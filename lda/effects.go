package lda

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/ceralacca/ceralacca/internal/effect"
	"github.com/ceralacca/ceralacca/internal/ledger"
	"github.com/ceralacca/ceralacca/internal/tracking"
	"github.com/ceralacca/ceralacca/pec"
)

// The effects, as they stand in the store and in the log. They MUST NOT change.
const (
	effectAcceptance   = "acceptance"
	effectRefusal      = "refusal"
	effectTakeCharge   = "take-charge"
	effectDelivery     = "delivery"     // by mailbox
	effectOutcome      = "outcome"      // by certified recipient: a delivery receipt or a notice that says the contrary, never both
	effectNotification = "notification" // the facts of an incoming one
	effectAnomaly      = "anomaly"      // by mailbox
	effectBounce       = "bounce"       // by ordinary recipient
	effectKept         = "kept"
	effectQuarantine   = "quarantine"

	effectRetention     = "quarantine-removal"
	effectContradiction = "contradiction" // about a virus, by recipient

	effectTimeout12 = "timeout-12h" // by certified recipient
	effectTimeout24 = "timeout-24h" // likewise
)

// key names an effect of the signed message of a job. [C165]
func (j *job) key(name string, recipient pec.Address) effect.Key {
	return effect.Key{
		Signer: j.provider.Name, Identifier: string(j.data.Identifier), Digest: j.signed.Digest, Effect: name,
		Recipient: recipient.Fold().String(),
	}
}

// keyOfTransaction names an effect of what has no identity but the transaction.
func (j *job) keyOfTransaction(name string, recipient pec.Address) effect.Key {
	return effect.Key{Identifier: j.record.ID, Effect: name, Recipient: recipient.Fold().String()}
}

// reply begins the certification data of a notification about a message: what all of them repeat. [C201] [C204]
func (w *work) reply(about *pec.CertData, kind pec.Kind, at time.Time) pec.CertData {
	return pec.CertData{
		Kind: kind, Error: pec.ErrorNone, Sender: about.Sender, Recipients: about.Recipients, ReplyTo: about.ReplyTo,
		Subject: about.Subject, Provider: w.live.config.Provider.Name, Time: at, Identifier: about.Identifier,
		MessageID: about.MessageID,
	}
}

// sent is what the store keeps of an envelope of ours, as its certification data.
func (w *work) sent(s tracking.Submission) *pec.CertData {
	return &pec.CertData{
		Kind: pec.KindTransport, Sender: s.Sender, Recipients: s.Recipients, ReplyTo: s.ReplyTo, Subject: s.Subject,
		Provider: w.live.config.Provider.Name, Time: s.Time, Identifier: s.Identifier, MessageID: s.MessageID,
		Receipt: s.Receipt,
	}
}

// digestSent is the digest of the signed part of an envelope of ours, as the register has it.
func (w *work) digestSent(ctx context.Context, id pec.Identifier) ([32]byte, error) {
	known, err := w.agent.o.Register.Known(ctx, w.live.config.Provider.Name, string(id))
	if err != nil {
		return [32]byte{}, err
	}
	if len(known) != 1 {
		return [32]byte{}, w.alarm("an envelope of ours has not one content", fmt.Errorf("%s has %d", id, len(known)))
	}
	return known[0], nil
}

// event begins a record of the legal log about a message. [C241]
func (w *work) event(about *pec.CertData, provider string, e ledger.Event, at time.Time) ledger.Record {
	r := ledger.Record{
		Identifier: about.Identifier, Time: at, Sender: about.Sender, Recipients: about.Recipients, Event: e,
		Provider: provider, QueueID: w.queueID, Reference: about.MessageID,
	}
	if about.Subject != nil {
		r.Subject = *about.Subject
	}
	return r
}

// event is work.event for the message of the job.
func (j *job) event(e ledger.Event, at time.Time) ledger.Record {
	return j.work.event(j.data, j.provider.Name, e, at)
}

// encode writes what a later run needs. Its types marshal without error.
func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // a type of ours that does not marshal: found by the first test that runs it
	}
	return b
}

func texts(list []pec.Address) []string {
	out := make([]string, len(list))
	for i, a := range list {
		out[i] = a.String()
	}
	return out
}

// decode reads what encode wrote.
func decode(b []byte, v any) error { return json.Unmarshal(b, v) }
