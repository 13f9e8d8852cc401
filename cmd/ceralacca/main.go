package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/alecthomas/kong"
)

// Exit codes of every command.
const (
	exitGood  = 0
	exitWrong = 1 // what was asked about is wrong
	exitUsage = 2 // the question is wrong, or something cannot be read
)

// errWrong is returned by a command that has already said what is wrong.
var errWrong = errors.New("wrong")

// commands are what the binary can do.
type commands struct {
	Milter      milterCommand     `cmd:"" help:"Run the access point and the incoming point."`
	Lda         ldaCommand        `cmd:"" name:"lda" help:"Run the agent: delivery, receipts, legal log."`
	CheckConfig checkCommand      `cmd:"" name:"check-config" help:"Say what is wrong in a configuration file, one line per fault."`
	Verify      verifyCommand     `cmd:"" help:"Say what a message is, who certified what and when, and what agrees."`
	Log         logCommand        `cmd:"" help:"Read the legal log."`
	Audit       auditCommand      `cmd:"" help:"Check the legal log and the effects against the rules of coherence."`
	Pending     pendingCommand    `cmd:"" help:"List messages of ours that no outcome is known of, and when their senders are told."`
	Directory   directoryCommand  `cmd:"" help:"Look at the directory of providers, update it, publish our own records."`
	Receipts    receiptsCommand   `cmd:"" help:"Look after receipts and notices that no mailbox has taken."`
	Network     networkCommand    `cmd:"" help:"Look at what mail passes between us and other providers."`
	Plugin      pluginCommand     `cmd:"" help:"Write, check, describe and list plug-ins."`
	Cert        certCommand       `cmd:"" help:"Look after the certificate that signs: check, request, rotate."`
	Quarantine  quarantineCommand `cmd:"" help:"Look after infected messages."`
	Version     versionCommand    `cmd:"" help:"Print the version."`
}

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}

// run parses args, runs the command, and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var c commands
	exited := -1
	parser, err := kong.New(&c, kong.Name("ceralacca"), kong.Writers(stdout, stderr),
		kong.Description("Certified e-mail (PEC, RFC 6109) for Postfix and Dovecot.\n\n"+
			"Example:\n\n  ceralacca check-config /etc/ceralacca/ceralacca.toml"),
		kong.Exit(func(code int) { exited = code }), kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(&streams{stdout, stderr}))
	if err != nil {
		fmt.Fprintln(stderr, "ceralacca:", err)
		return exitUsage
	}
	parsed, err := parser.Parse(filesTogether(parser, args))
	if exited >= 0 {
		return exited // --help
	}
	if err != nil {
		fmt.Fprintln(stderr, "ceralacca:", usage(err))
		return exitUsage
	}
	return codeOf(parsed.Run(), stderr)
}

// usage says what is wrong with the arguments, and whom to ask.
func usage(err error) string {
	asked := "ceralacca"
	if e, ok := errors.AsType[*kong.ParseError](err); ok && e.Context.Selected() != nil {
		asked = e.Context.Selected().FullPath()
	}
	said := sentence(err.Error())
	if !strings.HasSuffix(said, "?") {
		said += "."
	}
	return said + " Try: " + asked + " --help"
}

// sentence says what the library says of its grammar, to people.
func sentence(said string) string {
	missing, found := strings.CutPrefix(said, "expected ")
	switch {
	case strings.Contains(said, "<EOL>"):
		flag, _, _ := strings.Cut(said, ":")
		return flag + " needs a value"
	case strings.HasPrefix(missing, "one of "):
		return "no command was given"
	case found:
		return strings.Trim(missing, `"`) + " is missing"
	}
	return said
}
