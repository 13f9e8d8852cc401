package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ceralacca/ceralacca/internal/admin"
	"github.com/ceralacca/ceralacca/internal/app"
	"github.com/ceralacca/ceralacca/internal/config"
	"github.com/ceralacca/ceralacca/internal/ledger"
	"github.com/ceralacca/ceralacca/internal/transaction"
	"github.com/ceralacca/ceralacca/pec"
)

type logCommand struct {
	List logListCommand `cmd:"" help:"List the records, in the order of the log."`
}

// Help implements kong's HelpProvider.
func (logCommand) Help() string { return "Example:\n\n  ceralacca log list --json" }

type logListCommand struct {
	Config string  `default:"/etc/ceralacca/ceralacca.toml" help:"Configuration file: it says where the agent is."`
	JSON   bool    `name:"json" help:"One JSON object per record."`
	ID     *string `name:"id" help:"Only the records of the message with this identifier." placeholder:"IDENTIFIER"`
}

// Help implements kong's HelpProvider.
func (logListCommand) Help() string {
	return "Asks the running agent; when it is stopped, reads its store.\n\nExample:\n\n" +
		"  ceralacca log list --json --id 0123456789abcdef0123456789abcdef@pec.example"
}

// Run prints the records.
func (c logListCommand) Run(ctx context.Context, s *streams) error {
	id, err := c.identifier()
	if err != nil {
		return err
	}
	return ask(ctx, c.Config, func(q admin.Questions) error {
		return q.Log(ctx, id, func(line json.RawMessage) error {
			if c.JSON {
				return s.line(line)
			}
			var r ledger.Record
			if err := json.Unmarshal(line, &r); err != nil {
				return err
			}
			_, err := fmt.Fprintln(s.out, recordLine(r))
			return err
		})
	})
}

// identifier is what was asked for: a Message-ID may come with its brackets. An empty one would be the whole log.
func (c logListCommand) identifier() (string, error) {
	if c.ID == nil {
		return "", nil
	}
	id := strings.Trim(*c.ID, "<> ")
	if id == "" {
		return "", usageError{errors.New("--id is empty; write the identifier of a message, or leave --id out to see all records")}
	}
	return id, nil
}

// recordLine is a record for a person: when, what, of which message, from whom to whom, and why.
func recordLine(r ledger.Record) string {
	var concerned []string
	for _, a := range r.Covered {
		concerned = append(concerned, a.String())
	}
	if len(concerned) == 0 {
		for _, to := range r.Recipients {
			concerned = append(concerned, to.Address.String())
		}
	}
	event := string(r.Event)
	if r.Kind != pec.KindNone {
		event += " (" + string(r.Kind) + ")"
	}
	line := fmt.Sprintf("%s  %-22s  %s  %s → %s", r.Time.Format("2006-01-02 15:04:05 -0700"), event, r.Identifier, r.Sender,
		strings.Join(concerned, ", "))
	if r.Detail != "" {
		line += "  " + r.Detail
	}
	return line + scanned(r.Scan)
}

// scanned is what the antivirus said, for a person.
func scanned(s transaction.Scan) string {
	if s == (transaction.Scan{}) {
		return ""
	}
	words := []string{string(s.Verdict)}
	for _, word := range []string{s.Virus, s.Engine, s.Signatures} {
		if word != "" {
			words = append(words, visible(word))
		}
	}
	return "  [antivirus: " + strings.Join(words, ", ") + "]"
}

// ask loads the configuration and runs fn with who can answer. What fails is not what was asked about.
func ask(ctx context.Context, path string, fn func(admin.Questions) error) error {
	conf, err := config.Load(path)
	if err != nil {
		return usageError{err}
	}
	q, closeIt, err := app.Ask(ctx, conf)
	if err != nil {
		return usageError{err}
	}
	defer closeIt()
	if err := fn(q); err != nil { // no answer, or not all of it
		return usageError{err}
	}
	return nil
}

type auditCommand struct {
	Config string        `default:"/etc/ceralacca/ceralacca.toml" help:"Configuration file: it says where the agent is."`
	Grace  time.Duration `default:"24h" help:"Messages younger than this may still be under way: what is missing of them is not judged."`
	JSON   bool          `name:"json" help:"One JSON object per finding."`
}

// Help implements kong's HelpProvider.
func (auditCommand) Help() string {
	return "Exit code 0: the log is coherent; 1: it is not, and every fault is printed; 2: it cannot be read.\n\n" +
		"Example:\n\n  ceralacca audit --grace 0s"
}

// Run prints the findings; it fails when one is a fault.
func (c auditCommand) Run(ctx context.Context, s *streams) error {
	faults := 0
	err := ask(ctx, c.Config, func(q admin.Questions) error {
		return q.Audit(ctx, c.Grace, func(line json.RawMessage) error {
			var f ledger.Finding
			if err := json.Unmarshal(line, &f); err != nil {
				return err
			}
			if f.Fault {
				faults++
			}
			return printFinding(s, c.JSON, line, f)
		})
	})
	if err != nil {
		return err
	}
	if faults > 0 {
		return errWrong
	}
	if !c.JSON {
		fmt.Fprintln(s.out, "The legal log is coherent.")
	}
	return nil
}

func printFinding(s *streams, asJSON bool, line json.RawMessage, f ledger.Finding) error {
	if asJSON {
		return s.line(line)
	}
	label := "note"
	if f.Fault {
		label = fmt.Sprintf("FAULT (rule %d)", f.Rule)
	}
	_, err := fmt.Fprintf(s.out, "%s: %s: %s\n", f.Identifier, label, f.Text)
	return err
}
