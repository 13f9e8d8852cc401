package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/ceralacca/ceralacca/internal/fsx"
)

func (s store) drop(id string) error { return fsx.Remove(s.path("out", id)) }

// plan makes notices of the events that may be told now, returns those that it used up, and when to look again. Each
// notice is on the disk, with its events, before anything is sent and before the events leave the folder of what waits.
func (e *engine) plan(b *box, pending []event) (next time.Time, used map[string]bool, err error) {
	used = map[string]bool{}
	r, now := e.rules.of(b.mailbox), e.clock.Now()
	for _, class := range []string{classTest, classQuota, classFill, classMail} {
		var mine []event
		for _, ev := range pending {
			if ev.class() != class {
				continue
			}
			if _, err := os.Lstat(e.store.path("in", ev.name)); errors.Is(err, fs.ErrNotExist) || r == nil || !r.wants(ev.Kind) {
				// Told before, or nobody wants it any more.
				used[ev.name] = true
				if err := fsx.Remove(e.store.path("in", ev.name)); err != nil {
					return next, used, err
				}
				continue
			}
			mine = append(mine, ev)
		}
		if len(mine) == 0 {
			continue
		}
		at := e.allowed(b, r, class, now)
		switch old := b.openOf(class); {
		case old != nil && !old.loose():
			continue // what comes while one is being sent waits for its end
		case old == nil && at.After(now):
			if next.IsZero() || at.Before(next) {
				next = at
			}
			continue
		default:
			if err := e.compose(b, r, old, mine); err != nil {
				return next, used, err
			}
			for _, ev := range mine {
				used[ev.name] = true
			}
		}
	}
	return next, used, nil
}

func (b *box) openOf(class string) *notice {
	for _, n := range b.open {
		if n.Class == class {
			return n
		}
	}
	return nil
}

// allowed is when a notice of a class may be made: all of it is computed from the notices that the disk has.
func (e *engine) allowed(b *box, r *rule, class string, now time.Time) time.Time {
	if class == classTest {
		return now
	}
	at, today := now, 0
	for _, s := range b.sent {
		if s.class != classTest && sameDay(s.made, now, e.c.zone) {
			today++
		}
		if s.class == class && class == classMail && s.made.Add(r.digest).After(at) {
			at = s.made.Add(r.digest)
		}
	}
	if today >= r.DailyCap {
		if tomorrow := midnight(now, e.c.zone); tomorrow.After(at) {
			at = tomorrow
		}
	}
	return r.quiet.end(at, e.c.zone)
}

// compose writes a notice of events, in the place of one that nobody has had yet when there is such.
func (e *engine) compose(b *box, r *rule, old *notice, events []event) error {
	n := &notice{Mailbox: b.mailbox, Class: events[0].class(), Made: e.clock.Now()}
	if old != nil {
		n.Events, n.Instead, n.Percent, n.Days = slices.Clone(old.Events), old.ID, old.Percent, old.Days
	}
	for _, ev := range events {
		n.Events = append(n.Events, ev.name)
		n.Percent, n.Days = max(n.Percent, ev.Percent), ev.Days
	}
	n.ID = idOf(b.mailbox, n.Events)
	f := facts{Count: len(n.Events), Mailbox: b.mailbox, Label: r.Label, Percent: n.Percent, Days: n.Days}
	var err1, err2 error
	n.Text, err1 = r.texts.say(n.Class, f)
	n.Subject, err2 = r.texts.say("subject", f)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	for _, number := range r.Numbers {
		n.Legs = append(n.Legs, leg{To: number})
	}
	if r.Notice != "" {
		n.Legs = append(n.Legs, leg{Mail: true, To: r.Notice})
	}
	if old != nil && len(old.Legs) == len(n.Legs) {
		for i := range n.Legs { // who did not answer is not asked at once again
			n.Legs[i].Tries, n.Legs[i].Next = old.Legs[i].Tries, old.Legs[i].Next
		}
	}
	if err := e.store.keep(n); err != nil {
		return err
	}
	if old != nil {
		if err := e.store.drop(old.ID); err != nil {
			return err
		}
	}
	e.mu.Lock()
	b.open = append(slices.DeleteFunc(b.open, func(other *notice) bool { return other == old }), n)
	b.sent = append(slices.DeleteFunc(b.sent, func(s stamp) bool { return old != nil && s == stamp{old.Class, old.Made} }),
		stamp{n.Class, n.Made})
	e.mu.Unlock()
	return e.store.finish(n, n.Made)
}

