package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/ceralacca/ceralacca/internal/config"
	"github.com/ceralacca/ceralacca/internal/fsx"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/deposit"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/keeper"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/pack"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/store"
	"github.com/ceralacca/ceralacca/plugins/host"
)

const usage = `conserve keeps certified mail for years. ceralacca starts it as a plug-in; by hand it is:

  conserve status  [--config FILE] [MAILBOX]             what each mailbox has in store, and of its space
  conserve list    [--config FILE] MAILBOX               the packages of a mailbox
  conserve verify  [--config FILE] PACKAGE|FOLDER ...    whether packages hold; --all: every one that is preserved
  conserve exhibit [--config FILE] PACKAGE FOLDER        a package, for openssl and sha256sum to check
  conserve import  [--config FILE] [OPTIONS] MAILBOX ... old certified mail out of Dovecot; --all: of every mailbox that
                                                         has a rule or documents. It goes on where it was stopped
      --folder NAME   this folder alone, may be repeated; otherwise all but those for trash, junk and drafts
      --since DATE --before DATE   by the day at which it came in, the first day in, the last one out
      --everything    also what is not certified
      --dry-run       only count what would be taken
      --quiet         no progress
  conserve restore [--config FILE] [OPTIONS] MAILBOX     what the security archive has, back into the mailbox; it goes on
                                                         where it was stopped, and puts each message once
      --into FOLDER   "Ripristino" and the day without it; created and subscribed to
      --since DATE --before DATE   by the day of the event, the first day in, the last one out
      --event EVENT   these alone, may be repeated: delivered, accepted, delivery, ...
      --quiet         no progress

FILE is the configuration of ceralacca, or one with what stands in [plugins.conserve.config];
/etc/ceralacca/ceralacca.toml without it. Run the commands as the plug-in's user, beside the plug-in or without it. All but
import and restore only read; these need imap, imap_master and imap_password_file in the configuration.

Examples:
  conserve import --before 2026-11-30 mario@alfa.example
  conserve restore --since 2026-11-01 --event delivered mario@alfa.example
  conserve status
  conserve verify --all
  conserve exhibit mario@alfa.example/2026-11-30-001 /tmp/for-the-court

They exit with 0 when all is well, 1 when something is not, 2 when the question was wrong.
`

// Exit codes.
const (
	exitGood  = 0
	exitWrong = 1
	exitUsage = 2
)

// errUsage says that the question was wrong.
var errUsage = errors.New("see conserve --help")

// command is what is run by hand.
type command struct{ out, err io.Writer }

func (c command) run(ctx context.Context, args []string) int {
	if len(args) == 0 {
		_, _ = io.WriteString(c.err, usage)
		return exitUsage
	}
	if args[0] == "--help" || args[0] == "-h" || args[0] == "help" {
		_, _ = io.WriteString(c.out, usage)
		return exitGood
	}
	err := c.dispatch(ctx, args[0], args[1:])
	switch {
	case err == nil:
		return exitGood
	case errors.Is(err, flag.ErrHelp):
		_, _ = io.WriteString(c.out, usage)
		return exitGood
	}
	_, _ = fmt.Fprintln(c.err, "conserve:", err)
	if errors.Is(err, errUsage) {
		return exitUsage
	}
	return exitWrong
}

func (c command) dispatch(ctx context.Context, name string, args []string) error {
	if name == "import" {
		return c.importMail(ctx, args)
	}
	if name == "restore" {
		return c.restore(ctx, args)
	}
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	file := flags.String("config", "/etc/ceralacca/ceralacca.toml", "")
	section := flags.String("name", "conserve", "")
	all := flags.Bool("all", false, "")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return fmt.Errorf("%w: %w", err, errUsage)
	}
	runs := map[string]func(context.Context, settings, []string) error{"status": c.status, "list": c.list, "exhibit": c.exhibit,
		"verify": func(ctx context.Context, s settings, args []string) error { return c.verify(ctx, s, args, *all) }}
	fn, ok := runs[name]
	if !ok {
		return fmt.Errorf("there is no command %q: %w", name, errUsage)
	}
	s, err := readSettings(*file, *section)
	if err != nil {
		return fmt.Errorf("%w: %w", err, errUsage)
	}
	return fn(ctx, s, flags.Args())
}

// readSettings reads either kind of file.
func readSettings(file, section string) (s settings, err error) {
	values, _, err := config.LoadValues(file)
	if err != nil {
		return s, err
	}
	if sections, ok := values["plugins"].(map[string]any); ok {
		own, _ := sections[section].(map[string]any)
		if values, ok = own["config"].(map[string]any); !ok {
			return s, fmt.Errorf("%s has no [plugins.%s.config]", file, section)
		}
	}
	for _, fault := range host.CheckConfig(plugin().Describe(), values) {
		return s, fmt.Errorf("%s: %v", file, fault)
	}
	text, err := json.Marshal(values)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("%s: %w", file, err)
	}
	return s, s.check()
}

