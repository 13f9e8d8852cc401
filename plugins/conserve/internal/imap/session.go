package imap

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/textproto"
	"slices"
	"strings"
	"time"

	imap "github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// Session is a mailbox that is open. It is not safe for concurrent use.
type Session struct {
	ctx  context.Context
	c    *imapclient.Client
	stop func() bool
}

// Close ends the session at once.
func (s *Session) Close() {
	s.stop()
	_ = s.c.Close() // nothing is left to be said
}

// Alive says whether the server may answer another question: Dovecot ends a session over a message that it cannot read.
func (s *Session) Alive() bool {
	select {
	case <-s.c.Closed():
		return false
	default:
		return s.ctx.Err() == nil
	}
}

// fault prefers why the connection was closed to that it was.
func (s *Session) fault(err error) error {
	switch {
	case s.ctx.Err() != nil:
		err = s.ctx.Err()
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = fmt.Errorf("the server ended the session, its log says why; is the mailbox there? %w", err)
	}
	return fmt.Errorf("imap: %w", err)
}

// Folder is one that can hold messages. Set aside are the special ones for what is thrown away, is suspect, or is not sent.
type Folder struct {
	Name     string
	SetAside bool
}

// Folders lists those that are of the mailbox itself: not what others share with it.
func (s *Session) Folders() ([]Folder, error) {
	foreign, err := s.foreign()
	if err != nil {
		return nil, err
	}
	options := &imap.ListOptions{ReturnSpecialUse: s.c.Caps().Has(imap.CapSpecialUse)}
	listed, err := s.c.List("", "*", options).Collect()
	if err != nil {
		return nil, s.fault(err)
	}
	var folders []Folder
	for _, f := range listed {
		unusable := slices.Contains(f.Attrs, imap.MailboxAttrNoSelect) || slices.Contains(f.Attrs, imap.MailboxAttrNonExistent)
		if unusable || slices.ContainsFunc(foreign, func(prefix string) bool { return strings.HasPrefix(f.Mailbox, prefix) }) {
			continue
		}
		aside := slices.ContainsFunc(f.Attrs, func(a imap.MailboxAttr) bool {
			return a == imap.MailboxAttrTrash || a == imap.MailboxAttrJunk || a == imap.MailboxAttrDrafts
		})
		folders = append(folders, Folder{Name: f.Mailbox, SetAside: aside})
	}
	return folders, nil
}

// foreign lists what the names of folders of others begin with.
func (s *Session) foreign() (prefixes []string, err error) {
	if !s.c.Caps().Has(imap.CapNamespace) {
		return nil, nil
	}
	spaces, err := s.c.Namespace().Wait()
	if err != nil {
		return nil, s.fault(err)
	}
	for _, space := range append(spaces.Other, spaces.Shared...) {
		if space.Prefix != "" {
			prefixes = append(prefixes, space.Prefix)
		}
	}
	return prefixes, nil
}

// Examine opens a folder to be read. UIDs mean the same messages as long as its validity is the same.
func (s *Session) Examine(folder string) (validity uint32, err error) {
	data, err := s.c.Select(folder, &imap.SelectOptions{ReadOnly: true}).Wait()
	if err != nil {
		return 0, s.fault(err)
	}
	return data.UIDValidity, nil
}

// Span is a range of UIDs, both ends in it.
type Span struct{ First, Last uint32 }

// Query says which messages of a folder are looked for. Dates are days, of the server's zone; their zero values are no limit.
type Query struct {
	After         uint32 // the UID
	Since, Before time.Time
	Size          int64 // in bytes, 0 for any
}

// Search returns the messages that a query means, in order: spans, as a folder of a hundred thousand has few of them.
func (s *Session) Search(q Query) ([]Span, error) {
	criteria := &imap.SearchCriteria{Since: q.Since, Before: q.Before, UID: []imap.UIDSet{{{Start: imap.UID(q.After) + 1, Stop: 0}}}}
	if q.Size > 0 {
		criteria.Larger, criteria.Smaller = q.Size-1, q.Size+1
	}
	var options *imap.SearchOptions
	if s.c.Caps().Has(imap.CapESearch) {
		options = &imap.SearchOptions{ReturnAll: true}
	}
	data, err := s.c.UIDSearch(criteria, options).Wait()
	if err != nil {
		return nil, s.fault(err)
	}
	found, _ := data.All.(imap.UIDSet)
	var spans []Span
	for _, r := range found {
		first := max(uint32(r.Start), q.After+1) // N:* means the last one also when it is below N
		if first <= uint32(r.Stop) {
			spans = append(spans, Span{first, uint32(r.Stop)})
		}
	}
	return spans, nil
}

