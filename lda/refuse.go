package lda

import (
	"context"

	"github.com/ceralacca/ceralacca/internal/effect"
	"github.com/ceralacca/ceralacca/internal/ledger"
	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/internal/transaction"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/pec/compose"
	"github.com/ceralacca/ceralacca/policy"
)

// refuse issues the notice of non-acceptance for a submission with a formal fault or a virus. Nothing of the message goes
// anywhere. [C026] [C048] [C049] [C060] [C061]
func refuse(ctx context.Context, j *job) error {
	about := j.submitted()
	err := j.issue(ctx, plan{
		keys: []effect.Key{j.keyOfTransaction(effectRefusal, pec.Address{})},
		at:   j.record.Instant,
		compose: func(p effect.Prepared) (compose.Notification, error) {
			return j.refusal(about, p), nil
		},
		done: func(tx store.Tx, s issued) error {
			r := j.work.event(about, j.live.config.Provider.Name, ledger.EventNonAcceptance, s.Instant)
			r.Effect, r.Related, r.Detail, r.Scan = effectRefusal, []string{s.MessageID}, j.record.Reason, j.record.Scan
			if j.record.Verdict == transaction.VerdictVirus {
				r.Event, r.Detail = ledger.EventNonAcceptanceVirus, j.record.Scan.Virus
			}
			return ledger.Append(tx, r)
		},
	})
	if err != nil {
		return err
	}
	j.answerRest(nil)
	return nil
}

// refusal is the notice. That of a virus names what was found. [C018] [C054] [C062] [C063] [C064] [C065] [C066]
func (j *job) refusal(about *pec.CertData, p effect.Prepared) compose.Notification {
	data := j.reply(about, pec.KindNonAcceptance, p.Instant)
	if j.record.Verdict != transaction.VerdictVirus {
		data.Error, data.Detail = pec.ErrorOther, j.record.Detail
		return compose.Notification{Data: data, To: about.Sender}
	}
	failure := policy.Infected(j.live.config.Provider.Name, j.record.Scan.Virus)
	data.Error, data.Detail = failure.Error, failure.Detail
	return compose.Notification{Data: data, To: about.Sender, Virus: j.record.Scan.Virus}
}

// submitted is what certification data can say of a message that was not accepted. [C057] [C201]
func (j *job) submitted() *pec.CertData {
	r := j.record
	about := &pec.CertData{
		Sender: r.Sender, Identifier: r.Identifier, MessageID: r.MessageID, ReplyTo: pec.DecodeText(j.header.Get("Reply-To")),
	}
	if about.ReplyTo == "" {
		about.ReplyTo = r.Sender.String()
	}
	if r.HasSubject {
		about.Subject = &r.Subject
	}
	for i, a := range r.Recipients {
		one := pec.Recipient{Address: a, Type: pec.Ordinary}
		if i < len(r.Types) {
			one.Type = r.Types[i]
		}
		about.Recipients = append(about.Recipients, one)
	}
	return about
}
