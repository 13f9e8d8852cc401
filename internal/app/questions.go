package app

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ceralacca/ceralacca/internal/admin"
	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/internal/config"
	"github.com/ceralacca/ceralacca/internal/directory"
	"github.com/ceralacca/ceralacca/internal/effect"
	"github.com/ceralacca/ceralacca/internal/events"
	"github.com/ceralacca/ceralacca/internal/ledger"
	"github.com/ceralacca/ceralacca/internal/quarantine"
	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/internal/tracking"
	"github.com/ceralacca/ceralacca/pec"
)

// StoreFile is the path of the agent's store.
func StoreFile(c *config.Config) string { return filepath.Join(c.Agent.State, "ceralacca.db") }

// records answers questions from a store, of the running agent or opened by a command.
type records struct {
	store      store.Store
	queue      *events.Queue // nil: nothing can be dropped
	clock      clock.Clock
	ours       func(domain string) bool
	provider   func() string
	quarantine func() *quarantine.Store
	directory  func() *directory.Loader // nil: nobody has it
}

var _ admin.Questions = (*records)(nil)

// newRecords asks for the configuration at each question: a reload may change our domains.
func newRecords(s store.Store, q *events.Queue, c clock.Clock, conf func() *config.Config) *records {
	return &records{
		store: s, queue: q, clock: c,
		ours:       func(domain string) bool { return slices.Contains(conf().Provider.Domains, strings.ToLower(domain)) },
		provider:   func() string { return conf().Provider.Name },
		quarantine: func() *quarantine.Store { return quarantine.In(conf().Agent.State) },
	}
}

// pageSize is how many records are read in one transaction.
const pageSize = 1000

// Log implements admin.Questions. It reads in pages: a slow reader must not hold a transaction of the store, nor a long
// log the memory of the agent.
func (r *records) Log(ctx context.Context, id string, fn func(json.RawMessage) error) error {
	for next := uint64(1); next > 0; {
		var lines []json.RawMessage
		var err error
		if lines, next, err = r.page(ctx, pec.Identifier(id), next); err != nil {
			return err
		}
		if err := handOn(lines, nil, fn); err != nil {
			return err
		}
	}
	return nil
}

// errFull ends a page.
var errFull = errors.New("the page is full")

// page reads the records of a message, all of them, or a page of the log from a number on. It returns the number of the
// next page, 0 when there is none.
func (r *records) page(ctx context.Context, id pec.Identifier, from uint64) (lines []json.RawMessage, next uint64, err error) {
	err = r.store.View(ctx, func(tx store.Tx) error {
		if id != "" {
			return ledger.Read(tx, id, func(record ledger.Record) error { return appendLine(&lines, record) })
		}
		return ledger.ReadFrom(tx, from, func(record ledger.Record) error {
			if len(lines) == pageSize {
				next = record.Sequence
				return errFull
			}
			return appendLine(&lines, record)
		})
	})
	if errors.Is(err, errFull) {
		err = nil
	}
	return lines, next, err
}

// Audit implements admin.Questions. What was prepared before the grace began, and never done, is a fault too.
func (r *records) Audit(ctx context.Context, grace time.Duration, fn func(json.RawMessage) error) error {
	var lines []json.RawMessage
	now := r.clock.Now()
	settled := now.Add(-grace)
	err := r.store.View(ctx, func(tx store.Tx) error {
		findings, err := ledger.Audit{Ours: r.ours, Settled: settled, Now: now}.Run(tx)
		if err != nil {
			return err
		}
		unfinished, err := effect.FindUnfinished(tx, settled)
		for _, u := range unfinished {
			findings = append(findings, ledger.Finding{Identifier: pec.Identifier(u.Identifier()), Fault: true, Text: u.Sentence()})
		}
		kept, failed := ledger.InQuarantine(tx)
		err = errors.Join(err, failed)
		for _, f := range append(findings, r.lacking(kept)...) {
			err = errors.Join(err, appendLine(&lines, f))
		}
		return err
	})
	return handOn(lines, err, fn)
}

// lacking finds the infected messages that the quarantine should have, and has not whole. [C067]
func (r *records) lacking(kept []ledger.Record) (findings []ledger.Finding) {
	from := r.quarantine()
	for _, k := range kept {
		for _, id := range k.Related {
			if err := from.Check(id); err != nil {
				findings = append(findings, ledger.Finding{Identifier: k.Identifier, Rule: 8, Fault: true, Text: err.Error() + "."})
			}
		}
	}
	return findings
}

// Undelivered implements admin.Questions.
func (r *records) Undelivered(ctx context.Context, fn func(json.RawMessage) error) error {
	var lines []json.RawMessage
	err := r.store.View(ctx, func(tx store.Tx) error {
		return tracking.Undelivered(tx, func(d tracking.Due) error { return appendLine(&lines, d) })
	})
	return handOn(lines, err, fn)
}

// Events implements admin.Questions, in pages as Log does.
func (r *records) Events(ctx context.Context, plugin, mailbox string, fn func(json.RawMessage) error) error {
	for from, full := uint64(0), true; full; {
		var lines []json.RawMessage
		err := r.store.View(ctx, func(tx store.Tx) error {
			full = false
			return events.List(tx, from, events.Filter{Plugin: plugin, Mailbox: mailbox}, func(number uint64, w events.Waiting) error {
				if len(lines) == pageSize {
					from, full = number, true
					return errFull
				}
				return appendLine(&lines, w)
			})
		})
		if errors.Is(err, errFull) {
			err = nil
		}
		if err := handOn(lines, err, fn); err != nil {
			return err
		}
	}
	return nil
}

// Drop implements admin.Questions.
func (r *records) Drop(ctx context.Context, plugin string, fn func(json.RawMessage) error) error {
	if r.queue == nil {
		return errors.New("events are dropped by the agent: start it first")
	}
	n, err := r.queue.Drop(ctx, plugin)
	if err != nil {
		return err
	}
	return fn(json.RawMessage(strconv.Itoa(n)))
}

// DirectoryUpdate implements admin.Questions.
func (r *records) DirectoryUpdate(ctx context.Context, accept string, fn func(json.RawMessage) error) error {
	if r.directory == nil {
		return errors.New("the directory is fetched by the agent: start it first")
	}
	line, err := json.Marshal(r.directory().Update(ctx, accept))
	if err != nil {
		return err
	}
	return fn(line)
}

func appendLine(lines *[]json.RawMessage, v any) error {
	line, err := json.Marshal(v)
	*lines = append(*lines, line)
	return err
}

func handOn(lines []json.RawMessage, err error, fn func(json.RawMessage) error) error {
	if err != nil {
		return err
	}
	for _, line := range lines {
		if err := fn(line); err != nil {
			return err
		}
	}
	return nil
}

// Ask returns who can answer questions about the agent of a configuration: the agent itself when it runs, else its
// store, opened for reading. The caller closes it.
func Ask(ctx context.Context, c *config.Config) (q admin.Questions, closeIt func(), err error) {
	client := admin.NewClient(c.Agent.AdminSocket.Address)
	err = client.Undelivered(ctx, func(json.RawMessage) error { return nil })
	if err == nil {
		return client, func() {}, nil
	}
	if !errors.Is(err, admin.ErrNotRunning) {
		return nil, nil, err
	}
	now := theClock()
	if _, moved := now.(*clock.Moved); moved {
		if err := inLab(c); err != nil {
			return nil, nil, err
		}
	}
	s, err := store.OpenReadOnly(StoreFile(c))
	if err != nil {
		return nil, nil, err
	}
	return newRecords(s, nil, now, func() *config.Config { return c }), func() { _ = s.Close() }, nil
}
