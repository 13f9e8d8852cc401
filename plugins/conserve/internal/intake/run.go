package intake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/ceralacca/ceralacca/plugins/conserve/internal/imap"
)

// batch is how many messages are asked for at a time, and how many are looked at again after a kill.
const batch = 200

// run is one mailbox being taken.
type run struct {
	*Intake
	ctx     context.Context
	mailbox string
	session *imap.Session
	result  Result
	lost    int // messages in a row that could not be read
}

func (r *run) close() {
	if r.session != nil {
		r.session.Close()
	}
}

// open begins a session, in a folder where one is named.
func (r *run) open(folder string) error {
	r.close()
	var err error
	if r.session, err = r.Server.Open(r.ctx, r.mailbox); err != nil || folder == "" {
		return err
	}
	_, err = r.session.Examine(folder)
	return err
}

// folder looks at all of a part, first at what could not be read the last time.
func (r *run) folder(p part) error {
	if len(p.spans)+len(p.Unread) == 0 {
		return nil
	}
	if err := r.open(p.name); err != nil {
		return err
	}
	again := p.Unread
	p.Unread = nil
	for uids := range slices.Chunk(again, batch) {
		if err := r.batch(&p, uids); err != nil {
			return err
		}
	}
	if len(again) > 0 && len(p.spans) == 0 && !r.DryRun {
		return r.writeProgress(p.progress)
	}
	return r.spans(&p)
}

// spans goes through what the search found, and writes the journal after each batch.
func (r *run) spans(p *part) error {
	uids := make([]uint32, 0, batch)
	flush := func() error {
		if len(uids) == 0 {
			return nil
		}
		if err := r.batch(p, uids); err != nil {
			return err
		}
		p.Done = uids[len(uids)-1]
		uids = uids[:0]
		if r.DryRun {
			return nil
		}
		return r.writeProgress(p.progress)
	}
	for _, span := range p.spans {
		for uid := uint64(span.First); uid <= uint64(span.Last); uid++ {
			if uids = append(uids, uint32(uid)); len(uids) == batch {
				if err := flush(); err != nil {
					return err
				}
			}
		}
	}
	return flush()
}

// batch takes what is wanted of some messages; when it returns without an error that is on disk.
func (r *run) batch(p *part, uids []uint32) error {
	wanted, events := []uint32{}, map[uint32]string{}
	var sizes int64
	failed := r.result.Failed
	err := r.each(p, uids, func(s *imap.Session, spans []imap.Span, got func(uint32)) error {
		return s.Heads(spans, lookedAt(), func(m imap.Message) {
			got(m.UID)
			if kind, ok := r.wants(m); ok && events[m.UID] == "" {
				wanted, events[m.UID], sizes = append(wanted, m.UID), kind, sizes+m.Size
			}
		})
	})
	if err != nil {
		return err
	}
	r.result.Unwanted += int64(len(uids)-len(wanted)) - (r.result.Failed - failed)
	if r.DryRun {
		r.result.Taken, r.result.Bytes = r.result.Taken+int64(len(wanted)), r.result.Bytes+sizes
	} else if err := r.take(p, wanted, events); err != nil {
		return err
	}
	r.Watch.Looked(int64(len(uids)), sizes)
	return nil
}

func (r *run) take(p *part, wanted []uint32, events map[uint32]string) error {
	hands := r.newHands()
	err := r.each(p, wanted, func(s *imap.Session, spans []imap.Span, got func(uint32)) error {
		return s.Bodies(spans, func(m imap.Message, text io.Reader) error {
			if err := hands.take(m, events[m.UID], text); err != nil {
				return err
			}
			got(m.UID)
			return nil
		})
	})
	return errors.Join(err, hands.wait())
}

// fatal wraps what ends the run, unlike a message that cannot be read.
type fatal struct{ error }

func (f fatal) Unwrap() error { return f.error }

// Limits of what is borne of a server: how often one message is tried, and how many in a row fail.
const (
	strikes  = 2
	hopeless = 50
)

// each fetches messages, and those that did not come once more. A message over which the server fails comes first among
// those that are left, since it answers in order; what fails [strikes] times is named and noted, and the others go on.
func (r *run) each(p *part, uids []uint32, fetch func(*imap.Session, []imap.Span, func(uint32)) error) error {
	left, failures := slices.Clone(uids), 0
	for len(left) > 0 {
		seen := map[uint32]bool{}
		err := fetch(r.session, spansOf(left), func(uid uint32) { seen[uid] = true })
		if err == nil {
			return nil // those that did not come were expunged
		}
		if stop := (fatal{}); errors.As(err, &stop) || r.ctx.Err() != nil {
			return err
		}
		left = slices.DeleteFunc(left, func(uid uint32) bool { return seen[uid] })
		if len(seen) > 0 {
			failures, r.lost = 0, 0
		}
		if failures++; failures == strikes && len(left) > 0 {
			r.unreadable(p, left[0], err)
			left, failures = left[1:], 0
			if r.lost++; r.lost >= hopeless {
				return fmt.Errorf("%d messages in a row cannot be read: %w", r.lost, err)
			}
		}
		if !r.session.Alive() {
			if err := r.open(p.name); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *run) unreadable(p *part, uid uint32, err error) {
	if slices.Contains(p.Unread, uid) {
		return
	}
	p.Unread = append(p.Unread, uid)
	r.result.Failed++
	r.Watch.Failed(r.mailbox, p.name, uid, err)
}

// spansOf is a list of UIDs in order, as spans.
func spansOf(uids []uint32) (spans []imap.Span) {
	for _, uid := range uids {
		if n := len(spans); n > 0 && spans[n-1].Last+1 == uid {
			spans[n-1].Last = uid
			continue
		}
		spans = append(spans, imap.Span{First: uid, Last: uid})
	}
	return spans
}
