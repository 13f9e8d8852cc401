package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"
	"time"
	_ "time/tzdata" // legal time also where the machine has no zones

	"github.com/ceralacca/ceralacca/internal/fsx"
	"github.com/ceralacca/ceralacca/plugins"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/deposit"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/keeper"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/store"
	"github.com/ceralacca/ceralacca/signer"
)

// legal is whose midnight ends a day.
const legal = "Europe/Rome"

// depositor answers the calls of the contract.
type depositor struct {
	settings settings
	box      *deposit.Box
	store    store.Store
	keeper   *keeper.Keeper
	space    *space
	archive  *copies // nil without
	zone     *time.Location
	log      *slog.Logger
}

var (
	_ plugins.Depositor = (*depositor)(nil)
	_ plugins.Healther  = (*depositor)(nil)
)

// open reads all that the configuration names. It makes no packages yet.
func open(s settings, log *slog.Logger) (*depositor, error) {
	zone, err := time.LoadLocation(legal)
	if err != nil {
		return nil, err
	}
	verifier, parts, err := s.verifier()
	if err != nil {
		return nil, err
	}
	key, err := signer.LoadKey(s.Certificate, s.Key)
	if err != nil {
		return nil, fmt.Errorf("certificate and key: %w", err)
	}
	kept, err := s.prepare(log)
	if err != nil {
		return nil, err
	}
	box, err := deposit.Open(s.Folder)
	if err != nil {
		return nil, fmt.Errorf("folder: %w", err)
	}
	k := &keeper.Keeper{Box: box, Catalogue: s.catalogue(), Store: kept, Stamps: verifier.Stamps, Key: key, Parts: parts, Owner: s.Owner, OwnerID: s.OwnerID, Manual: s.Manual,
		Version: version, Zone: zone, Delay: duration(s.Delay), Clock: s.clock(), Log: log}
	d := &depositor{settings: s, box: box, store: kept, keeper: k, zone: zone, log: log, space: newSpace(box, s.catalogue())}
	k.Books = &d.space.books
	if d.archive, err = openArchive(s); err != nil {
		return nil, fmt.Errorf("archive_directory: %w", err)
	}
	return d, d.space.load()
}

// prepare makes the store ready to be put into. One that is elsewhere may be down: its keeper asks it.
func (s settings) prepare(log *slog.Logger) (store.Store, error) {
	if s.StoreS3 == nil {
		if err := fsx.Folder(s.StoreDirectory, 0o750); err != nil {
			return nil, fmt.Errorf("store_directory: %w", err)
		}
	} else if s.StoreS3.Insecure {
		log.Warn("packages go to the store without encryption", "endpoint", s.StoreS3.Endpoint)
	}
	return s.store()
}

func (s settings) catalogue() keeper.Catalogue {
	return keeper.Catalogue(filepath.Join(s.Folder, "catalogue"))
}

// notKept is the reference of what the rules do not keep.
const notKept = "not kept by the rules"

// Limits of what is taken, in bytes.
const (
	maxKey     = 1000
	maxMailbox = 200
)

// Deposit implements plugins.Depositor.
func (d *depositor) Deposit(_ context.Context, b plugins.Bundle, content *plugins.Content) (plugins.Effect, error) {
	if b.Mailbox == "" || len(deposit.Escape(b.Mailbox)) > maxMailbox || b.Key == "" || len(b.Key) > maxKey {
		return plugins.Effect{Outcome: plugins.Refused, Reason: "the mailbox or the key is empty or too long"}, nil
	}
	_, known, err := d.box.Find(b.Key)
	if err != nil {
		return plugins.Effect{}, err
	}
	keep, limit := known || d.settings.keeps(b.Mailbox, b.Event), d.settings.limit(b.Mailbox)
	if u := d.space.of(b.Mailbox); keep && !known && limit > 0 && u.Bytes+b.Size > limit {
		d.space.refuse(b.Mailbox)
		return plugins.Effect{Outcome: plugins.Later, Reason: fmt.Sprintf("the space of the mailbox is full: %d of %d bytes; give it more in mailboxes", u.Bytes, limit)}, nil
	}
	source, err := d.copied(b, content)
	if errors.Is(err, deposit.ErrKey) {
		return plugins.Effect{Outcome: plugins.Refused, Reason: err.Error()}, nil
	}
	if err != nil {
		return plugins.Effect{}, err
	}
	defer func() { _ = source.Close() }() // it was only read
	if !keep {
		_, err := io.Copy(io.Discard, content) // of which nothing is left where a copy was made
		return plugins.Effect{Outcome: plugins.Done, Reference: notKept}, err
	}
	return d.take(b, source)
}