// Message is what is known of a message beside its text.
type Message struct {
	UID    uint32
	Size   int64
	Time   time.Time // when it came in
	Fields textproto.MIMEHeader
}

// maxFields is how much of a header is looked at, in bytes.
const maxFields = 64 << 10

// Heads calls fn for each message with the header fields that are asked for.
func (s *Session) Heads(spans []Span, fields []string, fn func(Message)) error {
	section := &imap.FetchItemBodySection{Specifier: imap.PartSpecifierHeader, HeaderFields: fields, Peek: true}
	return s.fetch(spans, section, func(m Message, text io.Reader) error {
		head, err := io.ReadAll(io.LimitReader(text, maxFields))
		if err != nil {
			return err
		}
		m.Fields = parse(head)
		fn(m)
		return nil
	})
}

// parse reads the fields of a header; what is no field is left out.
func parse(head []byte) textproto.MIMEHeader {
	fields, name := textproto.MIMEHeader{}, ""
	for line := range bytes.Lines(head) {
		key, value, ok := strings.Cut(strings.TrimRight(string(line), "\r\n"), ":")
		switch {
		case line[0] == ' ' || line[0] == '\t':
			if values := fields[name]; len(values) > 0 {
				values[len(values)-1] += " " + strings.TrimSpace(string(line))
			}
		case ok:
			name = textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(key))
			fields[name] = append(fields[name], strings.TrimSpace(value))
		}
	}
	return fields
}

// Bodies calls fn with the text of each message as it comes, a text that breaks off is an error; what fn does not read is passed over. An error of fn ends the
// session.
func (s *Session) Bodies(spans []Span, fn func(Message, io.Reader) error) error {
	return s.fetch(spans, &imap.FetchItemBodySection{Peek: true}, fn)
}

func (s *Session) fetch(spans []Span, section *imap.FetchItemBodySection, fn func(Message, io.Reader) error) error {
	var set imap.UIDSet
	for _, span := range spans {
		set.AddRange(imap.UID(span.First), imap.UID(span.Last))
	}
	command := s.c.Fetch(set, &imap.FetchOptions{UID: true, InternalDate: true, RFC822Size: true, BodySection: []*imap.FetchItemBodySection{section}})
	for data := command.Next(); data != nil; data = command.Next() {
		if err := one(data, fn); err != nil {
			if errors.Is(err, errCut) { // the library reads on by itself, and nobody else may
				s.Close()
				return s.fault(err)
			}
			go s.Close()        // it waits for the text in hand to be read
			_ = command.Close() // reads it, and the rest, until the session ends
			return s.fault(err)
		}
	}
	if err := command.Close(); err != nil {
		return s.fault(err)
	}
	if !s.Alive() {
		return s.fault(errors.New("the connection was lost"))
	}
	return nil
}

// one reads the items of a message. Dovecot sends what is asked for in the order of the question, a text last.
func one(data *imapclient.FetchMessageData, fn func(Message, io.Reader) error) error {
	var m Message
	for item := data.Next(); item != nil; item = data.Next() {
		switch item := item.(type) {
		case imapclient.FetchItemDataUID:
			m.UID = uint32(item.UID)
		case imapclient.FetchItemDataInternalDate:
			m.Time = item.Time
		case imapclient.FetchItemDataRFC822Size:
			m.Size = item.Size
		case imapclient.FetchItemDataBodySection:
			if item.Literal == nil {
				continue // expunged by another session: it has no text any more
			}
			if m.UID == 0 {
				return errors.New("the server sends a text without its UID")
			}
			if err := fn(m, &whole{r: item.Literal, left: item.Literal.Size()}); err != nil {
				return err
			}
		}
	}
	return nil
}

// errCut says that the connection ended within a text.
var errCut = fmt.Errorf("a text breaks off: %w", io.ErrUnexpectedEOF)

// whole reads a text, and says so when it ends too early: the library takes the end of a connection for that of the text.
type whole struct {
	r    io.Reader
	left int64
}

func (w *whole) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	w.left -= int64(n)
	if errors.Is(err, io.EOF) && w.left > 0 {
		err = errCut
	}
	return n, err
}

// Personal is what names of folders of the mailbox itself begin with, mostly nothing.
func (s *Session) Personal() (prefix string, err error) {
	if !s.c.Caps().Has(imap.CapNamespace) {
		return "", nil
	}
	spaces, err := s.c.Namespace().Wait()
	if err != nil {
		return "", s.fault(err)
	}
	if len(spaces.Personal) == 0 {
		return "", nil
	}
	return spaces.Personal[0].Prefix, nil
}
