package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/ceralacca/ceralacca/internal/config"
	"github.com/ceralacca/ceralacca/internal/quarantine"
)

type quarantineCommand struct {
	List   quarantineListCommand   `cmd:"" help:"List them, the oldest first."`
	Show   quarantineShowCommand   `cmd:"" help:"Say all that is known of one, without its content."`
	Export quarantineExportCommand `cmd:"" help:"Write one to a file, exactly as it came."`
}

// Help implements kong's HelpProvider.
func (quarantineCommand) Help() string {
	return "Infected messages are kept for 30 months, readable by the user of the agent only: run these commands as that user.\n\n" +
		"Examples:\n\n  ceralacca quarantine list\n  ceralacca quarantine show 0123456789abcdef0123456789abcdef"
}

// quarantineOf is the store that a configuration names.
type quarantineOf struct {
	Config string `default:"/etc/ceralacca/ceralacca.toml" help:"Configuration file: it says where the state is."`
}

func (q quarantineOf) store() (*quarantine.Store, error) {
	conf, err := config.Load(q.Config)
	if err != nil {
		return nil, usageError{err}
	}
	return quarantine.In(conf.Agent.State), nil
}

// entry finds one by its id.
func (q quarantineOf) entry(id string) (*quarantine.Store, *quarantine.Entry, error) {
	s, err := q.store()
	if err != nil {
		return nil, nil, err
	}
	e, err := s.Get(id)
	if err != nil {
		return nil, nil, unreadable(s, err)
	}
	return s, e, nil
}

// unreadable says what to do when the quarantine cannot be read, or has no such message.
func unreadable(s *quarantine.Store, err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		err = fmt.Errorf("%w; only the user of the agent reads %s: run the command as that user", err, s.Folder())
	case errors.Is(err, quarantine.ErrNone):
		err = fmt.Errorf("%w; list them with: ceralacca quarantine list", err)
	}
	return usageError{err}
}

type quarantineListCommand struct {
	quarantineOf
	JSON bool `name:"json" help:"One JSON object per message."`
}

// Help implements kong's HelpProvider.
func (quarantineListCommand) Help() string {
	return "Reads the folder itself, whether the agent runs or not.\n\nExample:\n\n  ceralacca quarantine list --json"
}

// Run prints the list. What cannot be read is said after what can.
func (c quarantineListCommand) Run(s *streams) error {
	from, err := c.store()
	if err != nil {
		return err
	}
	entries, failed := from.List()
	if c.JSON {
		for _, e := range entries {
			if err := s.object(e); err != nil {
				return err
			}
		}
	} else if err := printEntries(s.out, entries); err != nil {
		return err
	}
	if failed != nil {
		return unreadable(from, failed)
	}
	return nil
}

// object writes a line of JSON.
func (s *streams) object(v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return s.line(line)
}

func printEntries(out io.Writer, entries []*quarantine.Entry) error {
	if len(entries) == 0 {
		_, err := fmt.Fprintln(out, "The quarantine is empty.")
		return err
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tTIME\tPOINT\tVIRUS\tBYTES\tFROM\tTO")
	for _, e := range entries {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\t%s\t%s\n", e.ID, e.Time.Local().Format(time.DateTime), e.Point, visible(e.Virus), e.Size,
			visible(e.Sender), visible(strings.Join(e.Recipients, ", ")))
	}
	return table.Flush() // the writes before it are in memory
}

// visible is text from outside as a terminal may show it: one line, without anything that steers it.
func visible(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return s
	}
	return strconv.Quote(s)
}

type quarantineShowCommand struct {
	quarantineOf
	ID      string `arg:"" help:"The id that the list gives."`
	Message bool   `help:"Print the message too, with everything escaped that could steer a terminal."`
	JSON    bool   `name:"json" help:"One JSON object."`
}

// Help implements kong's HelpProvider.
func (quarantineShowCommand) Help() string {
	return "The message itself is infected: it is printed only when you ask for it, and never as it is; export writes it to a file.\n\n" +
		"Example:\n\n  ceralacca quarantine show 0123456789abcdef0123456789abcdef"
}

// Run prints one entry.
func (c quarantineShowCommand) Run(s *streams) error {
	from, e, err := c.entry(c.ID)
	if err != nil {
		return err
	}
	if c.JSON {
		err = s.object(e)
	} else {
		err = printEntry(s.out, e)
	}
	if err != nil || !c.Message {
		return err
	}
	fmt.Fprintln(s.out)
	shown := bufio.NewWriter(s.out)
	if err := errors.Join(from.Copy(e, &escaping{shown}), shown.Flush()); err != nil {
		return unreadable(from, err)
	}
	return nil
}

func printEntry(out io.Writer, e *quarantine.Entry) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, line := range [][2]string{
		{"ID", e.ID}, {"Virus", e.Virus}, {"Found by", e.Engine}, {"Signatures", e.Signatures}, {"Time", e.Time.Local().Format(time.RFC3339)},
		{"Kept until", e.Until().Local().Format(time.RFC3339)}, {"Point", e.Point}, {"Kind", string(e.Kind)}, {"From", e.Sender},
		{"To", strings.Join(e.Recipients, ", ")}, {"Subject", e.Subject}, {"Message-ID", e.MessageID}, {"Identifier", string(e.Identifier)},
		{"Signed by", e.Signer}, {"Nobody was told", e.Why}, {"Bytes", strconv.FormatInt(e.Size, 10)}, {"SHA-256", e.SHA256},
	} {
		if line[1] != "" {
			fmt.Fprintf(table, "%s:\t%s\n", line[0], visible(line[1]))
		}
	}
	return table.Flush() // the writes before it are in memory
}

// escaping writes bytes so that a terminal shows them and does nothing else: line ends stay, and printable ASCII.
type escaping struct{ out *bufio.Writer }

func (w *escaping) Write(p []byte) (int, error) {
	for _, b := range p {
		switch {
		case b == '\r':
		case b == '\n' || b == '\t' || b >= ' ' && b < 0x7f:
			_ = w.out.WriteByte(b) // an error stays until Flush
		default:
			fmt.Fprintf(w.out, `\x%02x`, b)
		}
	}
	return len(p), nil
}

type quarantineExportCommand struct {
	quarantineOf
	ID string `arg:"" help:"The id that the list gives."`
	To string `required:"" help:"The file to write, mode 0600; it must not exist." placeholder:"FILE"`
}

// Help implements kong's HelpProvider.
func (quarantineExportCommand) Help() string {
	return "The message is written byte for byte, when its SHA-256 is still that of what came in. It stays in the quarantine.\n\n" +
		"Example:\n\n  ceralacca quarantine export 0123456789abcdef0123456789abcdef --to infected.eml"
}

// Run writes the file.
func (c quarantineExportCommand) Run(s *streams) error {
	from, e, err := c.entry(c.ID)
	if err != nil {
		return err
	}
	switch err := from.Export(e, c.To); {
	case errors.Is(err, quarantine.ErrAltered):
		return err // what was asked about is wrong
	case errors.Is(err, fs.ErrExist):
		return usageError{fmt.Errorf("%s exists and is not written over: name another file", c.To)}
	case errors.Is(err, fs.ErrPermission):
		return usageError{fmt.Errorf("%w; run the command as the user of the agent, who must be allowed to write %s", err, c.To)}
	case err != nil:
		return usageError{err}
	}
	_, err = fmt.Fprintf(s.out, "%s: %d bytes, infected with %s; SHA-256 %s\n", c.To, e.Size, visible(e.Virus), e.SHA256)
	return err
}
