package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"time"

	"github.com/ceralacca/ceralacca/internal/app"
	"github.com/ceralacca/ceralacca/internal/config"
	"github.com/ceralacca/ceralacca/internal/fsx"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/signer"
)

type certCommand struct {
	Check  certCheckCommand  `cmd:"" help:"Say what is known of the certificate that signs, and of the next, and what to do now."`
	Csr    certCSRCommand    `cmd:"" name:"csr" help:"Make a key and the request for its certificate."`
	Rotate certRotateCommand `cmd:"" help:"Take the next certificate into use, or go back to the one before."`
}

// Help implements kong's HelpProvider.
func (certCommand) Help() string { return "Example:\n\n  ceralacca cert check" }

type certCheckCommand struct {
	Config string `default:"/etc/ceralacca/ceralacca.toml" help:"Configuration file."`
	JSON   bool   `name:"json" help:"One JSON object."`
	Days   int    `default:"30" help:"Fewer days left are wrong."`
}

// Help implements kong's HelpProvider.
func (certCheckCommand) Help() string {
	return "Looks at the files, fetches the directory, and reads the revocation lists that the daemons keep. With [key] plugin it starts a process of the " +
		"plug-in, which needs root, and has the keys sign. The exit code is 1 when the certificate " +
		"that signs cannot, or ends within --days: for monitoring.\n\nExample:\n\n  ceralacca cert check --json"
}

// Run prints the report.
func (c certCheckCommand) Run(ctx context.Context, s *streams) error {
	conf, deps, err := certConfig(c.Config)
	if err != nil {
		return err
	}
	report, err := app.CheckCertificate(ctx, conf, deps)
	if err != nil {
		return usageError{err}
	}
	if c.JSON {
		line, err := json.Marshal(report)
		if err != nil {
			return err
		}
		if err := s.line(line); err != nil {
			return err
		}
	} else if err := printCertificates(s, report); err != nil {
		return err
	}
	if report.Wrong(c.Days) {
		return errWrong
	}
	return nil
}

func certConfig(path string) (*config.Config, app.Deps, error) {
	deps := app.System()
	deps.Log = slog.New(slog.DiscardHandler)
	conf, err := config.Load(path)
	if err != nil {
		return nil, deps, usageError{err}
	}
	return conf, deps, nil
}

func printCertificates(s *streams, r *app.CertificateReport) error {
	for _, one := range []struct {
		what  string
		state *app.CertificateState
	}{{"signs", r.Current}, {"next", r.Next}} {
		if one.state == nil {
			continue
		}
		if err := printState(s, one.what, one.state); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(s.out, "what to do: %s\n", r.Step)
	return err
}

func printState(s *streams, what string, c *app.CertificateState) error {
	fmt.Fprintf(s.out, "%s: %s\n", what, c.File)
	if c.Serial != "" {
		fmt.Fprintf(s.out, "  %s, serial number %s\n  valid from %s to %s, %d days left\n", c.Subject, c.Serial,
			c.NotBefore.UTC().Format(time.DateTime), c.NotAfter.UTC().Format(time.DateTime), c.DaysLeft)
	}
	if c.Device != "" {
		fmt.Fprintf(s.out, "  its key is in the plug-in, as %s, and signs\n", c.Device)
	}
	if c.Unasked != "" {
		fmt.Fprintf(s.out, "  whether the plug-in has its key could not be asked: %s; root can\n", c.Unasked)
	}
	if !c.Published.IsZero() {
		fmt.Fprintf(s.out, "  in the directory since %s at the latest\n", c.Published.UTC().Format(time.DateTime))
	}
	for _, problem := range c.Problems {
		fmt.Fprintf(s.out, "  WRONG: %s\n", problem)
	}
	if len(c.Problems) > 0 {
		return nil
	}
	looked := "key, profile"
	if c.Unasked != "" {
		looked = "profile"
	}
	_, err := fmt.Fprintf(s.out, "  %s, chain, revocation and directory are in order\n", looked)
	return err
}

type certCSRCommand struct {
	Config string `default:"/etc/ceralacca/ceralacca.toml" help:"Configuration file: it says who we are."`
	Key    string `required:"" help:"File of the key that is made; it must not be there yet. With [key] plugin: what the plug-in calls the key, or enough of it."`
	Out    string `required:"" help:"File of the request that is made; it must not be there yet."`
	Bits   int    `default:"2048" help:"Length of the RSA key that is made, at least 2048."`
}

// Help implements kong's HelpProvider.
func (certCSRCommand) Help() string {
	return "The request asks for a certificate by the profile of RFC 6109 section 5.5 for the name and address of [provider]. The key file is for its owner " +
		"alone (0600); give it to the user of the daemons: chown.\n\n" +
		"With [key] plugin no key is made: the request is for one that the plug-in holds, such as label \"NEXT\" of pkcs11, with or without a certificate, and " +
		"is signed by it in its device. Run it as root.\n\n" +
		"Examples:\n\n  ceralacca cert csr --key /etc/ceralacca/next-key.pem --out /tmp/alfa.csr\n  ceralacca cert csr --key NEXT --out /tmp/alfa.csr"
}

// Run makes both files, or the request alone.
func (c certCSRCommand) Run(ctx context.Context, s *streams) error {
	conf, deps, err := certConfig(c.Config)
	if err != nil {
		return err
	}
	if conf.Key.Plugin != "" {
		return c.inDevice(ctx, s, conf, deps)
	}
	key, request, err := signer.NewRequest(pec.Provider{Name: conf.Provider.Name, Address: conf.Provider.Address}, c.Bits)
	if err != nil {
		return usageError{err}
	}
	defer clear(key)
	if err := writeNew(c.Key, 0o600, key); err != nil {
		return err
	}
	if err := writeNew(c.Out, 0o644, request); err != nil {
		return errors.Join(err, fsx.Remove(c.Key))
	}
	_, err = fmt.Fprintf(s.out, "%s: the key, for its owner alone\n%s: the request, for the authority\n", c.Key, c.Out)
	return err
}

// inDevice makes the request alone.
func (c certCSRCommand) inDevice(ctx context.Context, s *streams, conf *config.Config, deps app.Deps) error {
	id, request, err := app.DeviceRequest(ctx, conf, deps, c.Key)
	if err != nil {
		return usageError{err}
	}
	if err := writeNew(c.Out, 0o644, request); err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.out, "%s: the request, for the authority, signed by the key %s of the plug-in %q\n", c.Out, id, conf.Key.Plugin)
	return err
}

