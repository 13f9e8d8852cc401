package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/ceralacca/ceralacca/internal/config"
	"github.com/ceralacca/ceralacca/plugins"
	"github.com/ceralacca/ceralacca/plugins/check"
	"github.com/ceralacca/ceralacca/plugins/host"
	"github.com/ceralacca/ceralacca/plugins/scaffold"
)

type pluginCommand struct {
	Check    pluginCheckCommand    `cmd:"" help:"Hold a plug-in against every rule of the contract, one line each."`
	Describe pluginDescribeCommand `cmd:"" help:"Print what a plug-in says of itself, and whether it fits."`
	New      pluginNewCommand      `cmd:"" help:"Write the module of a new plug-in, which builds and passes."`
	List     pluginListCommand     `cmd:"" help:"List the plug-ins of the configuration, and whether they fit."`
	Events   pluginEventsCommand   `cmd:"" help:"List the events that plug-ins have not taken."`
}

// Help implements kong's HelpProvider.
func (pluginCommand) Help() string {
	return "Examples:\n\n  ceralacca plugin new --kind antivirus mine\n  ceralacca plugin check ./eicar\n  ceralacca plugin list\n  ceralacca plugin events"
}

// pluginRun is how a plug-in is run that no configuration names.
type pluginRun struct {
	Path    string `arg:"" help:"The executable of the plug-in."`
	User    string `help:"The user it runs as; for root, nobody unless it is said."`
	Network bool   `help:"Let it use the network."`
}

// program makes the path absolute.
func (r pluginRun) program() (host.Program, error) {
	path, err := filepath.Abs(r.Path)
	if err != nil {
		return host.Program{}, usageError{err}
	}
	if _, err := os.Stat(path); err != nil {
		return host.Program{}, usageError{err}
	}
	user := r.User
	if user == "" && os.Geteuid() == 0 {
		user = "nobody"
	}
	return host.Program{Path: path, Isolation: host.Isolation{User: user, Network: r.Network}}, nil
}

type pluginCheckCommand struct {
	pluginRun
	Config  string `help:"A TOML file with what would stand in [plugins.NAME.config]."`
	Verbose bool   `help:"Show what the plug-in says, on standard error."`
	JSON    bool   `name:"json" help:"One JSON object at the end, for programs."`
}

// Help implements kong's HelpProvider.
func (pluginCheckCommand) Help() string {
	return "One line for each check: pass, skip and why it was not tried, or FAIL, what is wrong and what to do. The plug-in runs as it " +
		"would under a daemon: as another user, without network, with an empty environment. Root is not needed; the line \"isolation\" " +
		"says what could not be tried without.\n\n" +
		"Exit code 0: in order; 1: a line fails; 2: there is nothing to check, or the configuration is wrong.\n\n" +
		"Examples:\n\n  ceralacca plugin check ./eicar\n  ceralacca plugin check --config eicar.toml ./eicar\n" +
		"  ceralacca plugin check --json ./eicar"
}

// Run prints a line for each check.
func (c pluginCheckCommand) Run(ctx context.Context, s *streams) error {
	p, err := c.program()
	if err != nil {
		return err
	}
	o := check.Options{Path: p.Path, Isolation: p.Isolation, Log: slog.New(slog.DiscardHandler)}
	if c.Verbose {
		o.Log = slog.New(slog.NewTextHandler(s.err, nil))
	}
	if c.Config != "" {
		if o.Config, err = c.values(ctx, p); err != nil {
			return err
		}
	}
	lines := []check.Line{}
	failed, err := check.Run(ctx, o, func(l check.Line) {
		lines = append(lines, l)
		if !c.JSON {
			fmt.Fprintln(s.out, l)
		}
	})
	if err != nil {
		return usageError{err}
	}
	if err := c.sum(s, lines, failed); err != nil {
		return err
	}
	if failed > 0 {
		return errWrong
	}
	return nil
}

