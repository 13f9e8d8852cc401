package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab"
)

// box is the mailbox of an address of the lab.
type box string

// folder is where its Dovecot keeps it.
func (x box) folder(l *lab.Lab) string {
	name, domain, _ := strings.Cut(string(x), "@")
	host, _, _ := strings.Cut(domain, ".")
	return filepath.Join(l.Runtime(), host, "mail", domain, name, "Maildir")
}

// files are the messages in it.
func (x box) files(l *lab.Lab) []string {
	found, _ := filepath.Glob(filepath.Join(x.folder(l), "new", "*")) // the pattern is well formed
	return found
}

// expected says how many messages shall lie in which mailbox.
type expected map[box]int

// empty removes the mailboxes, so that no round finds them fuller than another.
func (e expected) empty(l *lab.Lab) error {
	for x := range e {
		if err := os.RemoveAll(x.folder(l)); err != nil {
			return err
		}
	}
	return nil
}

// lost is how long messages may be missing before those that are in no queue count as lost.
const lost = 5 * time.Second

// glance is the time between two looks at what has arrived. Looking takes CPU time from the servers that are measured,
// the more of it the more queues there are, so that they are looked at only when the mailboxes hold all, or now and then.
const glance = 20 * time.Millisecond

// await returns when all is delivered and the queues are empty.
func (b *bench) await(queues []string, want expected) error {
	deadline, moved := time.Now().Add(10*time.Minute), time.Now()
	for time.Now().Before(deadline) && b.ctx.Err() == nil {
		got, short := want.count(b.lab)
		if long := time.Since(moved) > lost; !short || long {
			switch {
			case slices.ContainsFunc(queues, holds):
				moved = time.Now()
			case !short || long:
				return want.check(got)
			}
		}
		time.Sleep(glance)
	}
	return errors.Join(b.ctx.Err(), errors.New("not everything was delivered in time"))
}

func (e expected) count(l *lab.Lab) (got expected, short bool) {
	got = expected{}
	for x, n := range e {
		got[x] = len(x.files(l))
		short = short || got[x] < n
	}
	return got, short
}

func (e expected) check(got expected) error {
	for x, n := range e {
		if got[x] != n {
			return fmt.Errorf("%s holds %d messages, want %d", x, got[x], n)
		}
	}
	return nil
}

// holds says whether a message waits in a queue directory of Postfix.
func holds(queue string) bool {
	for _, name := range []string{"maildrop", "incoming", "active", "deferred"} {
		found := false
		_ = filepath.WalkDir(filepath.Join(queue, name), func(_ string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				found = true
				return fs.SkipAll
			}
			return nil // what vanished meanwhile does not wait any more
		})
		if found {
			return true
		}
	}
	return false
}

// queues are those of a host.
func queues(l *lab.Lab, h *lab.Host) []string {
	root := filepath.Join(l.Runtime(), h.Name)
	return []string{filepath.Join(root, "queue"), filepath.Join(root, "out-queue")}
}
