package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/ceralacca/ceralacca/internal/admin"
	"github.com/ceralacca/ceralacca/internal/app"
	"github.com/ceralacca/ceralacca/internal/config"
	"github.com/ceralacca/ceralacca/internal/directory"
)

type directoryCommand struct {
	Update  directoryUpdateCommand  `cmd:"" help:"Fetch now; accept a version that waits."`
	Show    directoryShowCommand    `cmd:"" help:"Say what the directory has of a provider, a domain or a certificate."`
	Diff    directoryDiffCommand    `cmd:"" help:"Say what differs between two versions."`
	History directoryHistoryCommand `cmd:"" help:"List the versions that are kept."`
	Export  directoryExportCommand  `cmd:"" help:"Write and sign our own records, for the central system to fetch."`
}

// Help implements kong's HelpProvider.
func (directoryCommand) Help() string { return "Example:\n\n  ceralacca directory show beta.example" }

type directoryUpdateCommand struct {
	Config string `default:"/etc/ceralacca/ceralacca.toml" help:"Configuration file: it says where the agent is."`
	Accept string `placeholder:"SHA256" help:"Take the version that waits: its SHA-256, or at least the first eight digits."`
	JSON   bool   `name:"json" help:"One JSON object."`
}

// Help implements kong's HelpProvider.
func (directoryUpdateCommand) Help() string {
	return "Tells the running agent to look at the source now, and says what has changed. The milter follows within seconds. A version that lacks " +
		"more than [directory] max_loss, or our own record, waits: look at it with ceralacca directory diff waiting.\n\n" +
		"Exit code 0: what is published is in use; 1: it is not, and why is said; 2: the agent cannot be asked.\n\n" +
		"Examples:\n\n  ceralacca directory update\n  ceralacca directory update --accept 1b77c0de"
}

// Run asks the agent, and fails when what is published is not in use.
func (c directoryUpdateCommand) Run(ctx context.Context, s *streams) error {
	conf, err := config.Load(c.Config)
	if err != nil {
		return usageError{err}
	}
	var outcome directory.Outcome
	err = admin.NewClient(conf.Agent.AdminSocket.Address).DirectoryUpdate(ctx, c.Accept, func(line json.RawMessage) error {
		if c.JSON {
			if err := s.line(line); err != nil {
				return err
			}
		}
		return json.Unmarshal(line, &outcome)
	})
	if errors.Is(err, admin.ErrNotRunning) {
		err = fmt.Errorf("%w: the agent fetches the directory when it starts, and keeps it fresh", err)
	}
	if err != nil {
		return usageError{err}
	}
	if !c.JSON {
		printOutcome(s, outcome)
	}
	if outcome.Error != "" {
		return errWrong
	}
	return nil
}

func printOutcome(s *streams, o directory.Outcome) {
	switch {
	case o.Updated:
		fmt.Fprintf(s.out, "A new directory is in use: %s, SHA-256 %s.\n", o.Counts, o.SHA256)
		printChanges(s, o.Changes)
	case o.Error == "":
		fmt.Fprintf(s.out, "The directory in use is what is published: %s, SHA-256 %s, taken %s.\n", o.Counts, o.SHA256, o.Accepted.Format(time.RFC3339))
	default:
		fmt.Fprintf(s.out, "The directory in use stays: %s, SHA-256 %s, last found good %s.\n", o.Counts, o.SHA256, o.Checked.Format(time.RFC3339))
	}
	for _, p := range o.Problems {
		fmt.Fprintf(s.out, "  fault: %s\n", visible(p))
	}
	if o.Error != "" {
		fmt.Fprintf(s.err, "ceralacca: %s\n", visible(o.Error))
	}
	if w := o.Waiting; w != nil {
		fmt.Fprintf(s.out, "Waiting for you since %s, SHA-256 %s:\n", w.Since.Format(time.RFC3339), w.SHA256)
		for _, reason := range w.Reasons {
			fmt.Fprintf(s.out, "  because %s\n", visible(reason))
		}
		printChanges(s, w.Changes)
		fmt.Fprintf(s.out, "If that is right: ceralacca directory update --accept %s\n", w.SHA256)
	}
}

