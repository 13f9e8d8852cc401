// Package intake takes the old mail of mailboxes out of Dovecot into the box of deposits, once each however often it is
// killed and run again. It makes no packages, sets no flag, and does not judge signatures.
//
// A message's key comes of mailbox and content, so that the same message in two folders, or in two runs, is one deposit. How far
// a folder was looked at is in its journal, every [batch] messages.
package intake

import (
	"context"
	"errors"
	"fmt"
	"net/textproto"
	"slices"
	"strings"
	"time"

	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/deposit"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/imap"
)

// ErrSpace says that the space of the mailbox is used up.
var ErrSpace = errors.New("the space of the mailbox is full; give it more, and say the same again: it goes on from here")

// Imported begins the event of what was imported; what follows is an event of the contract, ordinary or other.
const Imported = "imported-"

// The events that are none of the contract.
const (
	ordinary = Imported + "ordinary"
	other    = Imported + "other" // a kind that we do not know
)

// Options are what of a mailbox is taken. Zero values are no limit.
type Options struct {
	Folders []string // all but those set aside when empty
	// Since and Before are instants at which messages came in, the first in, the last out.
	Since, Before time.Time
	Everything    bool // also what is not certified
	DryRun        bool // nothing is taken or written
}

// Intake is how mailboxes are taken. All is set by who makes it.
type Intake struct {
	Options
	Server imap.Server
	Box    *deposit.Box
	Dir    string // of the journals, and for what is larger than memory allows for
	// Wants says whether the rules keep an event of a mailbox; Rule is what decides it, so that a journal written under another
	// one does not count.
	Wants func(mailbox, event string) bool
	Rule  func(mailbox string) string
	// Reserve counts a message that will be taken, or says that there is no room for it; Release takes it back.
	Reserve func(mailbox string, bytes int64) bool
	Release func(mailbox string, bytes int64)
	Day     func(time.Time) string // the legal day
	Clock   clock.Clock
	Watch   Watcher
}

// Watcher is told how it goes. Its methods are not called at the same time.
type Watcher interface {
	// Begin is told how many messages will be looked at.
	Begin(mailbox string, messages int64)
	// Looked is told of some more, and of how many bytes were read.
	Looked(messages, bytes int64)
	// Failed is told of a message that cannot be read.
	Failed(mailbox, folder string, uid uint32, problem error)
}

// Result counts messages.
type Result struct {
	Taken, Known, Unwanted, Failed int64
	Bytes                          int64 // of those that were taken
}

// Add adds up.
func (r *Result) Add(more Result) {
	r.Taken, r.Known, r.Unwanted, r.Failed, r.Bytes = r.Taken+more.Taken, r.Known+more.Known, r.Unwanted+more.Unwanted, r.Failed+more.Failed, r.Bytes+more.Bytes
}

// Mailbox takes one mailbox. What was taken before an error stays, and is not looked at again.
func (in *Intake) Mailbox(ctx context.Context, mailbox string) (Result, error) {
	r := &run{Intake: in, ctx: ctx, mailbox: mailbox}
	defer r.close()
	work, err := r.survey()
	if err != nil {
		return r.result, err
	}
	for _, f := range work {
		if err := r.folder(f); err != nil {
			return r.result, fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return r.result, nil
}

// lookedAt is the fields of a header that say what a message is.
func lookedAt() []string { return []string{pec.FieldTransport, pec.FieldReceipt} }

// event maps what stands in a header to the events of the contract. taken is false for what is nobody's document: receipts of
// taking charge go from provider to provider.
func event(fields textproto.MIMEHeader) (event string, taken bool) {
	transport := pec.Kind(strings.ToLower(fields.Get(pec.FieldTransport)))
	receipt := pec.Kind(strings.ToLower(fields.Get(pec.FieldReceipt)))
	switch {
	case receipt == pec.KindTakeCharge:
		return "", false
	case receipt == pec.KindAcceptance:
		return Imported + "accepted", true
	case receipt == pec.KindNonAcceptance:
		return Imported + "non-acceptance", true
	case receipt == pec.KindDelivery:
		return Imported + "delivery", true
	case receipt == pec.KindNonDelivery:
		return Imported + "non-delivery", true
	case receipt == pec.KindTimeout, receipt == pec.KindVirusDetection:
		return Imported + "notice", true
	case receipt == "" && transport == pec.KindTransport:
		return Imported + "delivered", true
	case receipt == "" && transport == pec.KindAnomaly:
		return Imported + "anomaly", true
	case receipt == "" && transport == "":
		return ordinary, true
	}
	return other, true
}

// wants says whether a message is taken, and as what.
func (r *run) wants(m imap.Message) (string, bool) {
	kind, taken := event(m.Fields)
	if !taken || kind == ordinary && !r.Everything || !r.inTime(m.Time) {
		return "", false
	}
	return kind, r.Wants(r.mailbox, kind)
}

func (r *run) inTime(at time.Time) bool {
	return (r.Since.IsZero() || !at.Before(r.Since)) && (r.Before.IsZero() || at.Before(r.Before))
}

// part is what is to be done of a folder.
type part struct {
	name  string
	spans []imap.Span
	progress
}

// survey finds the folders, and what of each was not looked at before.
func (r *run) survey() ([]part, error) {
	if err := r.open(""); err != nil {
		return nil, err
	}
	folders, err := r.session.Folders()
	if err != nil {
		return nil, err
	}
	var work []part
	var total int64
	for _, name := range r.chosen(folders) {
		p, err := r.look(name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		work = append(work, p)
		total += count(p.spans) + int64(len(p.Unread))
	}
	r.Watch.Begin(r.mailbox, total)
	return work, r.missing(folders)
}

// chosen are the folders that are taken.
func (r *run) chosen(folders []imap.Folder) (names []string) {
	for _, f := range folders {
		if len(r.Folders) == 0 && !f.SetAside || slices.Contains(r.Folders, f.Name) {
			names = append(names, f.Name)
		}
	}
	return names
}

// missing says which of the folders that were asked for is not there.
func (r *run) missing(folders []imap.Folder) error {
	for _, name := range r.Folders {
		if !slices.ContainsFunc(folders, func(f imap.Folder) bool { return f.Name == name }) {
			return fmt.Errorf("%s has no folder %q", r.mailbox, name)
		}
	}
	return nil
}

// look reads the journal of a folder and searches what comes after it. The server compares days of its own zone, so a day more
// is asked for, and each message looked at.
func (r *run) look(name string) (part, error) {
	validity, err := r.session.Examine(name)
	if err != nil {
		return part{}, err
	}
	j, err := r.readProgress(name, validity)
	if err != nil {
		return part{}, err
	}
	q := imap.Query{After: j.Done}
	if !r.Since.IsZero() {
		q.Since = r.Since.AddDate(0, 0, -1)
	}
	if !r.Before.IsZero() {
		q.Before = r.Before.AddDate(0, 0, 2)
	}
	spans, err := r.session.Search(q)
	return part{name: name, spans: spans, progress: j}, err
}

func count(spans []imap.Span) (n int64) {
	for _, s := range spans {
		n += int64(s.Last-s.First) + 1
	}
	return n
}
