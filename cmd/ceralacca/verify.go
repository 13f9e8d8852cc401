package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/ceralacca/ceralacca/internal/app"
	"github.com/ceralacca/ceralacca/internal/config"
	"github.com/ceralacca/ceralacca/internal/examine"
)

type verifyCommand struct {
	Files     []string `arg:"" name:"file" help:"Messages, as saved from a mail program."`
	CA        string   `name:"ca" help:"PEM file with the certificates of the authorities to trust."`
	CRL       string   `name:"crl" help:"Revocation list, PEM or DER."`
	Directory string   `help:"The signed directory of the providers (igpec.ldif.p7m)."`
	Original  string   `help:"The message as it was sent, or an envelope or complete receipt with it: compare its files with the hashes in a brief receipt."`
	History   string   `placeholder:"DIR" help:"A folder of kept directories: judge by the one in force at the time, of which the report says which."`
	Config    string   `placeholder:"FILE" help:"Take the kept directories of the agent of this configuration, as --history."`
	At        *instant `help:"Judge as of this instant (RFC 3339) instead of the one the message states." placeholder:"TIME"`
	JSON      bool     `name:"json" help:"One JSON object per file, in the order of the arguments."`
}

// instant is a time as RFC 3339 writes it.
type instant time.Time

// UnmarshalText implements encoding.TextUnmarshaler.
func (i *instant) UnmarshalText(text []byte) error {
	t, err := time.Parse(time.RFC3339, string(text))
	if err != nil {
		return fmt.Errorf("%q is no instant; write one like 2026-11-22T20:15:00+01:00", text)
	}
	*i = instant(t)
	return nil
}

// Help implements kong's HelpProvider.
func (verifyCommand) Help() string {
	return "What was not asked for is not judged: without --ca any signer will do. Whom to trust to sign the directory is not asked.\n" +
		"--directory, --history and --config exclude each other. When no kept directory is as old as the message, that file cannot be judged.\n" +
		"Exit code 0: every file holds; 1: one does not (an ordinary message does not); 2: one cannot be read.\n\n" +
		"Examples:\n\n  ceralacca verify --ca ca.pem --crl ca.crl --directory igpec.ldif.p7m receipt.eml\n" +
		"  ceralacca verify --ca ca.pem --at 2026-05-01T12:00:00+02:00 --config /etc/ceralacca/ceralacca.toml receipt.eml\n" +
		"  ceralacca verify brief.eml --original sent.eml"
}

// Run reports on every file before it judges.
func (c verifyCommand) Run(s *streams) error {
	history, err := c.history()
	if err != nil {
		return usageError{err}
	}
	examiner, err := examine.New(examine.Options{CA: c.CA, CRL: c.CRL, Directory: c.Directory, History: history, Original: c.Original,
		At: (*time.Time)(c.At)})
	if err != nil {
		return usageError{err}
	}
	wrong, unreadable := false, false
	for _, file := range c.Files {
		r := examiner.File(file)
		wrong, unreadable = wrong || !r.OK, unreadable || r.Error != ""
		if err := printReport(s, r, c.JSON); err != nil {
			return usageError{err}
		}
	}
	switch {
	case unreadable:
		return usageError{fmt.Errorf("not every file could be read")}
	case wrong:
		return errWrong
	}
	return nil
}

// history is the folder of the kept directories, or "" when they were not asked for.
func (c verifyCommand) history() (string, error) {
	given := 0
	for _, flag := range []string{c.Directory, c.History, c.Config} {
		if flag != "" {
			given++
		}
	}
	if given > 1 {
		return "", errors.New("--directory, --history and --config each name the directory to judge by; write one of them")
	}
	if c.Config == "" {
		return c.History, nil
	}
	conf, err := config.Load(c.Config)
	if err != nil {
		return "", err
	}
	return app.DirectoryFolder(conf), nil
}

func printReport(s *streams, r *examine.Report, asJSON bool) error {
	if !asJSON {
		_, err := fmt.Fprint(s.out, r.Text())
		return err
	}
	line, err := json.Marshal(r.JSON())
	if err != nil {
		return err
	}
	return s.line(line)
}

// filesTogether lets the flags of verify stand among the files, as people type them: the library ends a list of files at
// the first flag.
func filesTogether(parser *kong.Kong, args []string) []string {
	if len(args) == 0 || args[0] != "verify" {
		return args
	}
	valued := map[string]bool{}
	for _, node := range parser.Model.Children {
		if node.Name != args[0] {
			continue
		}
		for _, flag := range node.Flags {
			valued["--"+flag.Name] = !flag.IsBool()
		}
	}
	var flags, files []string
	for rest := args[1:]; len(rest) > 0; rest = rest[1:] {
		switch arg := rest[0]; {
		case arg == "--":
			return slices.Concat(args[:1], flags, []string{"--"}, files, rest[1:])
		case !strings.HasPrefix(arg, "-"):
			files = append(files, arg)
		case valued[arg] && len(rest) > 1:
			flags, rest = append(flags, arg, rest[1]), rest[1:]
		default:
			flags = append(flags, arg)
		}
	}
	return slices.Concat(args[:1], files, flags)
}
