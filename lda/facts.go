package lda

import (
	"context"
	"encoding/hex"
	"errors"
	"time"

	"github.com/ceralacca/ceralacca/internal/ledger"
	"github.com/ceralacca/ceralacca/internal/metrics"
	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/internal/tracking"
	"github.com/ceralacca/ceralacca/pec"
)

// fact records what we certify ourselves about a recipient.
func (j *job) fact(tx store.Tx, kind tracking.FactKind, recipient pec.Address, at time.Time) error {
	return j.work.fact(tx, j.data, j.provider.Name, tracking.Fact{
		Kind: kind, Recipient: recipient, Time: at, Provider: j.live.config.Provider.Name,
	})
}

// fact records a fact about a message. The first final one stands; what contradicts it is an alarm and a record of its
// own, in the same transaction.
func (w *work) fact(tx store.Tx, about *pec.CertData, provider string, f tracking.Fact) error {
	f.Sender, f.Identifier = provider, about.Identifier
	standing, err := tracking.Record(tx, f)
	if err != nil || standing == nil {
		return err
	}
	r := w.event(about, provider, ledger.EventContradiction, f.Time)
	r.Covered = []pec.Address{f.Recipient}
	r.Detail = string(f.Kind) + " by " + f.Provider + " after " + string(standing.Kind) + " by " + standing.Provider
	w.log.Error("contradictory certificates", "alarm", true, "recipient", f.Recipient.String(), "detail", r.Detail)
	w.agent.o.Metrics.Count(metrics.Alarms, "contradiction")
	return ledger.Append(tx, r)
}

// misfit writes down that another provider certifies a message of ours that names a sender who did not send it: that is
// about no message of ours, stops no clock and is no outcome. [C088] [C131]
func (j *job) misfit(tx store.Tx, f tracking.Fact) error {
	r := j.event(ledger.EventContradiction, f.Time)
	r.Covered, r.Provider = []pec.Address{f.Recipient}, j.live.config.Provider.Name
	r.Detail = string(f.Kind) + " by " + f.Provider + ": it names " + f.From + ", from whom we accepted no such message"
	j.log.Error("contradictory certificates", "alarm", true, "recipient", f.Recipient.String(), "detail", r.Detail)
	j.agent.o.Metrics.Count(metrics.Alarms, "contradiction")
	return ledger.Append(tx, r)
}

// acceptedFrom is the sender from whom we accepted a message, zero when we did not, or not yet.
func (w *work) acceptedFrom(tx store.Tx, id pec.Identifier) (sender pec.Address, err error) {
	err = ledger.Read(tx, id, func(r ledger.Record) error {
		if r.Event == ledger.EventAcceptance && r.Provider == w.live.config.Provider.Name {
			sender = r.Sender
		}
		return nil
	})
	return sender, err
}

// recordUntrusted writes down what was turned away. It has no identifier that anybody vouches for: its own digest, in the
// form of a transaction id, stands for one. [C241]
func (a *Agent) recordUntrusted(ctx context.Context, p *presentation, why error) error {
	digest, err := digestOf(p.message)
	if err != nil {
		return err
	}
	r := ledger.Record{
		Identifier: pec.Identifier(hex.EncodeToString(digest[:16])), Time: a.now(), Event: ledger.EventUntrusted,
		Subject: pec.DecodeText(p.header.Get("Subject")), QueueID: p.queueID, Reference: p.header.Get("Message-ID"),
		Detail: why.Error(),
	}
	r.Sender, _ = pec.ParseAddress(p.sender) // zero when it is not in the plain form; Detail and the log have the rest
	live := a.live.Load()
	for _, one := range p.recipients {
		to := pec.Recipient{Address: one.address, Type: pec.Ordinary}
		if live.ours(one.address) {
			to.Type = pec.Certified
		}
		if !one.address.IsZero() {
			r.Recipients = append(r.Recipients, to)
		}
	}
	return a.o.Store.Update(ctx, func(tx store.Tx) error { return ledger.Append(tx, r) })
}

// complete gives a record what the log has of its message: sender, recipients, subject and provider. [C241]
func complete(tx store.Tx, r *ledger.Record) error {
	err := ledger.Read(tx, r.Identifier, func(earlier ledger.Record) error {
		if len(earlier.Recipients) == 0 {
			return nil
		}
		r.Sender, r.Recipients, r.Subject = earlier.Sender, earlier.Recipients, earlier.Subject
		r.Provider, r.Reference = earlier.Provider, earlier.Reference
		return errComplete
	})
	if errors.Is(err, errComplete) {
		return nil
	}
	return err
}

var errComplete = errors.New("the record is complete")

// alarm logs what somebody must look at, and makes a temporary error of it.
func (w *work) alarm(what string, err error) error {
	w.log.Error(what, "alarm", true, "error", err)
	w.agent.o.Metrics.Count(metrics.Alarms, "message")
	return fail(what, "", pec.ErrorTemporary, err)
}
