package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/plugins"
)

// How often and how long.
const (
	openTime   = 6 * time.Second // that open waits for a clamd; the host gives it ten
	every      = 5 * time.Second // between two looks at each clamd
	lookTime   = 2 * time.Minute // for one look
	proveEvery = 12              // looks, until it is proved again
	sizeAfter  = 6               // looks, until its size is measured: that is work, and a process may be short-lived
	again      = 4               // scans after one that found something encrypted
)

// scanner asks one of several clamd.
type scanner struct {
	config  config
	members []*member
	clock   clock.Clock
}

var (
	_ plugins.Scanner  = (*scanner)(nil)
	_ plugins.Healther = (*scanner)(nil)
)

// open asks every clamd. One that does not answer may come later; one that is not set up, or cannot be reached from where
// we are, is an error.
func open(ctx context.Context, c config, log *slog.Logger, clk clock.Clock) (*scanner, error) {
	s := &scanner{config: c, clock: clk}
	for _, a := range c.addresses {
		s.members = append(s.members, &member{clamd: clamd{a, c.connect, c.answer, clk}, log: log, gate: make(chan struct{}, 1), fault: errUnasked})
	}
	begin, cancel := context.WithTimeout(ctx, openTime)
	defer cancel()
	faults := make([]error, len(s.members))
	s.each(func(i int, m *member) { _, faults[i] = m.ready(begin) })
	for _, err := range faults {
		if errors.Is(err, errSetup) || errors.Is(err, errNetwork) {
			return nil, err
		}
	}
	go s.keep(context.WithoutCancel(ctx)) // as long as the process
	return s, nil
}

// each does something with all at once.
func (s *scanner) each(do func(int, *member)) {
	var all sync.WaitGroup
	for i, m := range s.members {
		all.Go(func() { do(i, m) })
	}
	all.Wait()
}

// keep looks at every clamd from time to time, so that those come back that were lost.
func (s *scanner) keep(ctx context.Context) {
	for round := 1; s.clock.Sleep(ctx, every) == nil; round++ {
		s.each(func(_ int, m *member) {
			ctx, cancel := context.WithTimeout(ctx, lookTime)
			defer cancel()
			if round%proveEvery == 0 {
				m.doubt()
			}
			_, err := m.ready(ctx)
			if err == nil && round >= sizeAfter {
				m.measure(ctx, s.config.maxSize)
			}
		})
	}
}

// turn is the order in which they are asked: as configured, those last that were lost.
func (s *scanner) turn() []*member {
	var good, lost []*member
	for _, m := range s.members {
		if m.usable() {
			good = append(good, m)
		} else {
			lost = append(lost, m)
		}
	}
	return append(good, lost...)
}

// Scan implements plugins.Scanner.
func (s *scanner) Scan(ctx context.Context, content *plugins.Content) (plugins.Result, error) {
	from := &source{content: content}
	var said []string
	for _, m := range s.turn() {
		result, err := s.ask(ctx, m, from)
		if err == nil {
			return result, nil
		}
		said = append(said, err.Error())
		if ctx.Err() != nil || errors.Is(err, errLimit) || !from.more() {
			break
		}
	}
	return plugins.Result{}, errors.New(strings.Join(said, "; "))
}

// ask asks one.
func (s *scanner) ask(ctx context.Context, m *member, from *source) (plugins.Result, error) {
	v, err := m.ready(ctx)
	if err != nil {
		return plugins.Result{}, err
	}
	begin := s.clock.Now()
	var r plugins.Result
	r.Verdict, r.Virus, err = verdict(ctx, m, from)
	r.Engine, r.Signatures, r.SignaturesTime = v.engine, v.signatures, v.made
	took := s.clock.Now().Sub(begin)
	// Of several things that it could not look into clamd names one, as chance has it. What was too large or too deep is no
	// less left out beside something encrypted: so we ask again, as far as there is time.
	for n := 0; n < again && err == nil && r.Verdict == plugins.Encrypted && from.more() && s.time(ctx, 3*took); n++ {
		r.Verdict, r.Virus, err = verdict(ctx, m, from)
	}
	return r, err
}

// time says whether a call has that much left.
func (s *scanner) time(ctx context.Context, d time.Duration) bool {
	end, bounded := ctx.Deadline()
	return !bounded || end.Sub(s.clock.Now()) > d
}

// verdict has the content looked at once.
func verdict(ctx context.Context, m *member, from *source) (plugins.Verdict, string, error) {
	content, err := from.open()
	if err != nil {
		return plugins.Unscanned, "", err
	}
	defer content.close()
	answer, err := m.look(ctx, content)
	if err != nil {
		return plugins.Unscanned, "", err
	}
	v, name, err := judge(answer)
	if err == nil {
		err = content.finish()
	}
	return v, name, err
}

// Health implements plugins.Healther: numbers for the metrics, and what somebody must see to.
func (s *scanner) Health() plugins.Health {
	var h plugins.Health
	var wrong, lost []string
	usable, oldest := 0, time.Duration(-1)
	for _, m := range s.members {
		seen, fault, size := m.state()
		switch {
		case fault == nil:
			usable++
		case errors.Is(fault, errSetup):
			wrong = append(wrong, fault.Error())
		default:
			lost = append(lost, fault.Error())
		}
		if size != nil {
			wrong = append(wrong, size.Error())
		}
		if seen.made.IsZero() {
			continue
		}
		age := max(0, s.clock.Now().Sub(seen.made))
		oldest = max(oldest, age)
		if age > s.config.oldest {
			wrong = append(wrong, fmt.Sprintf("the signatures of clamd at %s are %.0f hours old, more than max_signature_age: see to freshclam", m.address, age.Hours()))
		}
	}
	if usable == 0 {
		wrong = append(lost, wrong...)
	}
	h.Problem = strings.Join(wrong, "; ")
	h.Measures = []plugins.Measure{{Name: "clamd_usable_count", Value: float64(usable)}, {Name: "clamd_configured_count", Value: float64(len(s.members))}}
	if oldest >= 0 {
		h.Measures = append(h.Measures, plugins.Measure{Name: "signatures_age_seconds", Value: oldest.Seconds()})
	}
	return h
}