// sum closes the report: in order or not.
func (c pluginCheckCommand) sum(s *streams, lines []check.Line, failed int) error {
	if c.JSON {
		out := json.NewEncoder(s.out)
		out.SetEscapeHTML(false)
		out.SetIndent("", "  ")
		return out.Encode(struct {
			Path   string       `json:"path"`
			OK     bool         `json:"ok"`
			Failed int          `json:"failed"`
			Checks []check.Line `json:"checks"`
		}{c.Path, failed == 0, failed, lines})
	}
	word := "in order"
	if failed > 0 {
		word = fmt.Sprintf("%d failed", failed)
	}
	_, err := fmt.Fprintf(s.out, "%s: %s\n", c.Path, word)
	return err
}

// values reads the configuration, and says what is wrong in it by line and column.
func (c pluginCheckCommand) values(ctx context.Context, p host.Program) (map[string]any, error) {
	values, fault, err := config.LoadValues(c.Config)
	if err != nil {
		return nil, usageError{err}
	}
	d, err := describe(ctx, p)
	if err != nil {
		return values, nil // check says so on its own line
	}
	var faults config.Faults
	for _, m := range host.CheckConfig(d, values) {
		faults = append(faults, fault(m.Path, m.String(), "what ceralacca plugin describe "+c.Path+" says"))
	}
	if len(faults) > 0 {
		return nil, usageError{faults}
	}
	return values, nil
}

type pluginDescribeCommand struct{ pluginRun }

// Help implements kong's HelpProvider.
func (pluginDescribeCommand) Help() string {
	return "Example:\n\n  ceralacca plugin describe /usr/lib/ceralacca/plugins/clamav"
}

// Run prints the description as JSON.
func (c pluginDescribeCommand) Run(ctx context.Context, s *streams) error {
	p, err := c.program()
	if err != nil {
		return err
	}
	d, err := describe(ctx, p)
	if err != nil {
		return err
	}
	sum, err := host.Checksum(p.Path)
	if err != nil {
		return usageError{err}
	}
	out := json.NewEncoder(s.out)
	out.SetIndent("", "  ")
	return out.Encode(struct {
		plugins.Description
		SHA256 string `json:"sha256"`
	}{d, sum})
}

// describe asks a program that the user it runs as may not be able to reach.
func describe(ctx context.Context, p host.Program) (d plugins.Description, err error) {
	dir, err := os.MkdirTemp("", "cc")
	if err != nil {
		return d, usageError{err}
	}
	defer func() { _ = os.RemoveAll(dir) }() // it has ended
	if err := os.Chmod(dir, 0o711); err != nil {
		return d, usageError{err}
	}
	if err := p.Verify(); err != nil {
		return d, err
	}
	if p.Path, _, err = check.Reachable(p, dir); err != nil {
		return d, err
	}
	return p.Describe(ctx)
}

type pluginNewCommand struct {
	Kind string `required:"" enum:"antivirus,conservation,notification,key" help:"What it is for: ${enum}."`
	Name string `arg:"" help:"Its name, and that of the folder: lower case letters, digits and hyphens."`
}

// Help implements kong's HelpProvider.
func (pluginNewCommand) Help() string {
	return "Writes a Go module into a new folder of the current one: source, test, Makefile, README, and the SDK. It builds, without a " +
		"network where Go's cache has the libraries, and passes plugin check. Nothing is overwritten. Docs: docs/plugins.md.\n\nExample:\n\n" +
		"  ceralacca plugin new --kind antivirus mine\n  cd mine && go build && ceralacca plugin check ./mine"
}

// Run writes the module into a new folder.
func (c pluginNewCommand) Run(s *streams) error {
	if err := scaffold.New(c.Name, c.Name, plugins.Kind(c.Kind)); err != nil {
		return usageError{err}
	}
	_, err := fmt.Fprintf(s.out, "%s is written. Try: cd %[1]s && go build && ceralacca plugin check ./%[1]s\n", c.Name)
	return err
}
