package directory

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ceralacca/ceralacca/internal/fsx"
)

// ErrWaiting says that a genuine version lacks so much of the one in use that a person must say whether it is right; test
// with [errors.Is].
var ErrWaiting = errors.New("the new directory is not taken until a person accepts it")

// ErrAccept says that what a person accepts is not what waits.
var ErrAccept = errors.New("no such version waits")

// Waiting is a version that a person must accept before it is used.
type Waiting struct {
	Digest  [sha256.Size]byte
	Since   time.Time // when it was first seen by this process
	Reasons []string  // a phrase each, at least one
	Changes []string  // a sentence each
	Loss    Loss

	file     []byte
	snapshot *Snapshot
}

// judge says why a version must not be used unseen: nil when it may. Without one in use there is nothing to compare with.
func (l *Loader) judge(fresh *Snapshot) (Loss, []string) {
	old := l.current.Load()
	if old == nil {
		return Loss{}, nil
	}
	loss := lossOf(fresh, old, l.options.Clock.Now())
	reasons := loss.reasons(l.options.MaxLoss)
	if err := l.self(fresh); err != nil && l.self(old) == nil {
		reasons = append([]string{"our own record: " + err.Error()}, reasons...)
	}
	return loss, reasons
}

// self says what is wrong with our own record.
func (l *Loader) self(s *Snapshot) error {
	if l.options.Self == nil {
		return nil
	}
	return l.options.Self(s)
}

// hold keeps a version aside, for a person to look at and accept. One at a time: a newer one replaces it.
func (l *Loader) hold(w *Waiting) error {
	before := l.waiting()
	if before != nil && before.Digest == w.Digest {
		return w.err()
	}
	w.Since = l.options.Clock.Now()
	l.setWaiting(w)
	if l.keeps() {
		err := fsx.Folder(l.options.Keep, 0o700)
		if err == nil {
			err = fsx.WriteBytes(WaitingFile(l.options.Keep), 0o600, w.file)
		}
		if err != nil { // it is in the memory, and can be accepted; only diff cannot show it
			l.options.Log.Error("the directory that waits cannot be written down", "error", err)
		}
	}
	return w.err()
}

func (w *Waiting) err() error {
	return fmt.Errorf("%w: ceralacca directory update --accept %x (%s)", ErrWaiting, w.Digest, strings.Join(w.Reasons, "; "))
}

// settle forgets what waits: it was accepted, or the source has taken it back.
func (l *Loader) settle() {
	if l.waiting() != nil {
		l.setWaiting(nil)
	}
	if !l.keeps() {
		return
	}
	if err := fsx.Remove(WaitingFile(l.options.Keep)); err != nil {
		l.options.Log.Error("the directory that waited cannot be removed", "error", err)
	}
}

func (l *Loader) waiting() *Waiting {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state.Waiting
}

func (l *Loader) setWaiting(w *Waiting) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state.Waiting = w
}

// keeps: this process has the folder of the versions.
func (l *Loader) keeps() bool { return l.options.Keep != "" && !l.options.Follow }

// minDigest is how many digits of a digest a person must give, so that he has looked.
const minDigest = 8

// Accept fetches, and then takes the version that waits if it has this SHA-256: its digits, or at least the first eight. A
// version that has come since is not what was looked at: the error is [ErrAccept], as it is when none waits.
func (l *Loader) Accept(ctx context.Context, digits string) error {
	digits = strings.ToLower(digits)
	if len(digits) < minDigest {
		return fmt.Errorf("%w: write at least the first %d digits of its SHA-256", ErrAccept, minDigest)
	}
	if err := l.Refresh(ctx); err == nil {
		if in := l.State().Digest; strings.HasPrefix(hex.EncodeToString(in[:]), digits) {
			return nil // it is in use already
		}
	}
	l.loading.Lock()
	defer l.loading.Unlock()
	w := l.waiting()
	switch {
	case w == nil:
		return fmt.Errorf("%w: none does", ErrAccept)
	case !strings.HasPrefix(hex.EncodeToString(w.Digest[:]), digits):
		return fmt.Errorf("%w: what waits has the SHA-256 %x; look at it with ceralacca directory diff waiting", ErrAccept, w.Digest)
	}
	instant, err := l.keep(w.file, w.Digest)
	if err != nil {
		return err
	}
	l.options.Log.WarnContext(ctx, "a directory is taken because a person accepted it", "sha256", fmt.Sprintf("%x", w.Digest),
		"reasons", w.Reasons)
	l.take(ctx, w.snapshot, w.Digest, instant)
	l.settle()
	now := l.options.Clock.Now()
	l.good(now, now)
	return nil
}
