package main

import (
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net/mail"
	"strconv"
	"strings"
	"time"

	"github.com/ceralacca/ceralacca/internal/clock"
)

// command is what is typed, or run by Dovecot.
type command struct {
	clock       clock.Clock
	in          io.Reader
	out, errors io.Writer
}

const help = `sms is a plug-in of ceralacca, which starts it. By hand, or from Dovecot's quota_warning:

  sms status                          what waits, what was sent today, and what was not delivered
  sms test MAILBOX                    send a notice to who is told about MAILBOX
  sms quota-warning MAILBOX PERCENT   tell that MAILBOX has passed PERCENT of its space
  sms quota-usage                     take the output of doveadm -f tab quota get -A
  sms describe                        what the plug-in says of itself

All but describe take --state FOLDER, that of [plugins.sms.config]; without, /var/lib/ceralacca-sms.

Example: sms test --state /var/lib/ceralacca-sms mario@alfa.example

Exit code 0: in order; 1: it failed; 2: a wrong question.
`

var errQuestion = errors.New("see sms --help")

// run returns the exit code.
func (c command) run(args []string) int {
	err := c.do(args)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(c.out, help)
		return 0
	case errors.Is(err, errQuestion):
		fmt.Fprintln(c.errors, "sms:", err)
		return 2
	}
	fmt.Fprintln(c.errors, "sms:", err)
	return 1
}

func (c command) do(args []string) error {
	if args[0] == "--help" || args[0] == "-h" || args[0] == "help" {
		return flag.ErrHelp
	}
	flags := flag.NewFlagSet("sms", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	folder := flags.String("state", "/var/lib/ceralacca-sms", "")
	if err := flags.Parse(args[1:]); errors.Is(err, flag.ErrHelp) {
		return err
	} else if err != nil {
		return fmt.Errorf("%w: %w", err, errQuestion)
	}
	s, rest := store(*folder), flags.Args()
	switch {
	case args[0] == "status" && len(rest) == 0:
		return c.status(s)
	case args[0] == "test" && len(rest) == 1:
		return c.hand(s, handed{Kind: kindTest, Mailbox: rest[0]})
	case args[0] == "quota-warning" && len(rest) == 2:
		percent, err := strconv.Atoi(strings.TrimSuffix(rest[1], "%"))
		if err != nil || percent < 1 || percent > 100 {
			return fmt.Errorf("%q is no percentage, write 80: %w", rest[1], errQuestion)
		}
		return c.hand(s, handed{Kind: kindQuota, Mailbox: rest[0], Percent: percent})
	case args[0] == "quota-usage" && len(rest) == 0:
		samples, err := readUsage(c.in, c.clock.Now())
		if err != nil {
			return err
		}
		return c.hand(s, handed{Kind: "usage", Fullness: samples})
	}
	return fmt.Errorf("%q is no command, or its arguments are wrong: %w", strings.Join(args, " "), errQuestion)
}

// hand leaves something for the running plug-in; it is not lost when none runs.
func (c command) hand(s store, h handed) error {
	if a, err := mail.ParseAddress(h.Mailbox); h.Mailbox != "" && (err != nil || a.Address != h.Mailbox) {
		return fmt.Errorf("%q is no address, write name@domain: %w", h.Mailbox, errQuestion)
	}
	h.Time, h.Key = c.clock.Now(), rand.Text()
	if err := s.hand(h); err != nil {
		return fmt.Errorf("%w; %s is the folder of the plug-in's state, and spool in it must let this user write", err, string(s))
	}
	if h.Kind == kindTest {
		fmt.Fprintln(c.out, "Handed over to the plug-in, which sends it when it runs and has a rule for that mailbox.")
	}
	return nil
}

// status reads the disk alone; the plug-in need not run.
func (c command) status(s store) error {
	now := c.clock.Now()
	events, err := s.events()
	if err != nil {
		return err
	}
	open, err := s.notices("out")
	if err != nil {
		return err
	}
	sent := map[legState]int{}
	var missed []string
	for day := range remembered {
		closed, err := s.notices("sent/" + dayOf(now.AddDate(0, 0, -day)))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, n := range closed {
			for i, l := range n.Legs {
				if day == 0 {
					sent[l.State]++
				}
				if l.State != done {
					missed = append(missed, fmt.Sprintf("  %s  %s: %s, %d events, made %s, ended %s", n.key(i), n.Mailbox, l.State.word(), len(n.Events),
						n.Made.Format(time.DateTime), n.Finished.Format(time.DateTime)))
				}
			}
		}
	}
	fmt.Fprintf(c.out, "%d events wait, %d notices are being sent; today (UTC) %d sent, %d refused, %d given up, %d unknown\n",
		len(events), len(open), sent[done], sent[refused], sent[expired], sent[unknown])
	for _, n := range open {
		for i, l := range n.Legs {
			if !l.over() {
				fmt.Fprintf(c.out, "  %s  %s: %d events, tried %d times, waits since %s\n", n.key(i), n.Mailbox, len(n.Events), l.Tries,
					n.Made.Format(time.DateTime))
			}
		}
	}
	if len(missed) > 0 {
		fmt.Fprintf(c.out, "not delivered in the last %d days:\n%s\n", remembered, strings.Join(missed, "\n"))
	}
	return nil
}
