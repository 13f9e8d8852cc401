package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/signal"
	"syscall"

	"github.com/ceralacca/ceralacca/internal/app"
)

type milterCommand struct {
	Config string `default:"/etc/ceralacca/ceralacca.toml" help:"Configuration file."`
}

// Help implements kong's HelpProvider.
func (milterCommand) Help() string {
	return "SIGHUP reads the configuration again; SIGTERM finishes what is in hand.\n\n" +
		"Example:\n\n  ceralacca milter --config /etc/ceralacca/ceralacca.toml"
}

// Run runs the daemon until it is told to end.
func (c milterCommand) Run(ctx context.Context) error { return daemon(ctx, c.Config, app.Milter) }

type ldaCommand struct {
	Config string `default:"/etc/ceralacca/ceralacca.toml" help:"Configuration file."`
}

// Help implements kong's HelpProvider.
func (ldaCommand) Help() string {
	return "SIGHUP reads the configuration again; SIGTERM finishes what is in hand.\n\n" +
		"Example:\n\n  ceralacca lda --config /etc/ceralacca/ceralacca.toml"
}

// Run runs the daemon until it is told to end.
func (c ldaCommand) Run(ctx context.Context) error { return daemon(ctx, c.Config, app.Agent) }

func daemon(ctx context.Context, path string, run func(context.Context, string, app.Deps) error) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	deps := app.System()
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	deps.Reload = hangup
	err := run(ctx, path, deps)
	if e, ok := errors.AsType[*fs.PathError](err); ok && e.Path == path {
		return usageError{err}
	}
	return err
}
