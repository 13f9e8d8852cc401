package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// What nobody asks for any more is removed.
const (
	abandoned  = time.Hour           // a file that a killed writer has left
	usageKept  = 60 * 24 * time.Hour // of a mailbox of which nothing more was heard: it is gone, or has no rule
	leftBehind = 24 * time.Hour      // after the last instant at which anybody could send a file that is aside
)

// sweeper is a channel that keeps files.
type sweeper interface {
	// sweep removes those older than an age that are of no parcel to be sent.
	sweep(now time.Time, age time.Duration, open map[string]bool) error
}

// forget removes what is not needed any more.
func (e *engine) forget(now time.Time) error {
	open := map[string]bool{}
	e.mu.Lock()
	for _, b := range e.boxes {
		for _, n := range b.open {
			for i := range n.Legs {
				open[n.key(i)] = true
			}
		}
	}
	e.mu.Unlock()
	err := e.store.forget(now)
	if s, ok := e.c.sms.(sweeper); ok {
		err = errors.Join(err, s.sweep(now, e.c.giveUp+leftBehind, open))
	}
	return err
}

// forget removes the days that are no longer remembered, how full mailboxes were of which nothing is heard, and what killed
// writers left.
func (s store) forget(now time.Time) error {
	var errs []error
	oldest := dayOf(now.AddDate(0, 0, -remembered))
	for _, kind := range []string{"done", "sent"} {
		days, err := os.ReadDir(s.path(kind))
		errs = append(errs, err)
		for _, day := range days {
			if day.Name() < oldest {
				errs = append(errs, os.RemoveAll(s.path(kind, day.Name())))
			}
		}
	}
	for _, kind := range []string{"in", "out", "spool", "usage"} {
		errs = append(errs, older(s.path(kind), now, abandoned, func(name string) bool { return strings.HasPrefix(name, ".") }))
	}
	errs = append(errs, older(s.path("usage"), now, usageKept, func(string) bool { return true }))
	return errors.Join(errs...)
}

// older removes the files of a folder that were not written for so long, and of which yes says that they may go.
func older(folder string, now time.Time, age time.Duration, yes func(name string) bool) error {
	files, err := os.ReadDir(folder)
	errs := []error{err}
	for _, f := range files {
		info, err := f.Info()
		if err != nil || !info.Mode().IsRegular() || now.Sub(info.ModTime()) <= age || !yes(f.Name()) {
			continue // one that is gone meanwhile among them
		}
		if err := os.Remove(filepath.Join(folder, f.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
