package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/mail"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// rule is what the holder of a mailbox wants. The zero values of its fields are those of the defaults.
type rule struct {
	Numbers    []string          `json:"numbers"`
	Notice     string            `json:"notice_address"`
	Kinds      []string          `json:"kinds"`
	Quiet      string            `json:"quiet_hours"`
	Digest     string            `json:"digest"`
	DailyCap   int               `json:"daily_cap"`
	Label      string            `json:"label"`
	Texts      map[string]string `json:"texts"`
	FillWithin string            `json:"fill_within"`

	quiet  hours
	digest time.Duration
	within time.Duration
	texts  texts
}

// book is a file of rules.
type book struct {
	Defaults  rule             `json:"defaults"`
	Mailboxes map[string]*rule `json:"mailboxes"`
}

// The kinds that are no event of the host: what Dovecot says of a mailbox.
const (
	kindQuota = "quota"
	kindFill  = "fill"
	kindTest  = "test"
)

// allKinds may stand in a rule.
var allKinds = []string{"delivered", "anomaly", "submitted", "accepted", "non-acceptance", "delivery", "non-delivery", "notice",
	kindQuota, kindFill}

// numberShape is a number of E.164.
var numberShape = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)

const maxRules = 64 << 20 // bytes of the file

// readRules reads a file, and names what is wrong in it.
func readRules(path string, c config) (*book, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("rules: %w", err)
	}
	defer file.Close() // it was only read
	data, err := io.ReadAll(io.LimitReader(file, maxRules))
	if err != nil {
		return nil, fmt.Errorf("rules: %w", err)
	}
	b, err := parseRules(data, c)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return b, nil
}

func parseRules(data []byte, c config) (*book, error) {
	var b book
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&b); err != nil {
		return nil, fmt.Errorf("line %d: %w", 1+bytes.Count(data[:min(int64(len(data)), d.InputOffset())], []byte("\n")), err)
	}
	if d.More() {
		return nil, errors.New("something follows the object; take it out")
	}
	if b.Defaults.Numbers != nil || b.Defaults.Notice != "" {
		return nil, errors.New("defaults: numbers and notice_address belong to a mailbox")
	}
	all := map[string]*rule{}
	for name, r := range b.Mailboxes {
		if r == nil {
			return nil, fmt.Errorf("mailbox %q: null is no rule; write {…}", name)
		}
		r.inherit(b.Defaults)
		if err := r.check(name, c); err != nil {
			return nil, fmt.Errorf("mailbox %q: %w", name, err)
		}
		if all[strings.ToLower(name)] != nil {
			return nil, fmt.Errorf("mailbox %q stands there twice", strings.ToLower(name))
		}
		all[strings.ToLower(name)] = r
	}
	b.Mailboxes = all
	return &b, nil
}

// inherit fills in what is not written.
func (r *rule) inherit(d rule) {
	if r.Kinds == nil {
		r.Kinds = d.Kinds
	}
	if r.Kinds == nil {
		r.Kinds = []string{"delivered", kindQuota, kindFill}
	}
	r.Quiet, r.Digest = or(r.Quiet, d.Quiet), or(r.Digest, d.Digest)
	r.FillWithin = or(r.FillWithin, d.FillWithin)
	if r.DailyCap == 0 {
		r.DailyCap = d.DailyCap
	}
	if r.DailyCap == 0 {
		r.DailyCap = 10
	}
	merged := map[string]string{}
	for _, from := range []map[string]string{d.Texts, r.Texts} {
		for name, text := range from {
			merged[name] = text
		}
	}
	r.Texts = merged
}

// check says which key is wrong, and sets what is computed.
func (r *rule) check(name string, c config) (err error) {
	if a, err := mail.ParseAddress(name); err != nil || a.Address != name {
		return errors.New("it is no address; write name@domain")
	}
	for _, n := range r.Numbers {
		if !numberShape.MatchString(n) {
			return fmt.Errorf("numbers: %q is none; write it as +393401234567", n)
		}
	}
	if a, err := mail.ParseAddress(r.Notice); r.Notice != "" && (err != nil || a.Address != r.Notice) {
		return fmt.Errorf("notice_address: %q is none; write name@domain", r.Notice)
	}
	switch {
	case len(r.Numbers) > 0 && c.sms == nil:
		return errors.New("numbers: no way to send an SMS is configured; write [gateway] or [smstools]")
	case r.Notice != "" && c.mail == nil:
		return errors.New("notice_address: no mail server is configured; write [mail]")
	case len(r.Numbers) == 0 && r.Notice == "":
		return errors.New("it has neither numbers nor notice_address; nobody would be told")
	case len(r.Numbers) > 5:
		return errors.New("numbers: more than 5")
	case r.DailyCap < 0 || r.DailyCap > 1000:
		return fmt.Errorf("daily_cap: %d; write 1 to 1000", r.DailyCap)
	case strings.EqualFold(r.Notice, name):
		return errors.New("notice_address: it is the mailbox itself; a notice would be one more message in it")
	}
	for _, k := range r.Kinds {
		if !slices.Contains(allKinds, k) {
			return fmt.Errorf("kinds: %q is none; write of %s", k, strings.Join(allKinds, ", "))
		}
	}
	if r.quiet, err = parseHours(r.Quiet); err != nil {
		return err
	}
	if r.digest, err = duration("digest", r.Digest, 0); err != nil {
		return err
	}
	if r.digest > 24*time.Hour {
		return fmt.Errorf("digest: %q is more than a day", r.Digest)
	}
	if r.within, err = duration("fill_within", r.FillWithin, 14*24*time.Hour); err != nil {
		return err
	}
	r.texts, err = newTexts(r.Texts)
	return err
}

// wants says whether a kind is to be told.
func (r *rule) wants(kind string) bool { return kind == kindTest || slices.Contains(r.Kinds, kind) }

// ruler holds the rules in force and takes new ones when the file changes. It is safe for concurrent use.
type ruler struct {
	path string
	c    config

	mu    sync.Mutex
	book  *book
	stamp string // of the file that was read last
	wrong error  // why the file is not in force
}

func newRuler(c config) (*ruler, error) {
	r := &ruler{path: c.rules, c: c}
	if r.refresh(); r.wrong != nil {
		return nil, r.wrong
	}
	return r, nil
}

// refresh reads the file when it is another one. A file that is wrong leaves the rules as they are, and is a problem.
func (r *ruler) refresh() {
	info, err := os.Stat(r.path)
	stamp := ""
	if err == nil {
		stamp = fmt.Sprint(info.ModTime().UnixNano(), " ", info.Size())
	}
	r.mu.Lock()
	same := err == nil && stamp == r.stamp
	r.mu.Unlock()
	if same {
		return
	}
	book, err := readRules(r.path, r.c)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wrong = err
	if errors.Is(err, fs.ErrNotExist) {
		stamp = ""
	}
	r.stamp = stamp
	if err == nil {
		r.book = book
	}
}

// of is the rule of a mailbox, nil for none.
func (r *ruler) of(mailbox string) *rule {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.book.Mailboxes[mailbox]
}

// state is how many mailboxes have rules, and why the file is not in force.
func (r *ruler) state() (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.book.Mailboxes), r.wrong
}
