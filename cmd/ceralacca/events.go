package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/ceralacca/ceralacca/internal/admin"
	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/internal/events"
	"github.com/ceralacca/ceralacca/pec"
)

type pluginEventsCommand struct {
	Config  string `default:"/etc/ceralacca/ceralacca.toml" help:"Configuration file: it says where the agent is."`
	Plugin  string `help:"Only what this plug-in, by its name in the configuration, does not have."`
	Mailbox string `help:"Only what happened to this mailbox."`
	JSON    bool   `name:"json" help:"One JSON object per event."`
	Drop    string `placeholder:"NAME" help:"Forget what this plug-in has refused and, when it is not configured any more, all that waits for it. Needs --yes and the running agent."`
	Yes     bool   `help:"With --drop: yes, for good."`
}

// Help implements kong's HelpProvider.
func (pluginEventsCommand) Help() string {
	return "Lists the events that plug-ins have not taken, the oldest first: those that wait, and those that were refused for " +
		"good. Asks the running agent; when it is stopped, reads its store. The exit code is 0 also when there are some.\n\n" +
		"Examples:\n\n  ceralacca plugin events --plugin archive\n  ceralacca plugin events --drop archive --yes"
}

// Run prints a table and a sum, or drops.
func (c pluginEventsCommand) Run(ctx context.Context, s *streams) error {
	if c.Drop != "" {
		return c.drop(ctx, s)
	}
	if c.Mailbox != "" {
		a, err := pec.ParseAddress(c.Mailbox)
		if err != nil {
			return usageError{fmt.Errorf("--mailbox %q: %w", c.Mailbox, err)}
		}
		c.Mailbox = a.Fold().String()
	}
	return ask(ctx, c.Config, func(q admin.Questions) error {
		if c.JSON {
			return q.Events(ctx, c.Plugin, c.Mailbox, func(line json.RawMessage) error { return s.line(line) })
		}
		return c.table(ctx, q, s)
	})
}

func (c pluginEventsCommand) table(ctx context.Context, q admin.Questions, s *streams) error {
	now := clock.System{}.Now().Truncate(time.Second)
	var waiting, refused int
	var oldest time.Duration
	w := tabwriter.NewWriter(s.out, 0, 8, 2, ' ', 0)
	err := q.Events(ctx, c.Plugin, c.Mailbox, func(line json.RawMessage) error {
		var e events.Waiting
		if err := json.Unmarshal(line, &e); err != nil {
			return err
		}
		if waiting+refused == 0 {
			fmt.Fprintln(w, "PLUG-IN\tMAILBOX\tEVENT\tAGE\tATTEMPTS\tNEXT TRY\tLAST ERROR")
		}
		if e.Refused {
			refused++
		} else {
			waiting++
			oldest = max(oldest, now.Sub(e.Time))
		}
		_, err := fmt.Fprintln(w, eventRow(e, now))
		return err
	})
	if err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	switch {
	case waiting+refused == 0:
		_, err = fmt.Fprintln(s.out, "no event waits")
	case waiting == 0:
		_, err = fmt.Fprintf(s.out, "no event waits; %d refused\n", refused)
	default:
		_, err = fmt.Fprintf(s.out, "%d waiting, the oldest for %s; %d refused\n", waiting, oldest, refused)
	}
	return err
}

// eventRow is one line of the table.
func eventRow(e events.Waiting, now time.Time) string {
	next := "at once, or after the one before"
	switch {
	case e.Refused:
		next = "never: refused"
	case e.Next.After(now):
		next = "in " + e.Next.Sub(now).Round(time.Second).String()
	case e.Attempts > 0:
		next = "now"
	}
	last := "-"
	if e.LastError != "" {
		last = fmt.Sprintf("%.200q", e.LastError)
	}
	return strings.Join([]string{e.Plugin, e.Mailbox, string(e.Event), now.Sub(e.Time).Round(time.Second).String(), fmt.Sprint(e.Attempts),
		next, last}, "\t")
}

func (c pluginEventsCommand) drop(ctx context.Context, s *streams) error {
	if !c.Yes {
		return usageError{fmt.Errorf("--drop %s forgets events for good, which no plug-in then hears of; look at them with "+
			"--plugin %s, and say --yes if that is wanted", c.Drop, c.Drop)}
	}
	return ask(ctx, c.Config, func(q admin.Questions) error {
		return q.Drop(ctx, c.Drop, func(line json.RawMessage) error {
			var n int
			if err := json.Unmarshal(line, &n); err != nil {
				return errors.Join(admin.ErrAnswer, err)
			}
			_, err := fmt.Fprintf(s.out, "%d events of %s dropped\n", n, c.Drop)
			return err
		})
	})
}
