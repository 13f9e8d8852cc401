package main

import (
	"cmp"
	"context"
	"os"

	"github.com/ceralacca/ceralacca/internal/app"
	"github.com/ceralacca/ceralacca/internal/config"
	"github.com/ceralacca/ceralacca/internal/postfix"
)

// postfixFaults looks at both Postfix instances, from that of MAIL_CONFIG or /etc/postfix, as for Postfix's own commands.
func postfixFaults(ctx context.Context, conf *config.Config) config.Faults {
	return postfix.Check(ctx, cmp.Or(os.Getenv("MAIL_CONFIG"), "/etc/postfix"), conf, app.OtherDomains(ctx, conf, app.System()))
}
