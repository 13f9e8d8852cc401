package main

import (
	"context"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/ceralacca/ceralacca/internal/secret"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/deposit"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/imap"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/intake"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/keeper"
	"github.com/ceralacca/ceralacca/signer"
)

// names is a flag that may be given several times.
type names []string

// String implements flag.Value.
func (n *names) String() string { return strings.Join(*n, ", ") }

// Set implements flag.Value.
func (n *names) Set(text string) error {
	*n = append(*n, text)
	return nil
}

// mailFlags are those that import and restore have both.
type mailFlags struct {
	*flag.FlagSet
	config, section, since, before *string
	quiet                          *bool
	zone                           *time.Location
}

func newMailFlags(name string) mailFlags {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	return mailFlags{FlagSet: f, config: f.String("config", "/etc/ceralacca/ceralacca.toml", ""), section: f.String("name", "conserve", ""),
		since: f.String("since", "", ""), before: f.String("before", "", ""), quiet: f.Bool("quiet", false, "")}
}

// read reads the line and the configuration.
func (f *mailFlags) read(args []string) (settings, error) {
	err := f.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return settings{}, err
	}
	for _, arg := range f.Args() {
		if strings.HasPrefix(arg, "-") && err == nil {
			err = fmt.Errorf("%s stands behind a mailbox; options come first", arg)
		}
		if !strings.Contains(arg, "@") && err == nil {
			err = fmt.Errorf("%q is not a mailbox", arg)
		}
	}
	if err == nil {
		f.zone, err = time.LoadLocation(legal)
	}
	var s settings
	if err == nil {
		s, err = readSettings(*f.config, *f.section)
	}
	if err != nil {
		return s, fmt.Errorf("%w: %w", err, errUsage)
	}
	return s, nil
}

// days reads --since and --before: legal days, the first in, the last out.
func (f *mailFlags) days() (since, before time.Time, err error) {
	for name, day := range map[string]struct {
		text string
		at   *time.Time
	}{"--since": {*f.since, &since}, "--before": {*f.before, &before}} {
		if day.text == "" {
			continue
		}
		if *day.at, err = time.ParseInLocation(time.DateOnly, day.text, f.zone); err != nil {
			return since, before, fmt.Errorf("%s is %q, not a day; write 2026-11-30: %w", name, day.text, errUsage)
		}
	}
	return since, before, nil
}

// dovecot is where mailboxes are read, by the keys of the configuration.
func (s settings) dovecot() (imap.Server, error) {
	for key, value := range map[string]string{"imap": s.IMAP, "imap_master": s.IMAPMaster, "imap_password_file": s.IMAPPasswordFile} {
		if value == "" {
			return imap.Server{}, fmt.Errorf("the configuration has no %s, which says how Dovecot is asked: %w", key, errUsage)
		}
	}
	var roots *x509.CertPool
	if s.IMAPAuthorities != "" {
		listed, err := signer.ReadCertificates(s.IMAPAuthorities)
		if err != nil {
			return imap.Server{}, fmt.Errorf("imap_authorities: %w", err)
		}
		roots = x509.NewCertPool()
		for _, c := range listed {
			roots.AddCert(c)
		}
	}
	server, err := imap.Parse(s.IMAP, roots)
	if err != nil {
		return server, fmt.Errorf("imap: %w: %w", err, errUsage)
	}
	password, err := secret.Read(s.IMAPPasswordFile, 4096)
	if err != nil {
		return server, fmt.Errorf("imap_password_file: %w", err)
	}
	server.Master, server.Password, server.Separator = s.IMAPMaster, strings.TrimRight(string(password), "\r\n"), s.IMAPSeparator
	return server, nil
}

// mine says whether the state is of who asks: what another writes the plug-in could not read.
func mine(folder string) error {
	info, err := os.Stat(folder)
	if err != nil {
		return fmt.Errorf("the state cannot be read; the plug-in makes it when it starts for the first time: %w", err)
	}
	owner := strconv.Itoa(int(info.Sys().(*syscall.Stat_t).Uid))
	if owner == strconv.Itoa(os.Geteuid()) {
		return nil
	}
	if u, err := user.LookupId(owner); err == nil {
		owner = u.Username
	}
	return fmt.Errorf("%s is of %s; say it as this user: runuser -u %s -- conserve …: %w", folder, owner, owner, errUsage)
}