func (c command) status(_ context.Context, s settings, args []string) error {
	box, err := deposit.Existing(s.Folder)
	if err != nil {
		return err
	}
	counted := newSpace(box, s.catalogue())
	if err := counted.load(); err != nil {
		return err
	}
	used := counted.all()
	mailboxes := slices.Sorted(maps.Keys(used))
	if len(args) > 0 {
		mailboxes = args
	}
	_, err = fmt.Fprintf(c.out, "%-36s %9s %10s %10s\n", "mailbox", "documents", "kept", "space")
	for _, mailbox := range mailboxes {
		u, limit := used[mailbox], s.limit(mailbox)
		line := fmt.Sprintf("%-36s %9d %10s %10s", mailbox, u.Items, human(u.Bytes), "no limit")
		if limit > 0 {
			line = fmt.Sprintf("%-36s %9d %10s %10s %s", mailbox, u.Items, human(u.Bytes), human(limit), bar(u.Bytes, limit))
		}
		_, e := fmt.Fprintln(c.out, line)
		err = errors.Join(err, e)
	}
	return errors.Join(err, c.archiveStatus(s, args))
}

// width of a bar, in characters.
const width = 20

func bar(used, limit int64) string {
	part := float64(used) / float64(limit)
	full := min(width, int(part*width))
	return fmt.Sprintf("[%s%s] %3.0f %%", strings.Repeat("#", full), strings.Repeat("-", width-full), part*100)
}

func human(n int64) string {
	value, units := float64(n), []string{"B", "KB", "MB", "GB", "TB"}
	for value >= 1024 && len(units) > 1 {
		value, units = value/1024, units[1:]
	}
	return fmt.Sprintf("%.4g %s", value, units[0])
}

func (c command) list(_ context.Context, s settings, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("list wants one mailbox: %w", errUsage)
	}
	entries, err := s.catalogue().Entries(args[0])
	for _, e := range entries {
		_, w := fmt.Fprintf(c.out, "%s  %d documents, %s\n", pack.Name(e.Mailbox, e.Day, e.Number), e.Items, human(e.Bytes))
		err = errors.Join(err, w)
	}
	return err
}

func (c command) verify(ctx context.Context, s settings, names []string, all bool) error {
	if all == (len(names) > 0) {
		return fmt.Errorf("verify wants packages, folders, or --all: %w", errUsage)
	}
	if all {
		var err error
		if names, err = everyPackage(s.catalogue()); err != nil {
			return err
		}
	}
	verifier, _, err := s.verifier()
	if err != nil {
		return err
	}
	wrong, kept := 0, sync.OnceValues(s.store)
	for _, name := range names {
		p, err := find(ctx, kept, name)
		if all && errors.Is(err, errNoPackage) { // it is in the catalogue
			wrong++
			_, _ = fmt.Fprintf(c.out, "%s: WRONG: it is not in the store\n", name)
			continue
		}
		if err != nil {
			return err
		}
		found, err := verifier.Verify(ctx, p)
		if err != nil {
			wrong++
			_, _ = fmt.Fprintf(c.out, "%s: WRONG: %v\n", name, err)
			continue
		}
		_, _ = fmt.Fprintf(c.out, "%s: good, %d documents, signed by %s, stamped %s\n", name, len(found.Index.Files), found.Signer, found.Stamped.UTC().Format("2006-01-02T15:04:05Z"))
	}
	if wrong > 0 {
		return fmt.Errorf("%d of %d packages do not hold", wrong, len(names))
	}
	return nil
}

func everyPackage(c keeper.Catalogue) (names []string, err error) {
	mailboxes, err := c.Mailboxes()
	for _, mailbox := range mailboxes {
		entries, e := c.Entries(mailbox)
		err = errors.Join(err, e)
		for _, e := range entries {
			names = append(names, pack.Name(e.Mailbox, e.Day, e.Number))
		}
	}
	return names, err
}

// errNoPackage says that the store has no such package.
var errNoPackage = errors.New("there is no such package in the store")

// find takes what begins with / or . for a folder, anything else for a package of the store.
func find(ctx context.Context, open func() (store.Store, error), name string) (store.Package, error) {
	if strings.HasPrefix(name, "/") || strings.HasPrefix(name, ".") {
		if _, err := os.Stat(name); err != nil {
			return nil, fmt.Errorf("%w: %w", err, errUsage)
		}
		return store.Folder(name), nil
	}
	kept, err := open()
	if err != nil {
		return nil, err
	}
	p, found, err := kept.Package(ctx, name)
	if err == nil && !found {
		err = fmt.Errorf("%s: %w: %w", name, errNoPackage, errUsage)
	}
	return p, err
}

func (c command) exhibit(ctx context.Context, s settings, args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("exhibit wants a package and a folder: %w", errUsage)
	}
	p, err := find(ctx, s.store, args[0])
	if err != nil {
		return err
	}
	if _, err := os.Stat(args[1]); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is there already; name a new folder: %w", args[1], errUsage)
	}
	names, err := p.Files(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := copyOut(ctx, p, name, filepath.Join(args[1], filepath.FromSlash(name))); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	_, err = fmt.Fprintf(c.out, "%d files in %s; %s there says how to check them\n", len(names), args[1], pack.Readme)
	return err
}

func copyOut(ctx context.Context, p store.Package, name, path string) error {
	r, err := p.Open(ctx, name)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }() // it was only read
	if err := fsx.Folder(filepath.Dir(path), 0o750); err != nil {
		return err
	}
	return fsx.Write(path, 0o640, func(w io.Writer) error {
		_, err := io.Copy(w, r)
		return err
	})
}
