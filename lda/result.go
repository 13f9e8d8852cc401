package lda

import (
	"context"
	"errors"
	"time"

	"github.com/ceralacca/ceralacca/internal/effect"
	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/policy"
)

// tableResults keeps how a delivery into a mailbox ended: another address that leads to the same mailbox may be
// presented later, and its receipt says that instant; and what a mailbox refused once stays refused, so that every
// presentation hears the same.
const tableResults = "lda.delivery"

// result is a row of it: exactly one of its fields is set.
type result struct {
	At      *time.Time      `json:"at,omitempty"`
	Refused *policy.Attempt `json:"refused,omitempty"`
}

func putResult(tx store.Tx, k effect.Key, r result) error {
	return tx.Put(tableResults, rowOf(k), encode(r))
}

// failed writes how a delivery failed, and returns the error to go on with: it is done when the mailbox refused it for
// good, and as if it had never been tried when it surely is in no mailbox. Else it stays prepared, and the next run
// looks.
//
// also writes what a refusal makes true, in the same transaction; nil is nothing.
func failed(ctx context.Context, c *effect.Claim, k effect.Key, err error, also func(store.Tx, *refusal) error) error {
	refused, ok := errors.AsType[*refusal](err)
	if !ok && errors.Is(err, errUncertain) {
		return err
	}
	if !ok {
		return errors.Join(err, c.Withdraw(ctx, []effect.Key{k}))
	}
	ended := c.Done(ctx, []effect.Key{k}, func(tx store.Tx) error {
		if err := putResult(tx, k, result{Refused: &refused.Attempt}); err != nil || also == nil {
			return err
		}
		return also(tx, refused)
	})
	if ended != nil {
		return ended
	}
	return err
}

// errNoResult says that a delivery has not ended yet.
var errNoResult = errors.New("a delivery that is done, without its result")

// resultOf is how a delivery that is done ended.
func (w *work) resultOf(ctx context.Context, k effect.Key) (d delivery, err error) {
	err = w.agent.o.Store.View(ctx, func(tx store.Tx) error {
		d, err = readResult(tx, k)
		return err
	})
	return d, err
}

// readResult is how a delivery ended, or [errNoResult].
func readResult(tx store.Tx, k effect.Key) (delivery, error) {
	value, found := tx.Get(tableResults, rowOf(k))
	if !found {
		return delivery{}, errNoResult
	}
	var r result
	err := decode(value, &r)
	switch {
	case err != nil:
		return delivery{}, err
	case r.At != nil:
		return delivery{at: *r.At}, nil
	case r.Refused != nil:
		return delivery{refused: &refusal{*r.Refused}}, nil
	}
	return delivery{}, errors.New("a delivery with an empty result")
}

func rowOf(k effect.Key) []byte {
	row := append([]byte(k.Signer+"\x00"+k.Identifier+"\x00"), k.Digest[:]...)
	return append(row, k.Effect+"\x00"+k.Recipient...)
}
