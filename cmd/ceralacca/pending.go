package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ceralacca/ceralacca/internal/admin"
	"github.com/ceralacca/ceralacca/internal/tracking"
)

type pendingCommand struct {
	Config string        `default:"/etc/ceralacca/ceralacca.toml" help:"Configuration file: it says where the agent is."`
	Older  time.Duration `default:"0s" help:"Only messages that were sent so long ago." placeholder:"12h"`
	JSON   bool          `name:"json" help:"One JSON object per recipient."`
}

// Help implements kong's HelpProvider.
func (pendingCommand) Help() string {
	return "One line for each certified recipient without a receipt or notice that settles it: since when, whether its provider took\n" +
		"charge of the message, and which notice the sender gets, and when, if nothing comes. In the order of these notices.\n" +
		"A message that its last notice was sent for is not listed any more.\n\n" +
		"Asks the running agent; when it is stopped, reads its store. The exit code is 0 also when there are some.\n\n" +
		"Example:\n\n  ceralacca pending --older 12h"
}

// Run prints the list.
func (c pendingCommand) Run(ctx context.Context, s *streams) error {
	if c.Older < 0 {
		return usageError{errors.New("--older is negative; write how old a message must be, as 12h")}
	}
	return ask(ctx, c.Config, func(q admin.Questions) error {
		return q.Pending(ctx, c.Older, func(line json.RawMessage) error {
			if c.JSON {
				return s.line(line)
			}
			var o tracking.Open
			if err := json.Unmarshal(line, &o); err != nil {
				return err
			}
			_, err := fmt.Fprintln(s.out, openLine(o))
			return err
		})
	})
}

// openLine is one line for an operator.
func openLine(o tracking.Open) string {
	taken := "not taken in charge"
	if o.Taken != nil {
		taken = "taken in charge " + o.Taken.Format(time.DateTime)
	}
	return fmt.Sprintf("%s  %s  %s → %s: %s; %s notice %s", o.Since.Format(time.DateTime), o.Identifier, o.Sender, o.Recipient, taken,
		o.Notice, o.Next.Format(time.DateTime))
}
