package lda

import (
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

// alarm logs what somebody must look at, and makes a temporary error of it.
func (w *work) alarm(what string, err error) error {
	w.log.Error(what, "alarm", true, "error", err)
	w.agent.o.Metrics.Count(metrics.Alarms, "message")
	return fail(what, "", pec.ErrorTemporary, err)
}
