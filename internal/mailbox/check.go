package mailbox

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/ceralacca/ceralacca/pec"
)

// Entry is an entry of an alias map that cannot be kept: mail to it would wait, or come to a non-delivery.
type Entry struct {
	// Map is the map, "type:path"; Key the alias, empty when the map cannot be read.
	Map, Key string
	// Err is what is wrong, in English.
	Err error
}

// Check reads the maps that are files, and returns what is wrong in them, in order: targets that are outside or no plain
// addresses. Of other maps nothing is known before they are asked.
func (m *Mailboxes) Check(ctx context.Context) []Entry {
	var found []Entry
	for _, t := range m.tables {
		if t.file() == "" {
			continue
		}
		if _, err := m.value(ctx, t, ""); err != nil {
			found = append(found, Entry{Map: t.spec, Err: err})
			continue
		}
		for _, key := range t.keys() {
			if err := m.checkEntry(ctx, t, key); err != nil {
				found = append(found, Entry{Map: t.spec, Key: key, Err: err})
			}
		}
	}
	return found
}

// checkEntry looks at one entry, if it is in a domain of ours: others are Postfix's affair.
func (m *Mailboxes) checkEntry(ctx context.Context, t *table, key string) error {
	local, domain, _ := strings.Cut(key, "@")
	if !slices.Contains(m.o.Domains, domain) {
		return nil
	}
	value, err := m.value(ctx, t, key)
	if err != nil {
		return err
	}
	if local == "" {
		local = "anybody" // of a whole domain
	}
	of, err := pec.ParseAddress(local + "@" + domain)
	if err != nil {
		return err
	}
	targets, err := parseTargets(value, of)
	if err != nil {
		return err
	}
	for _, a := range targets {
		if !slices.Contains(m.o.Domains, a.Domain()) {
			return fmt.Errorf("%s is in no certified domain: every message to %s would be a non-delivery", a, key)
		}
	}
	return nil
}