// deliver tries what is due of a mailbox's notices, and says when to look again. Once ctx has ended it begins nothing.
func (e *engine) deliver(ctx context.Context, b *box) (next time.Time, err error) {
	for _, n := range slices.Clone(b.open) {
		for i := range n.Legs {
			if n.Legs[i].over() {
				continue
			}
			if ctx.Err() != nil {
				return e.clock.Now(), nil
			}
			if err := e.try(ctx, n, i); err != nil {
				return next, err
			}
			if l := n.Legs[i]; !l.over() && (next.IsZero() || l.Next.Before(next)) {
				next = l.Next
			}
		}
		if !n.over() {
			continue
		}
		now := e.clock.Now()
		if err := e.store.close(n, now); err != nil {
			return next, err
		}
		e.mu.Lock()
		b.open = slices.DeleteFunc(b.open, func(other *notice) bool { return other == n })
		waits := len(b.pending) > 0
		e.mu.Unlock()
		if waits {
			next = now // for what came in the meantime
		}
	}
	return next, nil
}

// try sends one leg when its time has come. The error is of the disk.
func (e *engine) try(ctx context.Context, n *notice, i int) error {
	l, now := &n.Legs[i], e.clock.Now()
	ch := e.c.sms
	if l.Mail {
		ch = e.c.mail
	}
	r := e.rules.of(n.Mailbox)
	switch {
	case now.Before(l.Next):
		return nil
	case ch == nil || r == nil && l.State == waiting || now.Sub(n.Made) > e.c.giveUp:
		return e.settle(n, i, expired, errors.New("nobody could be told in time, or nobody is to be told any more"))
	case r != nil && n.Class != classTest && l.State == waiting && r.quiet.end(now, e.c.zone).After(now):
		l.Next = r.quiet.end(now, e.c.zone)
		return nil
	case l.State != waiting && ch.once():
		return e.settle(n, i, unknown, errors.New("the other side may have it; when_unknown says that it is not asked again"))
	}
	pass, at := e.breakers[ch].allow(now)
	if !pass {
		l.Next = at
		return nil
	}
	p := parcel{id: n.key(i), to: l.To, text: n.Text, subject: n.Subject, made: n.Made}
	resumed := l.State != waiting
	if !resumed {
		if err := ch.prepare(p); err != nil {
			e.breakers[ch].result(now, false, err)
			l.Tries++
			l.Next = now.Add(pause(l.Tries, firstPause, lastPause))
			return nil
		}
		l.State = ch.before()
		if err := e.store.keep(n); err != nil {
			l.State = waiting
			e.breakers[ch].result(now, true, nil)
			return err
		}
	}
	got, err := ch.send(context.WithoutCancel(ctx), p, resumed) // it has its own bound
	return e.after(n, i, ch, got, err)
}

// after records what became of a try.
func (e *engine) after(n *notice, i int, ch channel, got answer, why error) error {
	l, now := &n.Legs[i], e.clock.Now()
	e.breakers[ch].result(now, got == taken || got == never, why)
	l.Tries++
	switch got {
	case taken:
		return e.settle(n, i, done, nil)
	case never:
		return e.settle(n, i, refused, why)
	case later:
		l.State = waiting
	}
	l.Next = now.Add(pause(l.Tries, firstPause, lastPause))
	e.log.Warn("sms: it is tried again", slog.String("mailbox", n.Mailbox), slog.String("channel", ch.name()), slog.String("id", n.key(i)),
		slog.Int("tries", l.Tries), slog.Any("error", why))
	return e.store.keep(n)
}

// settle ends a leg.
func (e *engine) settle(n *notice, i int, s legState, why error) error {
	n.Legs[i].State = s
	e.mu.Lock()
	e.counts[s]++
	e.mu.Unlock()
	if s != done {
		e.log.Error("sms: a notice was not delivered", slog.Bool("alarm", true), slog.String("mailbox", n.Mailbox), slog.String("id", n.key(i)),
			slog.String("state", string(s)), slog.Any("error", why))
	}
	return e.store.keep(n)
}