func (d *depositor) take(b plugins.Bundle, content io.Reader) (plugins.Effect, error) {
	defer d.space.begin(b.Key)()
	r, fresh, err := d.box.Take(d.record(b), content)
	if errors.Is(err, deposit.ErrKey) {
		return plugins.Effect{Outcome: plugins.Refused, Reason: err.Error()}, nil
	}
	if err != nil {
		return plugins.Effect{}, err
	}
	if fresh {
		used := d.space.add(r)
		d.tell("the space of a mailbox fills", b.Mailbox, used.Bytes, b.Size, d.settings.limit(b.Mailbox))
	}
	return plugins.Effect{Outcome: plugins.Done, Reference: reference(r)}, nil
}

// reference is the same for the same key, whatever becomes of it.
func reference(r deposit.Record) string { return r.Day + "/" + r.SHA256 }

// tell logs the thresholds that the last deposit, of size bytes, has passed.
func (d *depositor) tell(what, mailbox string, used, size, limit int64) {
	for _, threshold := range d.settings.Warn {
		at := limit / 100 * int64(threshold)
		if limit > 0 && used >= at && used-size < at {
			d.log.Warn(what, "mailbox", mailbox, "percent", threshold, "bytes", used, "limit", limit)
		}
	}
}

// Status implements plugins.Depositor.
func (d *depositor) Status(_ context.Context, key string) (plugins.State, plugins.Effect, error) {
	r, ok, err := d.box.Find(key)
	switch {
	case err != nil:
		return plugins.NoState, plugins.Effect{}, err
	case !ok:
		return plugins.Unknown, plugins.Effect{}, nil
	case r.Package == "":
		return plugins.Pending, plugins.Effect{Reference: reference(r), Reason: "its day is not over, or its package not stamped"}, nil
	default:
		return plugins.Kept, plugins.Effect{Reference: r.Package + "/" + r.Object}, nil
	}
}

// Usage implements plugins.Depositor.
func (d *depositor) Usage(_ context.Context, mailbox string) (plugins.Usage, error) {
	u := d.space.of(mailbox)
	u.LimitBytes = d.settings.limit(mailbox)
	return u, nil
}

// Exhibit implements plugins.Depositor.
func (d *depositor) Exhibit(ctx context.Context, key string) (plugins.Bundle, io.ReadCloser, bool, error) {
	for try := 0; ; try++ {
		r, ok, err := d.box.Find(key)
		if err != nil || !ok {
			return plugins.Bundle{}, nil, false, err
		}
		content, err := d.content(ctx, r)
		if errors.Is(err, fs.ErrNotExist) && try == 0 {
			continue // it has just gone into its package
		}
		if err != nil {
			return plugins.Bundle{}, nil, false, err
		}
		sum, err := hex.DecodeString(r.SHA256)
		return plugins.Bundle{Key: r.Key, Mailbox: r.Mailbox, Event: r.Event, Size: r.Size, SHA256: sum, MediaType: r.MediaType, Time: r.Time}, content, true, err
	}
}

func (d *depositor) content(ctx context.Context, r deposit.Record) (io.ReadCloser, error) {
	if r.Package == "" {
		return d.box.Content(r)
	}
	p, found, err := d.store.Package(ctx, r.Package)
	if err == nil && !found {
		err = fmt.Errorf("the store has no package %s", r.Package)
	}
	if err != nil {
		return nil, err
	}
	return p.Open(ctx, r.Object)
}

// tolerated is how many passes may fail before it is an alarm: an authority that is restarted is none.
const tolerated = 3

// Health implements plugins.Healther.
func (d *depositor) Health() plugins.Health {
	state, full := d.keeper.State(), d.space.full()
	name, worst := d.space.fullest(d.settings.limit)
	h := plugins.Health{Measures: []plugins.Measure{
		{Name: "packages_waiting", Value: float64(state.Waiting)}, {Name: "package_failures", Value: float64(state.Failures)},
		{Name: "mailboxes_full", Value: float64(full)}, {Name: "fullest_mailbox_percent", Value: worst},
	}}
	switch {
	case full > 0:
		h.Problem = fmt.Sprintf("%d mailboxes are full, their events wait: give them more space", full)
	case worst >= float64(d.settings.Warn[len(d.settings.Warn)-1]):
		h.Problem = fmt.Sprintf("the space of %s is used to %.0f %%: give it more", name, worst)
	case state.Failures > tolerated:
		h.Problem = "packages are not preserved: " + state.Problem
	}
	if d.archive != nil {
		d.archiveHealth(&h)
	}
	return h
}
