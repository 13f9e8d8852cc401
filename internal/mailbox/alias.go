package mailbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"

	"github.com/ceralacca/ceralacca/pec"
)

const maxAlias = 64 << 10 // octets of one alias expansion

// alias asks the maps for an address, then for all addresses of its domain, as Postfix does.
func (m *Mailboxes) alias(ctx context.Context, a pec.Address) ([]pec.Address, error) {
	for _, key := range []string{a.Fold().String(), "@" + a.Fold().Domain()} {
		for _, table := range m.o.Maps {
			value, err := m.postmap(ctx, key, table)
			if err != nil {
				return nil, err
			}
			if value != "" {
				return parseTargets(value)
			}
		}
	}
	return nil, nil
}

// postmap asks one map through Postfix's own program: every type of map works, and its locks are kept.
func (m *Mailboxes) postmap(ctx context.Context, key, table string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, aliasTimeout)
	defer cancel()
	var out, complaint bytes.Buffer
	cmd := exec.CommandContext(ctx, m.o.Postmap, "-q", key, table)
	cmd.Stdout, cmd.Stderr = &out, &complaint
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return "", fmt.Errorf("postmap %s: %w", table, ctx.Err())
	case errors.As(err, &exit) && exit.ExitCode() == 1 && complaint.Len() == 0:
		return "", nil // not in the map; a fault exits with 1 too, and says why
	case err != nil:
		return "", fmt.Errorf("postmap %s: %w: %.200q", table, err, complaint.String())
	case out.Len() > maxAlias:
		return "", fmt.Errorf("postmap %s: an answer of %d octets", table, out.Len())
	}
	return string(bytes.TrimSpace(out.Bytes())), nil
}
