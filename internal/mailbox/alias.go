package mailbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"github.com/ceralacca/ceralacca/pec"
)

const maxAlias = 64 << 10 // octets of one alias expansion

// alias asks the maps for an address. Without an entry there are no targets.
func (m *Mailboxes) alias(ctx context.Context, a pec.Address) ([]pec.Address, error) {
	return m.targets(ctx, a.Fold().String(), a)
}

// catchAll asks the maps for all addresses of the domain of a.
func (m *Mailboxes) catchAll(ctx context.Context, a pec.Address) ([]pec.Address, error) {
	return m.targets(ctx, "@"+a.Domain(), a)
}

func (m *Mailboxes) targets(ctx context.Context, key string, a pec.Address) ([]pec.Address, error) {
	for _, table := range m.tables {
		value, err := m.value(ctx, table, key)
		if err != nil {
			return nil, err
		}
		if value != "" {
			return parseTargets(value, a)
		}
	}
	return nil, nil
}

func (m *Mailboxes) value(ctx context.Context, t *table, key string) (value string, err error) {
	if t.file() != "" {
		value, err = t.lookup(key, func() ([]byte, error) { return m.postmap(ctx, t.spec, "-s") })
	} else {
		value, err = m.ask(ctx, key, t.spec)
	}
	if len(value) > maxAlias {
		return "", fmt.Errorf("alias map %s: an answer of %d octets", t.spec, len(value))
	}
	return value, err
}

// ask asks one map for one key through Postfix's own program: every type of map works, and its locks are kept.
func (m *Mailboxes) ask(ctx context.Context, key, spec string) (string, error) {
	out, err := m.postmap(ctx, spec, "-q", key)
	return string(bytes.TrimSpace(out)), err
}

// postmap runs Postfix's program on a map. A key that is not there is no error.
func (m *Mailboxes) postmap(ctx context.Context, spec string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, aliasTimeout)
	defer cancel()
	var out, complaint bytes.Buffer
	cmd := exec.CommandContext(ctx, m.o.Postmap, append(args, spec)...)
	cmd.Stdout, cmd.Stderr = &out, &complaint
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("postmap %s: %w", spec, ctx.Err())
	case errors.As(err, &exit) && exit.ExitCode() == 1 && complaint.Len() == 0:
		return nil, nil // not in the map; a fault exits with 1 too, and says why
	case err != nil:
		return nil, fmt.Errorf("postmap %s: %w: %.200q", spec, err, complaint.String())
	}
	return out.Bytes(), nil
}

// parseTargets reads the right side of an alias map: addresses with commas or spaces between them; @domain is the same
// user there, as in Postfix. A target in any other form cannot be a mailbox of ours and is an error: a part of an alias
// must not pass for the whole.
func parseTargets(value string, of pec.Address) ([]pec.Address, error) {
	var out []pec.Address
	for _, word := range strings.FieldsFunc(value, func(r rune) bool { return strings.ContainsRune(", \t\r\n", r) }) {
		text := word
		if strings.HasPrefix(word, "@") {
			text = of.Local() + word
		}
		a, err := pec.ParseAddress(text)
		if err != nil {
			return nil, fmt.Errorf("alias target %.100q: %w", word, err)
		}
		out = append(out, a)
	}
	return out, nil
}
