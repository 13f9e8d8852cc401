package main

import (
	"errors"
	"fmt"

	"github.com/ceralacca/ceralacca/internal/config"
)

type checkCommand struct {
	File string `arg:"" help:"The configuration file."`
}

// Help implements kong's HelpProvider.
func (checkCommand) Help() string {
	return "Prints FILE:LINE:COL: what; write …, one line per fault, also for the files that the configuration names.\n\n" +
		"Example:\n\n  ceralacca check-config /etc/ceralacca/ceralacca.toml"
}

// Run prints the faults to standard output: they are the answer.
func (c checkCommand) Run(s *streams) error {
	conf, err := config.Load(c.File)
	var faults config.Faults
	if err != nil && !errors.As(err, &faults) {
		return usageError{err}
	}
	if err == nil {
		for _, w := range conf.Warnings() {
			fmt.Fprintf(s.err, "%s (warning)\n", w)
		}
		faults = conf.CheckFiles(config.Look)
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
