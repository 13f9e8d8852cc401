package main

import (
	"maps"
	"sync"

	"github.com/ceralacca/ceralacca/plugins"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/deposit"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/keeper"
)

// space is how much each mailbox has in store, the spool and packages together. It is counted from disk once. It is safe for
// concurrent use.
type space struct {
	box       *deposit.Box
	catalogue keeper.Catalogue
	// books keeps documents from going into packages while they are counted.
	books sync.Mutex

	mu      sync.Mutex
	used    map[string]plugins.Usage
	refused map[string]bool // full since the last deposit that went in
	// What makes a count right while deposits come in. Who makes none leaves it empty.
	underway map[string]*underway
	counting bool
	since    []deposit.Record // deposits that were added while it counts
}

// underway is a deposit that is being taken.
type underway struct {
	calls   int
	counted bool // a count has found it on disk
}

func newSpace(box *deposit.Box, catalogue keeper.Catalogue) *space {
	return &space{box: box, catalogue: catalogue, used: map[string]plugins.Usage{}, refused: map[string]bool{}, underway: map[string]*underway{}}
}

// load counts again. Deposits may come in meanwhile.
func (s *space) load() error { return s.count(func(string) {}) }

// reload is load for who takes deposits himself: each of them counts once, found on disk or not.
func (s *space) reload() error {
	s.mu.Lock()
	s.counting, s.since = true, nil
	s.mu.Unlock()
	found := map[string]bool{}
	err := s.count(func(key string) { found[key] = true })
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counting = false
	if err != nil {
		return err
	}
	for _, r := range s.since {
		if !found[r.Key] {
			s.used[r.Mailbox] = plus(s.used[r.Mailbox], r.Size, 1)
		}
	}
	for key, u := range s.underway {
		u.counted = u.counted || found[key]
	}
	return nil
}

// begin announces a deposit, which end takes back.
func (s *space) begin(key string) (end func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.underway[key]
	if u == nil {
		u = &underway{}
		s.underway[key] = u
	}
	u.calls++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if u.calls--; u.calls == 0 {
			delete(s.underway, key)
		}
	}
}

// count counts what is on disk and calls found for each that is in no package.
func (s *space) count(found func(key string)) error {
	s.books.Lock()
	defer s.books.Unlock()
	used := map[string]plugins.Usage{}
	groups, err := s.box.Groups()
	if err != nil {
		return err
	}
	for _, g := range groups {
		err := s.box.Each(g, func(m deposit.Record) error {
			// Documents of a package that is entered, and that are not filed yet, count twice: after a kill between the two, until
			// the next load.
			used[g.Mailbox] = plus(used[g.Mailbox], m.Size, 1)
			found(m.Key)
			return nil
		})
		if err != nil {
			return err
		}
	}
	mailboxes, err := s.catalogue.Mailboxes()
	if err != nil {
		return err
	}
	for _, mailbox := range mailboxes {
		entries, err := s.catalogue.Entries(mailbox)
		if err != nil {
			return err
		}
		for _, e := range entries {
			used[mailbox] = plus(used[mailbox], e.Bytes, e.Items)
		}
	}
	s.set(used)
	return nil
}

func (s *space) set(used map[string]plugins.Usage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used = used
}

func plus(u plugins.Usage, bytes, items int64) plugins.Usage {
	return plugins.Usage{Bytes: u.Bytes + bytes, Items: u.Items + items}
}

// add counts a deposit that has begun, and returns what the mailbox now has.
func (s *space) add(r deposit.Record) plugins.Usage {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.refused, r.Mailbox)
	if u := s.underway[r.Key]; u != nil && u.counted {
		return s.used[r.Mailbox]
	}
	if s.counting {
		s.since = append(s.since, r)
	}
	s.used[r.Mailbox] = plus(s.used[r.Mailbox], r.Size, 1)
	return s.used[r.Mailbox]
}

func (s *space) of(mailbox string) plugins.Usage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used[mailbox]
}

func (s *space) all() map[string]plugins.Usage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.used)
}

// refuse notes that a mailbox is full, and says whether that is new.
func (s *space) refuse(mailbox string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	news := !s.refused[mailbox]
	s.refused[mailbox] = true
	return news
}

// accept notes that it is not.
func (s *space) accept(mailbox string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.refused, mailbox)
}

// fullest is the mailbox whose space is used the most, and by how many per cent.
func (s *space) fullest(limit func(mailbox string) int64) (name string, percent float64) {
	for mailbox, u := range s.all() {
		if n := limit(mailbox); n > 0 {
			if used := float64(u.Bytes) / float64(n) * 100; used > percent {
				name, percent = mailbox, used
			}
		}
	}
	return name, percent
}

func (s *space) full() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.refused)
}

// release takes back what was added and not kept.
func (s *space) release(mailbox string, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used[mailbox] = plus(s.used[mailbox], -bytes, -1)
}

// reserve adds a deposit that will be made, unless it goes beyond the limit; 0 is none.
func (s *space) reserve(mailbox string, bytes, limit int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if limit > 0 && s.used[mailbox].Bytes+bytes > limit {
		return false
	}
	s.used[mailbox] = plus(s.used[mailbox], bytes, 1)
	return true
}
