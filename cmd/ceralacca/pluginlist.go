package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/ceralacca/ceralacca/internal/app"
	"github.com/ceralacca/ceralacca/internal/config"
	"github.com/ceralacca/ceralacca/plugins"
	"github.com/ceralacca/ceralacca/plugins/host"
)

type pluginListCommand struct {
	Config string `default:"/etc/ceralacca/ceralacca.toml" help:"Configuration file."`
}

// Help implements kong's HelpProvider.
func (pluginListCommand) Help() string {
	return "One line for each [plugins.NAME]: its kind, what it says of itself and needs to see, whether the file is the one that sha256 pins, " +
		"as whom it runs, and as which processes now. Then a line for each fault, with file, line and column.\n\n" +
		"Exit code 0: all fit; 1: one does not; 2: the configuration cannot be read.\n\n" +
		"Example:\n\n  ceralacca plugin list --config /etc/ceralacca/ceralacca.toml"
}

// Run prints a line for each plug-in, and what is wrong.
func (c pluginListCommand) Run(ctx context.Context, s *streams) error {
	conf, err := config.Load(c.Config)
	if err != nil {
		return usageError{err}
	}
	if len(conf.Plugins) == 0 {
		fmt.Fprintf(s.out, "%s has no [plugins.NAME]\n", c.Config)
	}
	described, faults := app.DescribePlugins(ctx, conf)
	for _, p := range conf.Plugins {
		d, fits := described[p.Name]
		said := fmt.Sprintf("%-12s %s %s, needs %s", d.Kind, d.Name, d.Version, needs(d))
		if !fits {
			said = "does not fit"
		}
		fmt.Fprintf(s.out, "%-16s %s; %s; %s; %s\n", p.Name, said, sum(p), around(p), running(p))
	}
	for _, f := range faults {
		fmt.Fprintln(s.out, f)
	}
	if len(faults) > 0 {
		return errWrong
	}
	return nil
}

// sum says whether the file is the one that the configuration pins.
func sum(p config.Plugin) string {
	got, err := host.Checksum(p.Path)
	switch {
	case err != nil:
		return "the file cannot be read"
	case got != p.SHA256:
		return "sha256 differs"
	default:
		return "sha256 agrees"
	}
}

// around says what a plug-in runs with.
func around(p config.Plugin) string {
	user, network := "the daemon's user", "no network"
	if p.User != "" {
		user = "user " + p.User
	}
	if p.Network {
		network = "network"
	}
	return user + ", " + network
}

// running says as which processes it runs now.
func running(p config.Plugin) string {
	pids, err := host.Running(p.Path)
	switch {
	case err != nil:
		return err.Error()
	case len(pids) == 0:
		return "does not run"
	default:
		return "runs as process " + strings.Trim(fmt.Sprint(pids), "[]")
	}
}

func needs(d plugins.Description) string {
	if len(d.Needs) == 0 {
		return "nothing"
	}
	words := make([]string, len(d.Needs))
	for i, n := range d.Needs {
		words[i] = string(n)
	}
	return strings.Join(words, ", ")
}
