package directory

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"
)

// followEvery is how often the versions that another process keeps are looked at.
const followEvery = 10 * time.Second

// adopt begins with what was in use before: that of the running daemon at a reload, else the last version that is kept. A
// new one is compared with it, so that a restart lets nothing through that a person should see. [C224]
func (l *Loader) adopt(ctx context.Context) {
	if b := l.options.Before; b != nil {
		s := b.State()
		l.current.Store(b.Current())
		l.state.Digest, l.state.Accepted, l.state.Checked = s.Digest, s.Accepted, s.Checked
		l.state.Providers, l.state.Problems = s.Providers, s.Problems
		return
	}
	all, err := l.kept(ctx)
	if err != nil {
		return
	}
	for _, v := range slices.Backward(all) {
		s, err := l.openKept(v)
		if err != nil {
			l.alarm(ctx, v.Path, "a kept version of the directory is not what it was", "error", err)
			continue
		}
		if err := l.self(s); err != nil { // the configuration has changed since: nothing to hold on to
			l.options.Log.WarnContext(ctx, "the last directory does not know us as we are; a new one is not compared with it", "error", err)
			return
		}
		l.take(ctx, s, v.Digest, v.Instant)
		l.state.Checked = v.Instant
		return
	}
}

// kept lists the versions; that they cannot be seen is said.
func (l *Loader) kept(ctx context.Context) ([]Version, error) {
	if l.options.Keep == "" {
		return nil, nil
	}
	all, err := Versions(l.options.Keep)
	if err != nil {
		l.alarm(ctx, err.Error(), "what was accepted of the directory cannot be seen; a new one is not compared with it", "error", err)
	}
	return all, err
}

// openKept proves a kept version again, as of when it was accepted: its signer may have ended since.
func (l *Loader) openKept(v Version) (*Snapshot, error) {
	file, err := readFile(v.Path)
	if err != nil {
		return nil, err
	}
	if digest := sha256.Sum256(file); digest != v.Digest {
		return nil, fmt.Errorf("%s: it has the SHA-256 %x, its name says another", v.Path, digest)
	}
	return l.open(file, v.Instant)
}

// follow takes the version that the other process took since: what its operator accepted there is accepted here.
func (l *Loader) follow(ctx context.Context) {
	l.loading.Lock()
	defer l.loading.Unlock()
	l.catchUp(ctx)
}

// catchUp is follow for who has the lock. The process that keeps needs it too: what its operator accepts while a reload is
// under way is taken by the loader that the reload replaces.
func (l *Loader) catchUp(ctx context.Context) {
	if l.current.Load() == nil { // at a start adopt has looked
		return
	}
	all, err := l.kept(ctx)
	if err != nil || len(all) == 0 {
		return
	}
	last, state := all[len(all)-1], l.State()
	if last.Digest == state.Digest || !last.Instant.After(state.Accepted) {
		return
	}
	s, err := l.openKept(last)
	if err != nil {
		l.alarm(ctx, last.Path, "a kept version of the directory is not what it was", "error", err)
		return
	}
	l.take(ctx, s, last.Digest, last.Instant)
	if w := l.waiting(); w != nil && w.Digest == last.Digest {
		l.settle()
	}
}