func writeNew(path string, mode fs.FileMode, content []byte) error {
	err := fsx.WriteNewBytes(path, mode, content)
	if errors.Is(err, fs.ErrExist) {
		return usageError{fmt.Errorf("%s is there already, and stays as it is", path)}
	}
	if err != nil {
		return usageError{err}
	}
	return nil
}

type certRotateCommand struct {
	Config string `default:"/etc/ceralacca/ceralacca.toml" help:"Configuration file."`
	Undo   bool   `help:"Go back to the certificate before."`
	Early  bool   `help:"Do not wait until the certificate is in the directory for a day."`
	Reload string `default:"systemctl reload ceralacca-milter ceralacca-lda" help:"Command that reloads both daemons; empty is none."`
}

// Help implements kong's HelpProvider.
func (certRotateCommand) Help() string {
	return "Exchanges the files of [key] cert and key for those of next_cert and next_key, if the next certificate can sign: it is in the directory, within " +
		"its dates, by the profile, not revoked, and of its key. With [key] plugin the files of certificates alone, if the plug-in has the key. Then it reloads both daemons. What they prepared with the old one is finished with it. " +
		"When anything is wrong nothing is changed, and the exit code is 1.\n\nExample:\n\n  ceralacca cert rotate\n  ceralacca cert rotate --undo"
}

// Run exchanges the certificates and reloads the daemons.
func (c certRotateCommand) Run(ctx context.Context, s *streams) error {
	conf, deps, err := certConfig(c.Config)
	if err != nil {
		return err
	}
	report, err := app.RotateCertificate(ctx, conf, deps, app.RotateOptions{Undo: c.Undo, Early: c.Early})
	if err != nil {
		if report == nil && !errors.Is(err, app.ErrRotate) {
			return usageError{err}
		}
		return err
	}
	fmt.Fprintf(s.out, "%s has the certificate with serial number %s, which ends %s; the one before lies in %s\n", conf.Key.Cert, report.Next.Serial,
		report.Next.NotAfter.UTC().Format(time.DateOnly), conf.Key.NextCert)
	if c.Reload == "" {
		_, err := fmt.Fprintln(s.out, "reload both daemons: until then they sign with the one before")
		return err
	}
	reload := exec.CommandContext(ctx, "sh", "-c", c.Reload)
	reload.Stdout, reload.Stderr = s.out, s.err
	reload.Env = os.Environ()
	if err := reload.Run(); err != nil {
		return fmt.Errorf("the daemons are not reloaded and sign with the one before: %s: %w; reload both, or ceralacca cert rotate --undo", c.Reload, err)
	}
	_, err = fmt.Fprintln(s.out, "the daemons were told to reload; ceralacca_certificate_expires_timestamp_seconds of both says when they have it")
	return err
}