// printChanges says what is other, all of it.
func printChanges(s *streams, changes []directory.Change) {
	for _, c := range changes {
		fmt.Fprintf(s.out, "  %s\n", visible(c.String()))
		if c.What != directory.ChangeChanged {
			continue
		}
		for _, part := range []struct {
			sign string
			list []string
		}{{"+", c.DomainsMore}, {"-", c.DomainsLess}, {"+ certificate", c.CertificatesMore}, {"- certificate", c.CertificatesLess}} {
			for _, one := range part.list {
				fmt.Fprintf(s.out, "    %s %s\n", part.sign, one)
			}
		}
	}
}

// keptFlags say where the kept versions are.
type keptFlags struct {
	Config  string `default:"/etc/ceralacca/ceralacca.toml" help:"Configuration file: it says where the agent keeps the versions."`
	History string `placeholder:"DIR" help:"The folder of the kept versions, instead of that of the configuration."`
}

func (k keptFlags) folder() (string, error) {
	if k.History != "" {
		if _, err := os.Stat(k.History); err != nil { // else it would have no versions
			return "", usageError{err}
		}
		return k.History, nil
	}
	conf, err := config.Load(k.Config)
	if err != nil {
		return "", usageError{err}
	}
	return app.DirectoryFolder(conf), nil
}

// Names of versions, beside a path and the beginning of a SHA-256.
const (
	versionCurrent  = "current"
	versionPrevious = "previous"
	versionWaiting  = "waiting"
)

// read opens the version of a name; what cannot be read is the fault of the question.
func (k keptFlags) read(name string) (*directory.Snapshot, string, error) {
	if strings.ContainsAny(name, "/.") {
		s, _, err := directory.OpenFile(name)
		return s, name, asked(err)
	}
	folder, err := k.folder()
	if err != nil {
		return nil, "", err
	}
	if name == versionWaiting {
		s, _, err := directory.OpenFile(directory.WaitingFile(folder))
		if errors.Is(err, os.ErrNotExist) {
			err = errors.New("no version waits")
		}
		return s, name, asked(err)
	}
	all, err := directory.Versions(folder)
	if err != nil {
		return nil, "", usageError{err}
	}
	v, err := pick(all, name, folder)
	if err != nil {
		return nil, "", usageError{err}
	}
	s, err := v.Open()
	return s, fmt.Sprintf("%s (taken %s)", short(v), v.Instant.Format(time.RFC3339)), asked(err)
}

// pick finds a kept version, the newest with a digest.
func pick(all []directory.Version, name, folder string) (directory.Version, error) {
	switch {
	case len(all) == 0:
		return directory.Version{}, fmt.Errorf("no version of the directory is kept in %s: the agent keeps each that it takes", folder)
	case name == versionCurrent:
		return all[len(all)-1], nil
	case name == versionPrevious && len(all) == 1:
		return directory.Version{}, fmt.Errorf("there is no version before the current one in %s", folder)
	case name == versionPrevious:
		return all[len(all)-2], nil
	}
	for i := len(all) - 1; i >= 0; i-- {
		if len(name) >= 6 && strings.HasPrefix(hex.EncodeToString(all[i].Digest[:]), strings.ToLower(name)) {
			return all[i], nil
		}
	}
	return directory.Version{}, fmt.Errorf("no kept version is called %q; write a path with a / or a dot, %s, %s, %s, or at least six digits of a SHA-256 of "+
		"ceralacca directory history", name, versionCurrent, versionPrevious, versionWaiting)
}

func short(v directory.Version) string { return hex.EncodeToString(v.Digest[:6]) }

func asked(err error) error {
	if err == nil {
		return nil
	}
	return usageError{err}
}

