package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/ceralacca/ceralacca/internal/fsx"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/archive"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/imap"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/keeper"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/restoration"
)

// restored begins the name of the folder into which messages are put back; its day follows.
const restored = "Ripristino "

// restore is the command restore.
func (c command) restore(ctx context.Context, args []string) error {
	f := newMailFlags("restore")
	var o restoration.Options
	f.StringVar(&o.Folder, "into", "", "")
	f.Var((*names)(&o.Events), "event", "")
	s, err := f.read(args)
	if err != nil {
		return err
	}
	if f.NArg() != 1 {
		return fmt.Errorf("restore wants one mailbox: %w", errUsage)
	}
	since, before, err := f.days()
	if err != nil {
		return err
	}
	o.Since, o.Before, o.Mailbox = day(since), day(before), strings.ToLower(f.Arg(0))
	o.Preset = restored + keeper.Day(s.clock().Now(), f.zone)
	r, end, err := s.restoration(o)
	if err != nil {
		return err
	}
	defer end()
	shown := newProgress(c.err, *f.quiet)
	r.Watch = shown
	result, err := r.Run(ctx)
	shown.end()
	if result.Put+result.There > 0 {
		_, _ = fmt.Fprintf(c.out, "%s: %d messages, %s, put into %q; %d were there already\n", o.Mailbox, result.Put, human(result.Bytes), result.Folder, result.There)
	}
	if errors.Is(err, imap.ErrFull) {
		return fmt.Errorf("%s: %w; give it more there, and say the same again: it goes on from here", o.Mailbox, imap.ErrFull)
	}
	if err == nil && result.Put+result.There == 0 {
		return fmt.Errorf("the archive has no such messages of %s", o.Mailbox)
	}
	return err
}

// day is empty for no limit.
func day(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.Format(time.DateOnly)
}

// restoration prepares one; none other is at work until end.
func (s settings) restoration(o restoration.Options) (r *restoration.Restoration, end func(), err error) {
	if !s.hasArchive() {
		return nil, nil, fmt.Errorf("there is no archive: the configuration says archive = \"off\": %w", errUsage)
	}
	server, err := s.dovecot()
	if err != nil {
		return nil, nil, err
	}
	if err := mine(s.Folder); err != nil {
		return nil, nil, err
	}
	copies, err := archive.Existing(s.ArchiveDirectory, s.clock())
	if err != nil {
		return nil, nil, fmt.Errorf("archive_directory: %w", err)
	}
	dir := filepath.Join(s.Folder, "restore")
	if err := fsx.Folder(dir, 0o700); err != nil {
		return nil, nil, err
	}
	if end, err = lock(filepath.Join(dir, "lock")); err != nil {
		return nil, nil, fmt.Errorf("another restore is at work; wait for its end: %w", err)
	}
	return &restoration.Restoration{Options: o, Server: server, Source: copies, Dir: dir}, end, nil
}
