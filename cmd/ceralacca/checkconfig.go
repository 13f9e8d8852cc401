package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/ceralacca/ceralacca/internal/app"
	"github.com/ceralacca/ceralacca/internal/config"
)

type checkCommand struct {
	File string `arg:"" help:"The configuration file."`
}

// Help implements kong's HelpProvider.
func (checkCommand) Help() string {
	return "Prints FILE:LINE:COL: what; write …, one line per fault, also for the files that the configuration names and what is in them, and " +
		"for the alias maps and for settings of the Postfix in /etc/postfix (or MAIL_CONFIG) and of its outbound instance: by which certified mail " +
		"would be given up too soon, or pass, be copied to or be changed by somebody else; limits of recipients and size that the law does not " +
		"allow; aliases of certified domains that Postfix would expand.\n\n" +
		"Example:\n\n  ceralacca check-config /etc/ceralacca/ceralacca.toml"
}

// Run prints the faults to standard output: they are the answer.
func (c checkCommand) Run(ctx context.Context, s *streams) error {
	conf, err := config.Load(c.File)
	var faults config.Faults
	if err != nil && !errors.As(err, &faults) {
		return usageError{err}
	}
	if err == nil {
		warnings := conf.Warnings()
		if faults = conf.CheckFiles(config.Look); len(faults) == 0 {
			deps := app.System()
			deps.Log = slog.New(slog.DiscardHandler)
			var more config.Faults
			faults, more = app.CheckContents(ctx, conf, deps)
			warnings = append(warnings, more...)
		}
		for _, w := range warnings {
			fmt.Fprintf(s.err, "%s (warning)\n", w)
		}
		faults = append(faults, senderFaults(conf)...)
		faults = append(faults, app.PluginFaults(ctx, conf)...)
		faults = append(faults, postfixFaults(ctx, conf)...)
		faults = append(faults, aliasFaults(ctx, conf)...)
	}
	for _, f := range faults {
		fmt.Fprintln(s.out, f)
	}
	if len(faults) > 0 {
		return errWrong
	}
	_, err = fmt.Fprintf(s.out, "%s: in order\n", c.File)
	return err
}

// senderFaults are those of the lines of the sender map; that it cannot be read is said already.
func senderFaults(conf *config.Config) config.Faults {
	if conf.Submission.SenderMap == "" {
		return nil
	}
	_, err := config.LoadSenderMap(conf.Submission.SenderMap)
	faults, _ := errors.AsType[config.Faults](err)
	return faults
}
