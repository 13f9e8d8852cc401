package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/ceralacca/ceralacca/internal/app"
	"github.com/ceralacca/ceralacca/internal/config"
	"github.com/ceralacca/ceralacca/internal/mxcheck"
)

type networkCommand struct {
	Check     networkCheckCommand `cmd:"" help:"Say whether the mail of our domains comes to us and to nobody else."`
	TLSPolicy tlsPolicyCommand    `cmd:"" name:"tls-policy" help:"Print how the outbound Postfix instance speaks to each provider."`
}

// Help implements kong's HelpProvider.
func (networkCommand) Help() string { return "Example:\n\n  ceralacca network check" }

type networkCheckCommand struct {
	Config   string `default:"/etc/ceralacca/ceralacca.toml" help:"Configuration file."`
	Resolver string `help:"HOST:PORT of the DNS server to ask, instead of that of the system: one outside sees what others see."`
}

// Help implements kong's HelpProvider.
func (networkCheckCommand) Help() string {
	return "Asks DNS for the mail exchangers of every certified domain and of our own addresses, and says which is not in network.mx: a backup " +
		"of somebody else would hold certified mail. The exit code is 0 when all are ours, 1 when one is not, 2 when DNS does not answer or network.mx is " +
		"not written.\n\nExample:\n\n  ceralacca network check --resolver 192.0.2.53:53"
}

// Run prints a line for each fault, and for each domain without one.
func (c networkCheckCommand) Run(ctx context.Context, s *streams) error {
	conf, err := config.Load(c.Config)
	if err != nil {
		return usageError{err}
	}
	if len(conf.Network.MX) == 0 {
		return usageError{errors.New("network.mx is not written, so that nobody knows which mail exchangers are ours: see docs/config.md")}
	}
	wrong, unknown := false, error(nil)
	for _, domain := range conf.CertifiedDomains() {
		said, err := mxcheck.Check(ctx, resolver(c.Resolver), domain, conf.Network.MX)
		switch {
		case err != nil:
			unknown = errors.Join(unknown, err)
		case len(said) == 0:
			fmt.Fprintln(s.out, domain+": in order")
		}
		for _, line := range said {
			wrong = true
			fmt.Fprintln(s.out, line)
		}
	}
	switch {
	case wrong:
		if unknown != nil {
			fmt.Fprintln(s.err, "ceralacca:", unknown)
		}
		return errWrong
	case unknown != nil:
		return usageError{unknown}
	}
	return nil
}

func resolver(at string) mxcheck.Resolver {
	if at == "" {
		return app.DNS()
	}
	return mxcheck.At(at)
}

type tlsPolicyCommand struct {
	Config string `default:"/etc/ceralacca/ceralacca.toml" help:"Configuration file."`
}

// Help implements kong's HelpProvider.
func (tlsPolicyCommand) Help() string {
	return "Reads or fetches the directory of providers and prints, one line per domain, what the agent answers at network.tls_policy_socket. The table is " +
		"to look at: Postfix asks the agent, and needs no file.\n\nExample:\n\n  ceralacca network tls-policy"
}

// Run prints the table.
func (c tlsPolicyCommand) Run(ctx context.Context, s *streams) error {
	conf, err := config.Load(c.Config)
	if err != nil {
		return usageError{err}
	}
	deps := app.System()
	deps.Log = slog.New(slog.DiscardHandler)
	table, err := app.TLSPolicyTable(ctx, conf, deps)
	if err != nil {
		return usageError{err}
	}
	_, err = fmt.Fprint(s.out, table)
	return err
}
