package lda

import (
	"context"

	"github.com/ceralacca/ceralacca/internal/effect"
	"github.com/ceralacca/ceralacca/internal/ledger"
	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/pec/compose"
)

// refuse issues the notice of non-acceptance for a submission with a formal fault. Nothing of the message goes
// anywhere. [C026] [C048] [C049]
func refuse(ctx context.Context, j *job) error {
	about := j.submitted()
	err := j.issue(ctx, plan{
		keys: []effect.Key{j.keyOfTransaction(effectRefusal, pec.Address{})},
		at:   j.record.Instant,
		compose: func(p effect.Prepared) (compose.Notification, error) {
			data := j.reply(about, pec.KindNonAcceptance, p.Instant)
			data.Error, data.Detail = pec.ErrorOther, j.record.Detail // [C054]
			return compose.Notification{Data: data, To: about.Sender}, nil
		},
		done: func(tx store.Tx, s issued) error {
			r := j.work.event(about, j.live.config.Provider.Name, ledger.EventNonAcceptance, s.Instant)
			r.Effect, r.Related, r.Detail = effectRefusal, []string{s.MessageID}, j.record.Reason
			return ledger.Append(tx, r)
		},
	})
	if err != nil {
		return err
	}
	j.answerRest(nil)
	return nil
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