type directoryDiffCommand struct {
	keptFlags
	Versions []string `arg:"" optional:"" name:"version" help:"A path, current, previous, waiting, or the beginning of a SHA-256: one, that current is compared with, or two, the older first."`
	JSON     bool     `name:"json" help:"One JSON object per record that is other."`
}

// Help implements kong's HelpProvider.
func (directoryDiffCommand) Help() string {
	return "Without a version: previous and current. The exit code is 0 also when something differs.\n\n" +
		"Examples:\n\n  ceralacca directory diff\n  ceralacca directory diff waiting\n  ceralacca directory diff 1b77c0de ./igpec.ldif.p7m"
}

// Run prints what is other.
func (c directoryDiffCommand) Run(s *streams) error {
	names := []string{versionPrevious, versionCurrent}
	switch len(c.Versions) {
	case 0:
	case 1:
		names = []string{versionCurrent, c.Versions[0]}
	case 2:
		names = c.Versions
	default:
		return usageError{fmt.Errorf("%d versions were given; two can be compared", len(c.Versions))}
	}
	old, oldName, err := c.read(names[0])
	if err != nil {
		return err
	}
	fresh, freshName, err := c.read(names[1])
	if err != nil {
		return err
	}
	changes := fresh.Diff(old)
	if c.JSON {
		return jsonLines(s, changes)
	}
	fmt.Fprintf(s.out, "from %s: %s\nto   %s: %s\n", oldName, old.Counts(), freshName, fresh.Counts())
	if len(changes) == 0 {
		fmt.Fprintln(s.out, "No record is other.")
	}
	printChanges(s, changes)
	return nil
}

func jsonLines[T any](s *streams, list []T) error {
	for _, one := range list {
		line, err := json.Marshal(one)
		if err != nil {
			return err
		}
		if err := s.line(line); err != nil {
			return err
		}
	}
	return nil
}

type directoryHistoryCommand struct {
	keptFlags
	JSON bool `name:"json" help:"One JSON object per version."`
}

// Help implements kong's HelpProvider.
func (directoryHistoryCommand) Help() string {
	return "The oldest first. Each is held to its digest and signature. ceralacca verify --history judges by the version of the day.\n\n" +
		"Example:\n\n  ceralacca directory history --json"
}

// keptVersion is what is shown of one.
type keptVersion struct {
	Instant time.Time `json:"instant"`
	SHA256  string    `json:"sha256"`
	directory.Counts
	Path  string `json:"path"`
	Error string `json:"error,omitempty"`
}

// Run prints the versions, and fails when one is not what it was.
func (c directoryHistoryCommand) Run(s *streams) error {
	folder, err := c.folder()
	if err != nil {
		return err
	}
	all, err := directory.Versions(folder)
	if err != nil {
		return usageError{err}
	}
	w := tabwriter.NewWriter(s.out, 0, 8, 2, ' ', 0)
	broken := false
	if len(all) > 0 && !c.JSON {
		fmt.Fprintln(w, "IN USE SINCE\tSHA-256\tRECORDS\tDOMAINS\tCERTIFICATES")
	}
	for _, v := range all {
		k := keptVersion{Instant: v.Instant, SHA256: hex.EncodeToString(v.Digest[:]), Path: v.Path}
		if snapshot, err := v.Open(); err != nil {
			k.Error, broken = err.Error(), true
		} else {
			k.Counts = snapshot.Counts()
		}
		if c.JSON {
			if err := jsonLines(s, []keptVersion{k}); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\n", k.Instant.Format(time.RFC3339), k.SHA256, k.Records, k.Domains, k.Certificates)
		if k.Error != "" {
			fmt.Fprintf(s.err, "ceralacca: %s\n", visible(k.Error))
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if len(all) == 0 && !c.JSON {
		fmt.Fprintf(s.out, "no version is kept in %s\n", folder)
	}
	if broken {
		return errWrong
	}
	return nil
}
