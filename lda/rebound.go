package lda

import (
	"context"
	"fmt"

	"github.com/ceralacca/ceralacca/internal/effect"
	"github.com/ceralacca/ceralacca/pec"
)

// resume ends what an earlier presentation of a bounce began to certify of a recipient that has an outcome by now: what
// its provider says may have come between. A notice that the sender has is written down, and contradicts or not; one that
// did not arrive is taken back: there is no second notice, and none against what is known. A virus notice that is being
// told ends it itself, and so does a delivery receipt. [C179]
func (b *bounced) resume(ctx context.Context, p plan) error {
	claim, err := b.claim(ctx, p.keys)
	if err != nil {
		return err
	}
	defer claim.Forget()
	for _, prepared := range claim.Prepared {
		var o outcome
		if err := decode(prepared.Data, &o); err != nil {
			return err
		}
		if o.Failure == nil || o.Virus != "" { // a delivery receipt, like a virus notice, is ended by who issues it
			continue
		}
		if err := b.endOrTakeBack(ctx, claim, p, prepared); err != nil {
			return err
		}
	}
	return nil
}

func (b *bounced) endOrTakeBack(ctx context.Context, c *effect.Claim, p plan, prepared effect.Prepared) error {
	there, err := b.hasArrived(ctx, prepared)
	if err != nil {
		return fail("resume", pec.Identifier(prepared.Keys[0].Identifier), pec.ErrorTemporary, fmt.Errorf("%w: %w", errUncertain, err))
	}
	if !there {
		b.log.WarnContext(ctx, "a notice that did not arrive is taken back: the recipient has an outcome", "message_id", prepared.MessageID)
		return c.Withdraw(ctx, prepared.Keys)
	}
	return b.again(ctx, c, p, prepared)
}

// hasArrived looks into the mailboxes of the sender, who is a user of ours.
func (b *bounced) hasArrived(ctx context.Context, prepared effect.Prepared) (bool, error) {
	found, err := b.live.mailboxes.Lookup(ctx, prepared.To)
	if err != nil {
		return false, err
	}
	for _, box := range found.Boxes {
		there, err := b.isThere(ctx, parcel{to: box.Address, messageID: prepared.MessageID, digest: prepared.Digest})
		if err != nil || there {
			return there, err
		}
	}
	return false, nil
}
