package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/ceralacca/ceralacca/internal/app"
	"github.com/ceralacca/ceralacca/internal/config"
	"github.com/ceralacca/ceralacca/internal/fsx"
)

type directoryExportCommand struct {
	Config string `default:"/etc/ceralacca/ceralacca.toml" help:"Configuration file: its sections [provider], [key], [publish] and [environments.NAME]."`
	To     string `placeholder:"FILE" help:"Where to write the signed file; its name ends in .p7m. One that is there is replaced as a whole."`
	LDIF   bool   `name:"ldif" help:"Print what would be signed, and sign nothing."`
}

// Help implements kong's HelpProvider.
func (directoryExportCommand) Help() string {
	return "Writes the records of our main environment and all secondary ones as LDIF, file, signature and certificate in one PKCS#7 (DER). The same " +
		"configuration gives the same bytes. What is not valid is refused, a sentence each. docs/directory.md says how the central system gets it.\n\n" +
		"Exit code 0: written; 1: something in the records is wrong; 2: something cannot be read or written.\n\n" +
		"Examples:\n\n  ceralacca directory export --ldif\n  ceralacca directory export --to /var/www/alfa.ldif.p7m"
}

// Run writes the file.
func (c directoryExportCommand) Run(ctx context.Context, s *streams) error {
	switch {
	case c.LDIF == (c.To != ""):
		return usageError{errors.New("write --to FILE.p7m to sign, or --ldif to see what would be signed")}
	case c.To != "" && filepath.Ext(c.To) != ".p7m": // [C211]
		return usageError{fmt.Errorf("%s: the name of the signed file ends in .p7m", c.To)}
	}
	conf, err := config.Load(c.Config)
	if err != nil {
		return usageError{err}
	}
	p, faults, err := c.publication(ctx, conf)
	if err != nil {
		return usageError{err}
	}
	for _, f := range faults {
		fmt.Fprintln(s.err, "ceralacca:", visible(f.Error()))
	}
	if len(faults) > 0 {
		return errWrong
	}
	if c.LDIF {
		_, err := s.out.Write(p.LDIF)
		return err
	}
	to, err := filepath.Abs(c.To)
	if err == nil {
		err = fsx.WriteBytes(to, 0o644, p.P7M)
	}
	if err != nil {
		return usageError{err}
	}
	_, err = fmt.Fprintf(s.out, "%s: %d records, SHA-256 %x\n", c.To, len(p.Records), sha256.Sum256(p.P7M))
	return err
}

// publication is signed when there is somewhere to write it.
func (c directoryExportCommand) publication(ctx context.Context, conf *config.Config) (*app.Publication, []error, error) {
	if c.LDIF {
		return app.ComposePublication(conf, app.System())
	}
	return app.Publish(ctx, conf, app.System())
}
