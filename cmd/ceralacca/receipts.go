package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/ceralacca/ceralacca/internal/admin"
)

type receiptsCommand struct {
	Undelivered undeliveredCommand `cmd:"" help:"List them, whether they are still tried or not."`
}

// Help implements kong's HelpProvider.
func (receiptsCommand) Help() string { return "Example:\n\n  ceralacca receipts undelivered" }

type undeliveredCommand struct {
	Config string `default:"/etc/ceralacca/ceralacca.toml" help:"Configuration file: it says where the agent is."`
	JSON   bool   `name:"json" help:"One JSON object per notification."`
}

// Help implements kong's HelpProvider.
func (undeliveredCommand) Help() string {
	return "Asks the running agent; when it is stopped, reads its store. The exit code is 0 also when there are some.\n\n" +
		"Example:\n\n  ceralacca receipts undelivered --json"
}

// undelivered is what is shown of one.
type undelivered struct {
	Identifier string    `json:"identifier"`
	Kind       string    `json:"kind"`
	To         string    `json:"to"`
	Since      time.Time `json:"since"`
	Next       time.Time `json:"next"`
	Attempts   int       `json:"attempts"`
	LastError  string    `json:"last_error"`
	GaveUp     bool      `json:"gave_up"`
}

// Run prints the list.
func (c undeliveredCommand) Run(ctx context.Context, s *streams) error {
	return ask(ctx, c.Config, func(q admin.Questions) error {
		return q.Undelivered(ctx, func(line json.RawMessage) error {
			if c.JSON {
				return s.line(line)
			}
			var u undelivered
			if err := json.Unmarshal(line, &u); err != nil {
				return err
			}
			_, err := fmt.Fprintln(s.out, u)
			return err
		})
	})
}

// String is one line for an operator.
func (u undelivered) String() string {
	next := "tried no more"
	if !u.GaveUp {
		next = "next try " + u.Next.Format(time.DateTime)
	}
	return fmt.Sprintf("%s  %-24s %s  to %s: %d attempts, %s: %q", u.Since.Format(time.DateTime), u.Kind, u.Identifier, u.To,
		u.Attempts, next, u.LastError)
}