// importMail is the command import.
func (c command) importMail(ctx context.Context, args []string) error {
	f := newMailFlags("import")
	var o intake.Options
	f.Var((*names)(&o.Folders), "folder", "")
	f.BoolVar(&o.DryRun, "dry-run", false, "")
	f.BoolVar(&o.Everything, "everything", false, "")
	all := f.Bool("all", false, "")
	s, err := f.read(args)
	if err == nil {
		o.Since, o.Before, err = f.days()
	}
	if err != nil {
		return err
	}
	if *all == (f.NArg() > 0) {
		return fmt.Errorf("import wants mailboxes, or --all: %w", errUsage)
	}
	in, end, err := s.intake(ctx, o, f.zone)
	if err != nil {
		return err
	}
	defer end()
	mailboxes := f.Args()
	if *all {
		if mailboxes, err = s.knownMailboxes(in.Box); err != nil {
			return err
		}
	}
	shown := newProgress(c.err, *f.quiet)
	in.Watch = shown
	return c.importAll(ctx, in, mailboxes, shown)
}

// intake prepares an import; none is at work until end.
func (s settings) intake(ctx context.Context, o intake.Options, zone *time.Location) (in *intake.Intake, end func(), err error) {
	server, err := s.dovecot()
	if err != nil {
		return nil, nil, err
	}
	if err := mine(s.Folder); err != nil {
		return nil, nil, err
	}
	end = func() {}
	if !o.DryRun {
		if end, err = s.beginImport(ctx); err != nil {
			return nil, nil, err
		}
	}
	defer func() {
		if err != nil {
			end()
		}
	}()
	box, err := deposit.Open(s.Folder)
	if err != nil {
		return nil, nil, err
	}
	counted := newSpace(box, s.catalogue())
	if err := counted.load(); err != nil {
		return nil, nil, err
	}
	return &intake.Intake{Options: o, Server: server, Box: box, Dir: s.importFolder(), Wants: s.keeps, Rule: s.kept,
		Reserve: func(mailbox string, bytes int64) bool { return counted.reserve(mailbox, bytes, s.limit(mailbox)) }, Release: counted.release,
		Day: func(t time.Time) string { return keeper.Day(t, zone) }, Clock: s.clock()}, end, nil
}

// knownMailboxes are those that have a rule or deposits: Dovecot's master user cannot list mailboxes.
func (s settings) knownMailboxes(box *deposit.Box) ([]string, error) {
	known := map[string]bool{}
	for mailbox := range s.Mailboxes {
		known[mailbox] = true
	}
	groups, err := box.Groups()
	if err != nil {
		return nil, err
	}
	for _, g := range groups {
		known[g.Mailbox] = true
	}
	preserved, err := s.catalogue().Mailboxes()
	for _, mailbox := range preserved {
		known[mailbox] = true
	}
	return slices.Sorted(maps.Keys(known)), err
}

// importAll takes mailboxes one after the other. What goes wrong with one does not keep the others from being taken.
func (c command) importAll(ctx context.Context, in *intake.Intake, mailboxes []string, shown *progress) error {
	var sum intake.Result
	wrong := 0
	for _, mailbox := range mailboxes {
		mailbox = strings.ToLower(mailbox) // as the host names it
		if in.Rule(mailbox) == "off" {
			shown.say("%s: nothing is kept of it, by keep = \"off\"", mailbox)
			continue
		}
		result, err := in.Mailbox(ctx, mailbox)
		shown.end()
		sum.Add(result)
		c.tell(in, mailbox, result)
		if errors.Is(err, intake.ErrSpace) {
			err = intake.ErrSpace // where in the mailbox says nothing
		}
		if err != nil {
			wrong++
			shown.say("%s: %v", mailbox, err)
		}
	}
	switch {
	case wrong > 0:
		return fmt.Errorf("%d of %d mailboxes were not taken whole", wrong, len(mailboxes))
	case sum.Failed > 0:
		return fmt.Errorf("%d messages cannot be read; they are tried again the next time", sum.Failed)
	}
	return nil
}

func (c command) tell(in *intake.Intake, mailbox string, r intake.Result) {
	said := "taken"
	if in.DryRun {
		said = "would be taken, fewer if some are there already or twice"
	}
	_, _ = fmt.Fprintf(c.out, "%s: %d messages, %s, %s; %d were there already; %d are not wanted; %d cannot be read\n",
		mailbox, r.Taken, human(r.Bytes), said, r.Known, r.Unwanted, r.Failed)
}
