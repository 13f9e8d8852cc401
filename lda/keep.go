package lda

import (
	"context"
	"path/filepath"

	"github.com/ceralacca/ceralacca/internal/effect"
	"github.com/ceralacca/ceralacca/internal/fsx"
	"github.com/ceralacca/ceralacca/internal/ledger"
	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/pec"
)

// keptFolder is the folder, under the state, for what reaches no mailbox and an operator should see.
const keptFolder = "kept"

// keepAll keeps a message that may reach no mailbox: signed but wrong, and aimed at a service address, or of a kind
// that users never get. [C020] [C184]
func keepAll(ctx context.Context, j *job) error {
	for i, r := range j.recipients {
		j.answers[i] = j.keep(ctx, r.address)
	}
	return nil
}

// keep writes the message, once per transaction, to a file that an operator reads.
func (j *job) keep(ctx context.Context, to pec.Address) error {
	key := j.keyOfTransaction(effectKept, pec.Address{})
	claim, err := j.claim(ctx, []effect.Key{key})
	if err != nil {
		return err
	}
	defer release(ctx, claim)
	if len(claim.Finished) > 0 {
		return nil
	}
	folder := filepath.Join(j.live.config.Agent.State, keptFolder)
	if err := fsx.Folder(folder, 0o700); err != nil {
		return err
	}
	if err := fsx.Write(filepath.Join(folder, j.record.ID+".eml"), 0o600, j.writeAsReceived); err != nil {
		return err
	}
	j.log.WarnContext(ctx, "kept for the operator", "to", to.String(), "reason", j.record.Reason)
	return claim.Done(ctx, []effect.Key{key}, func(tx store.Tx) error {
		r := j.anomalous(to, j.record.Instant)
		r.Event, r.Effect = ledger.EventKept, effectKept
		return ledger.Append(tx, r)
	})
}
