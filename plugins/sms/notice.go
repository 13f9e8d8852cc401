package main

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/ceralacca/ceralacca/internal/fsx"
)

// legState is how far one sending of a notice is. It is on the disk before what it says is tried.
type legState string

const (
	waiting legState = ""        // nobody has it; it may be made part of a later notice
	trying  legState = "trying"  // the other side may have it
	staged  legState = "staged"  // it is, or was, in the folder beside the spool
	done    legState = "done"    // the other side has it
	refused legState = "refused" // the other side will never take it
	expired legState = "expired" // it was tried too long
	unknown legState = "unknown" // the other side may have it, and is not asked again
)

// word is what people read of a state in which somebody was not told, or may not have been.
func (s legState) word() string {
	switch s {
	case refused:
		return "refused by the other side"
	case expired:
		return "given up"
	case unknown:
		return "unknown: it may have arrived, and is not sent again"
	}
	return string(s)
}

// leg is one sending of a notice, to one number or address.
type leg struct {
	Mail  bool      `json:"mail,omitempty"` // ordinary mail, otherwise SMS
	To    string    `json:"to"`
	State legState  `json:"state,omitempty"`
	Tries int       `json:"tries,omitempty"`
	Next  time.Time `json:"next"` // when to try again
}

// over says whether nothing more is to be done.
func (l leg) over() bool {
	return slices.Contains([]legState{done, refused, expired, unknown}, l.State)
}

// notice is one text for one holder, with all that is told by it.
type notice struct {
	ID       string    `json:"id"`
	Mailbox  string    `json:"mailbox"`
	Class    string    `json:"class"`
	Text     string    `json:"text"`
	Subject  string    `json:"subject"`
	Events   []string  `json:"events"`
	Percent  int       `json:"percent,omitempty"`
	Days     int       `json:"days,omitempty"`
	Instead  string    `json:"instead_of,omitempty"` // the notice that this one takes the place of
	Made     time.Time `json:"made"`
	Finished time.Time `json:"finished,omitzero"`
	Legs     []leg     `json:"legs"`
}

// loose says whether nobody can have any of it: it may be made part of a later one.
func (n *notice) loose() bool {
	return !slices.ContainsFunc(n.Legs, func(l leg) bool { return l.State != waiting })
}

func (n *notice) over() bool {
	return !slices.ContainsFunc(n.Legs, func(l leg) bool { return !l.over() })
}

// key names a leg for ever: what the other side knows it by.
func (n *notice) key(i int) string { return n.ID + "-" + string(rune('a'+i)) }

// idOf is the same for the same events.
func idOf(mailbox string, names []string) string {
	names = slices.Sorted(slices.Values(names))
	return nameOf("notice " + mailbox + " " + strings.Join(names, " "))
}

// keep writes a notice to the disk.
func (s store) keep(n *notice) error {
	data, err := json.Marshal(n)
	if err != nil {
		return err
	}
	return fsx.WriteBytes(s.path("out", n.ID), 0o640, data)
}

// close puts a notice among those that are finished.
func (s store) close(n *notice, now time.Time) error {
	n.Finished = now
	if err := s.keep(n); err != nil {
		return err
	}
	folder := s.path("sent", dayOf(now))
	if err := fsx.Folder(folder, 0o750); err != nil {
		return err
	}
	return fsx.Carry(s.path("out", n.ID), folder+"/"+n.ID)
}

// notices are those in a folder.
func (s store) notices(folder string) ([]*notice, error) {
	var out []*notice
	err := s.each(folder, func(_ string, data []byte) error {
		n := &notice{}
		if err := json.Unmarshal(data, n); err != nil {
			return err
		}
		out = append(out, n)
		return nil
	})
	return out, err
}
