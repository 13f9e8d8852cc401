package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/ceralacca/ceralacca/internal/admin"
	"github.com/ceralacca/ceralacca/internal/app"
	"github.com/ceralacca/ceralacca/internal/config"
	"github.com/ceralacca/ceralacca/internal/ledger"
)

type logCommand struct {
	List logListCommand `cmd:"" help:"List the records, in the order of the log."`
}

// Help implements kong's HelpProvider.
func (logCommand) Help() string { return "Example:\n\n  ceralacca log list --json" }

type logListCommand struct {
	Config string `default:"/etc/ceralacca/ceralacca.toml" help:"Configuration file: it says where the agent is."`
	JSON   bool   `name:"json" help:"One JSON object per record."`
	ID     string `name:"id" help:"Only the records of the message with this identifier."`
}

// Help implements kong's HelpProvider.
func (logListCommand) Help() string {
	return "Asks the running agent; when it is stopped, reads its store.\n\nExample:\n\n" +
		"  ceralacca log list --json --id 0123456789abcdef0123456789abcdef@pec.example"
}

// Run prints the records.
func (c logListCommand) Run(ctx context.Context, s *streams) error {
	return ask(ctx, c.Config, func(q admin.Questions) error {
		return q.Log(ctx, c.ID, func(line json.RawMessage) error {
			if c.JSON {
				_, err := fmt.Fprintf(s.out, "%s\n", line)
				return err
			}
			var r ledger.Record
			if err := json.Unmarshal(line, &r); err != nil {
				return err
			}
			_, err := fmt.Fprintf(s.out, "%s  %-22s %s  %s → %v  %s\n", r.Time.Format("2006-01-02 15:04:05 -0700"), r.Event,
				r.Identifier, r.Sender, r.Covered, r.Detail)
			return err
		})
	})
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
		_, err := fmt.Fprintf(s.out, "%s\n", line)
		return err
	}
	label := "note"
	if f.Fault {
		label = fmt.Sprintf("FAULT (rule %d)", f.Rule)
	}
	_, err := fmt.Fprintf(s.out, "%s: %s: %s\n", f.Identifier, label, f.Text)
	return err
}
