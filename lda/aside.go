package lda

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/ceralacca/ceralacca/internal/fsx"
	"github.com/ceralacca/ceralacca/internal/ledger"
	"github.com/ceralacca/ceralacca/internal/mailbox"
	"github.com/ceralacca/ceralacca/internal/metrics"
	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/internal/tracking"
	"github.com/ceralacca/ceralacca/pec"
)

const (
	asideFolder = "due"              // under the state
	asideLimit  = 5 * 24 * time.Hour // then it is listed and tried no more
	asideFirst  = 30 * time.Second   // until the first retry: who has just made room wants his receipts; doubled at each
	asideMost   = 6 * time.Hour
	asideBatch  = 20
	asideEvery  = 10 * time.Second
)

// putAside keeps a message that no mailbox takes now. The file is durable when it returns; the row is the caller's to
// write.
func (w *work) putAside(ctx context.Context, p parcel, refused *refusal) (*tracking.Due, error) {
	name := sha256.Sum256([]byte(p.messageID + "\x00" + p.to.Fold().String() + "\x00" + hex.EncodeToString(p.digest[:])))
	id := hex.EncodeToString(name[:16])
	folder := filepath.Join(w.live.config.Agent.State, asideFolder)
	if err := fsx.Folder(folder, 0o700); err != nil {
		return nil, err
	}
	if err := fsx.Write(filepath.Join(folder, id+".eml"), 0o600, p.write); err != nil {
		return nil, err
	}
	w.log.WarnContext(ctx, "put aside: the mailbox does not take it", "to", p.to.String(), "message_id", p.messageID,
		"answer", refused.Error())
	now := w.agent.o.Clock.Now()
	data := asideData{From: p.from, MessageID: p.messageID, Digest: p.digest}
	if p.box != nil {
		data.Box = p.box.Address.String()
	}
	return &tracking.Due{
		ID: id, Identifier: p.about, Kind: p.kind, To: p.to, File: id + ".eml", Since: now, Next: now.Add(asideFirst),
		Attempts: 1, LastError: refused.Error(),
		Data: encode(data),
	}, nil
}

// asideData is what a retry needs beside the bytes.
type asideData struct {
	From      string   `json:"from"`
	MessageID string   `json:"message_id"`
	Digest    [32]byte `json:"digest"`
	Box       string   `json:"box,omitempty"` // the one mailbox that it is for; empty is all that its address comes to
}

// retry tries what was put aside until ctx ends.
func (a *Agent) retry(ctx context.Context) {
	for {
		if err := a.retryDue(ctx); err != nil && ctx.Err() == nil {
			a.o.Log.ErrorContext(ctx, "due notifications", "error", err)
		}
		if err := a.o.Clock.Sleep(ctx, asideEvery); err != nil {
			return
		}
	}
}

// retryDue tries once what is due now.
func (a *Agent) retryDue(ctx context.Context) error {
	if a.o.ClockSound() != nil { // said by whoever watches it; the log would date what arrives
		return nil
	}
	var due []tracking.Due
	err := a.o.Store.View(ctx, func(tx store.Tx) (err error) {
		due, err = tracking.DueBefore(tx, a.o.Clock.Now(), asideBatch)
		return err
	})
	if err != nil {
		return err
	}
	for _, d := range due {
		if err := a.retryOne(ctx, d); err != nil {
			return err
		}
	}
	return nil
}

// retryOne tries one and writes what became of it. The mailbox is searched first: the row of an attempt that succeeded
// may have been lost.
func (a *Agent) retryOne(ctx context.Context, d tracking.Due) error {
	w := a.newWork(&presentation{}, "", d.Identifier)
	p, err := a.parcelOfDue(d)
	if err != nil {
		return err
	}
	if err = w.takesDue(ctx, p); err == nil {
		err = w.intoMailboxes(ctx, p)
	}
	switch {
	case err == nil:
		return a.endDue(ctx, d, ledger.EventNotificationDelivered)
	case ctx.Err() != nil:
		return ctx.Err()
	}
	now := a.o.Clock.Now()
	d.LastError = err.Error()
	d.Next = now.Add(min(asideFirst<<min(d.Attempts, 10), asideMost))
	d.Attempts++
	if now.Sub(d.Since) >= asideLimit {
		d.GaveUp = true
		w.log.ErrorContext(ctx, "given up: a mailbox does not take a notification", "alarm", true, "to", d.To.String(),
			"error", err)
		a.o.Metrics.Count(metrics.Alarms, "undeliverable")
	}
	return a.o.Store.Update(ctx, func(tx store.Tx) error {
		if d.GaveUp {
			if err := a.appendDue(tx, d, ledger.EventUndeliverable); err != nil {
				return err
			}
		}
		return tracking.PutDue(tx, d)
	})
}

// takesDue asks for the one mailbox that a message waits for, if it waits for one: what its state was is over.
func (w *work) takesDue(ctx context.Context, p parcel) error {
	if p.box == nil {
		return nil
	}
	return w.enabled(ctx, p.box.Address)
}

// endDue forgets what arrived.
func (a *Agent) endDue(ctx context.Context, d tracking.Due, e ledger.Event) error {
	err := a.o.Store.Update(ctx, func(tx store.Tx) error {
		if err := tracking.DeleteDue(tx, d.ID); err != nil {
			return err
		}
		return a.appendDue(tx, d, e)
	})
	if err != nil {
		return err
	}
	return fsx.Remove(a.dueFile(d))
}

// appendDue writes what became of a notification that waited. Without an identifier it is known by its own id.
func (a *Agent) appendDue(tx store.Tx, d tracking.Due, e ledger.Event) error {
	r := ledger.Record{
		Identifier: d.Identifier, Time: a.now(), Event: e, Kind: d.Kind, Covered: []pec.Address{d.To}, Detail: d.LastError,
	}
	if r.Identifier == "" {
		r.Identifier = pec.Identifier(d.ID)
	}
	if err := complete(tx, &r); err != nil {
		return err
	}
	return ledger.Append(tx, r)
}

func (a *Agent) dueFile(d tracking.Due) string {
	return filepath.Join(a.live.Load().config.Agent.State, asideFolder, filepath.Base(d.File))
}

func (a *Agent) parcelOfDue(d tracking.Due) (parcel, error) {
	var data asideData
	if err := decode(d.Data, &data); err != nil {
		return parcel{}, fmt.Errorf("due notification %s: %w", d.ID, err)
	}
	var box *mailbox.Box
	if data.Box != "" {
		address, err := pec.ParseAddress(data.Box)
		if err != nil {
			return parcel{}, fmt.Errorf("due notification %s: %w", d.ID, err)
		}
		box = &mailbox.Box{Address: address, To: d.To, State: mailbox.Known}
	}
	return parcel{
		from: data.From, to: d.To, box: box, about: d.Identifier, kind: d.Kind, messageID: data.MessageID, digest: data.Digest,
		search: true,
		write: func(w io.Writer) error {
			file, err := os.Open(a.dueFile(d))
			if err != nil {
				return err
			}
			_, err = io.Copy(w, file)
			return errors.Join(err, file.Close())
		},
	}, nil
}
