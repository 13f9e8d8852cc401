package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ceralacca/ceralacca/plugins"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/archive"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/deposit"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/keeper"
)

// copies is the security archive at work.
type copies struct {
	*archive.Archive
	space    *space
	missing  atomic.Int64 // messages without a copy
	counting sync.RWMutex // keeps copies from being made while those on disk are counted
}

// openArchive returns nil where there is none.
func openArchive(s settings) (*copies, error) {
	if !s.hasArchive() {
		return nil, nil
	}
	a, err := archive.Open(s.ArchiveDirectory, s.clock())
	if err != nil {
		return nil, err
	}
	c := &copies{Archive: a, space: newSpace(nil, "")}
	return c, c.count()
}

// count reads from disk what each mailbox has.
func (c *copies) count() error {
	c.counting.Lock()
	defer c.counting.Unlock()
	totals, err := c.Totals(true)
	if err != nil {
		return err
	}
	missing, err := c.Missing()
	if err != nil {
		return err
	}
	used := map[string]plugins.Usage{}
	for mailbox, t := range totals {
		used[mailbox] = plugins.Usage{Bytes: t.Bytes, Items: t.Items}
	}
	sum := 0
	for _, n := range missing {
		sum += n
	}
	c.space.set(used)
	c.missing.Store(int64(sum))
	return nil
}

// record is what is written of a bundle.
func (d *depositor) record(b plugins.Bundle) deposit.Record {
	return deposit.Record{Key: b.Key, Mailbox: b.Mailbox, Event: b.Event, MediaType: b.MediaType,
		Day: keeper.Day(time.Unix(b.Time, 0), d.zone), SHA256: hex.EncodeToString(b.SHA256), Size: b.Size, Time: b.Time}
}

// copied puts a copy into the archive, and returns where the content is to be read from now: content is read once. Conservation
// never waits for room in the archive: what finds none is noted, and has no copy.
func (d *depositor) copied(b plugins.Bundle, content io.Reader) (io.ReadCloser, error) {
	if d.archive == nil || !d.settings.archives(b.Mailbox, b.Event) {
		return io.NopCloser(content), nil
	}
	d.archive.counting.RLock()
	defer d.archive.counting.RUnlock()
	r := d.record(b)
	_, known, err := d.archive.Find(b.Key)
	if err != nil {
		return nil, archiveFault(err)
	}
	limit := d.settings.archiveLimit(b.Mailbox)
	if !known && !d.archive.space.reserve(b.Mailbox, b.Size, limit) {
		if d.archive.space.refuse(b.Mailbox) {
			d.log.Error("the archive of a mailbox is full, its messages have no copy any more", "mailbox", b.Mailbox, "limit", limit)
		}
		news, err := d.archive.Miss(r)
		if news {
			d.archive.missing.Add(1)
		}
		return io.NopCloser(content), archiveFault(err)
	}
	kept, fresh, err := d.archive.Take(r, content)
	if !known && (err != nil || !fresh) {
		d.archive.space.release(b.Mailbox, b.Size)
	}
	if err != nil {
		return nil, archiveFault(err)
	}
	if found, err := d.archive.Found(r); err != nil {
		return nil, archiveFault(err)
	} else if found {
		d.archive.missing.Add(-1)
	}
	if fresh {
		d.archive.space.accept(b.Mailbox)
		d.tell("the archive of a mailbox fills", b.Mailbox, d.archive.space.of(b.Mailbox).Bytes, b.Size, limit)
	}
	copy, err := d.archive.Box.Content(kept)
	return copy, archiveFault(err)
}

func archiveFault(err error) error {
	if err == nil || errors.Is(err, deposit.ErrKey) || errors.Is(err, deposit.ErrContent) {
		return err
	}
	return fmt.Errorf("the archive: %w", err)
}

// archiveHealth adds what is to be said of the archive. What stands there already is worse.
func (d *depositor) archiveHealth(h *plugins.Health) {
	full := d.archive.space.full()
	name, worst := d.archive.space.fullest(d.settings.archiveLimit)
	h.Measures = append(h.Measures, plugins.Measure{Name: "archive_missing", Value: float64(d.archive.missing.Load())},
		plugins.Measure{Name: "archives_full", Value: float64(full)}, plugins.Measure{Name: "fullest_archive_percent", Value: worst})
	switch {
	case h.Problem != "":
	case full > 0:
		h.Problem = fmt.Sprintf("the archives of %d mailboxes are full, %d messages have no copy: give them more archive_space", full, d.archive.missing.Load())
	case worst >= float64(d.settings.Warn[len(d.settings.Warn)-1]):
		h.Problem = fmt.Sprintf("the archive of %s is used to %.0f %%: give it more archive_space", name, worst)
	}
}

// archiveStatus shows the archive as status shows what is kept, and how many messages have no copy.
func (c command) archiveStatus(s settings, mailboxes []string) error {
	if !s.hasArchive() {
		return nil
	}
	a, err := archive.Existing(s.ArchiveDirectory, s.clock())
	if err != nil {
		return fmt.Errorf("archive_directory: %w", err)
	}
	totals, err := a.Totals(false)
	if err != nil {
		return err
	}
	missing, err := a.Missing()
	if err != nil {
		return err
	}
	if len(mailboxes) == 0 {
		for mailbox := range missing {
			if _, ok := totals[mailbox]; !ok {
				totals[mailbox] = archive.Total{} // it has no copy at all
			}
		}
		mailboxes = slices.Sorted(maps.Keys(totals))
	}
	_, err = fmt.Fprintf(c.out, "\n%-36s %9s %10s %10s\n", "archive", "copies", "size", "space")
	for _, mailbox := range mailboxes {
		t, limit := totals[mailbox], s.archiveLimit(mailbox)
		line := fmt.Sprintf("%-36s %9d %10s", mailbox, t.Items, human(t.Bytes))
		if limit > 0 {
			line += fmt.Sprintf(" %10s %s", human(limit), bar(t.Bytes, limit))
		} else {
			line += "   no limit"
		}
		if n := missing[mailbox]; n > 0 {
			line += fmt.Sprintf("  %d messages have no copy", n)
		}
		_, e := fmt.Fprintln(c.out, line)
		err = errors.Join(err, e)
	}
	return err
}
