package lda

import (
	"context"
	"encoding/json"

	"github.com/ceralacca/ceralacca/internal/effect"
	"github.com/ceralacca/ceralacca/internal/ledger"
	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/internal/tracking"
	"github.com/ceralacca/ceralacca/internal/transaction"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/pec/compose"
)

// takeCharge sends the provider of the sender one take-charge receipt for all recipients of the SMTP transaction, also
// those that come in another presentation. It is due between two users of ours too. Recipients that a receipt has named
// are in no other; a sender's second transaction gets one for those that are new. [C115] [C124] [C125] [C127] [C183]
func takeCharge(ctx context.Context, j *job) error {
	recipients := j.inCharge()
	if len(recipients) == 0 {
		return nil
	}
	keys := make([]effect.Key, len(recipients))
	named := make(map[effect.Key]pec.Address, len(recipients))
	for i, r := range recipients {
		keys[i] = j.key(effectTakeCharge, r)
		named[keys[i]] = r
	}
	return j.issue(ctx, plan{
		keys: keys,
		at:   j.record.Instant,
		data: func(free []effect.Key) []byte {
			group := make([]pec.Address, len(free))
			for i, k := range free {
				group[i] = named[k]
			}
			return encode(texts(group))
		},
		compose: j.composeTakeCharge,
		done:    j.taken,
	})
}

// inCharge are the certified recipients of this SMTP transaction that are ours, each once.
func (j *job) inCharge() []pec.Address {
	var out []pec.Address
	seen := make(map[pec.Address]bool)
	for _, a := range j.record.Recipients {
		if seen[a.Fold()] || j.record.Point == transaction.PointSubmission && !j.live.ours(a) {
			continue
		}
		seen[a.Fold()] = true
		out = append(out, a)
	}
	return out
}

func (j *job) composeTakeCharge(p effect.Prepared) (compose.Notification, error) {
	var group []string
	if err := json.Unmarshal(p.Data, &group); err != nil {
		return compose.Notification{}, err
	}
	data := j.reply(j.data, pec.KindTakeCharge, p.Instant)
	for _, text := range group {
		a, err := pec.ParseAddress(text)
		if err != nil {
			return compose.Notification{}, err
		}
		data.Taken = append(data.Taken, a) // [C126]
	}
	return compose.Notification{Data: data, To: j.provider.MailReceipt}, nil // [C129]
}

func (j *job) taken(tx store.Tx, s issued) error {
	group := s.notice.Data.Taken
	if j.record.Point == transaction.PointIncoming {
		reception := j.event(ledger.EventReception, s.Instant)
		reception.Covered, reception.Scan = group, j.record.Scan
		if err := ledger.Append(tx, reception); err != nil {
			return err
		}
	}
	r := j.event(ledger.EventTakeCharge, s.Instant)
	r.Effect, r.Related, r.Covered = effectTakeCharge, []string{s.MessageID}, group
	if err := ledger.Append(tx, r); err != nil {
		return err
	}
	for _, a := range group {
		if err := j.fact(tx, tracking.Taken, a, s.Instant); err != nil {
			return err
		}
	}
	return nil
}
