// Package restoration puts messages back into a mailbox by IMAP, each once however often it is killed and run again. It does not
// change what it reads, and removes nothing.
//
// Its journal, one file for each folder and day, says which messages are there and which are on their way: those are looked for
// before they are put in again. It holds as long as the folder is the same one, by its UIDVALIDITY.
package restoration

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/ceralacca/ceralacca/plugins/conserve/internal/deposit"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/imap"
)

// Source is where the messages are.
type Source interface {
	// Days lists those of which there are messages of a mailbox, Members the messages of one.
	Days(ctx context.Context, mailbox string) ([]string, error)
	Members(ctx context.Context, mailbox, day string) ([]deposit.Record, error)
	Content(ctx context.Context, r deposit.Record) (io.ReadCloser, error)
}

// Options say what is put where.
type Options struct {
	Mailbox string
	Folder  string // created and subscribed to; empty for Preset, or where the last one like this was stopped
	Preset  string // beneath what folders of the mailbox begin with
	// Since and Before are days, 2026-11-30, the first in, the last out; empty for no limit. No events are all.
	Since, Before string
	Events        []string
}

// Restoration puts the messages of a mailbox back. All is set by who makes it.
type Restoration struct {
	Options
	Server imap.Server
	Source Source
	Dir    string // of the journals
	Watch  Watcher
}

// Watcher is told how it goes.
type Watcher interface {
	Begin(mailbox string, messages int64)
	Looked(messages, bytes int64)
}

// Result counts messages.
type Result struct {
	Folder     string
	Put, There int64
	Bytes      int64 // of those that were put
}

// batch is how many messages are on their way before the journal is written.
const batch = 100

// run is one restoration at work.
type run struct {
	*Restoration
	ctx     context.Context
	session *imap.Session
	result  Result
	book    book
}

// Run puts all back. What was put before an error stays, and is not put again.
func (t *Restoration) Run(ctx context.Context) (Result, error) {
	session, err := t.Server.Open(ctx, t.Mailbox)
	if err != nil {
		return Result{}, err
	}
	defer session.Close()
	r := &run{Restoration: t, ctx: ctx, session: session}
	days, err := r.survey()
	if err != nil || len(days) == 0 {
		return r.result, err
	}
	if err := r.prepare(); err != nil {
		return r.result, err
	}
	for _, day := range days {
		if err := r.day(day); err != nil {
			return r.result, err
		}
	}
	return r.result, r.book.end()
}

// survey lists the days that have messages that are wanted.
func (r *run) survey() (wanted []string, err error) {
	days, err := r.Source.Days(r.ctx, r.Mailbox)
	if err != nil {
		return nil, err
	}
	slices.Sort(days)
	total := 0
	for _, day := range days {
		if r.Since != "" && day < r.Since || r.Before != "" && day >= r.Before {
			continue
		}
		members, err := r.members(day)
		if err != nil {
			return nil, err
		}
		if len(members) > 0 {
			wanted, total = append(wanted, day), total+len(members)
		}
	}
	r.Watch.Begin(r.Mailbox, int64(total))
	return wanted, nil
}

func (r *run) members(day string) ([]deposit.Record, error) {
	members, err := r.Source.Members(r.ctx, r.Mailbox, day)
	if len(r.Events) > 0 {
		members = slices.DeleteFunc(members, func(m deposit.Record) bool { return !slices.Contains(r.Events, m.Event) })
	}
	return members, err
}

// prepare decides the folder, makes it, and opens the journal for it.
func (r *run) prepare() error {
	question := fmt.Sprintf("since %q, before %q, events %q", r.Since, r.Before, r.Events)
	r.book = book{dir: r.Dir, mailbox: r.Mailbox}
	prefix, err := r.session.Personal()
	if err != nil {
		return err
	}
	folder, err := r.book.begin(question, r.Folder, prefix+r.Preset)
	if err != nil {
		return err
	}
	r.result.Folder = folder
	if err := r.session.Create(folder); err != nil {
		return fmt.Errorf("the folder %q: %w", folder, err)
	}
	r.book.folder = folder
	r.book.validity, err = r.session.Examine(folder)
	return err
}

func (r *run) day(day string) error {
	p, err := r.book.read(day)
	if err != nil {
		return err
	}
	members, err := r.members(day)
	if err != nil {
		return err
	}
	done := map[string]bool{}
	for _, key := range p.Done {
		done[key] = true
	}
	left := slices.DeleteFunc(members, func(m deposit.Record) bool { return done[name(m)] })
	r.result.There += int64(len(done))
	r.Watch.Looked(int64(len(done)), 0)
	for some := range slices.Chunk(left, batch) {
		uncertain := p.Doing // of who was stopped
		p.Doing = names(some)
		for _, key := range uncertain {
			if !slices.Contains(p.Doing, key) {
				p.Doing = append(p.Doing, key) // still uncertain
			}
		}
		if err := r.book.write(p); err != nil {
			return err
		}
		for _, m := range some {
			if err := r.one(m, slices.Contains(uncertain, name(m))); err != nil {
				return err
			}
		}
		p.Doing = slices.DeleteFunc(p.Doing, func(key string) bool { return slices.Contains(names(some), key) })
		p.Done = append(p.Done, names(some)...)
	}
	return r.book.write(p)
}

// name is what a message is called in the journal.
func name(m deposit.Record) string {
	sum := sha256.Sum256([]byte(m.Key))
	return hex.EncodeToString(sum[:16])
}

func names(some []deposit.Record) (all []string) {
	for _, m := range some {
		all = append(all, name(m))
	}
	return all
}

// one puts a message, unless it is uncertain and there.
func (r *run) one(m deposit.Record, uncertain bool) error {
	if uncertain {
		there, err := r.holds(m)
		if err != nil {
			return err
		}
		if there {
			r.result.There++
			r.Watch.Looked(1, 0)
			return nil
		}
	}
	content, err := r.Source.Content(r.ctx, m)
	if err != nil {
		return fmt.Errorf("%s: %w", m.Key, err)
	}
	defer func() { _ = content.Close() }() // it was only read
	if err := r.session.Append(r.result.Folder, m.Size, time.Unix(m.Time, 0), content); err != nil {
		return err
	}
	r.result.Put, r.result.Bytes = r.result.Put+1, r.result.Bytes+m.Size
	r.Watch.Looked(1, m.Size)
	return nil
}

// holds looks for a message in the folder.
func (r *run) holds(m deposit.Record) (bool, error) {
	if _, err := r.session.Examine(r.result.Folder); err != nil { // what came in since is seen
		return false, err
	}
	spans, err := r.session.Search(imap.Query{Size: m.Size})
	if err != nil || len(spans) == 0 {
		return false, err
	}
	found := false
	err = r.session.Bodies(spans, func(_ imap.Message, text io.Reader) error {
		sum := sha256.New()
		_, err := io.Copy(sum, text)
		found = found || strings.EqualFold(hex.EncodeToString(sum.Sum(nil)), m.SHA256)
		return err
	})
	return found, err
}
