package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

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
	Milter      milterCommand   `cmd:"" help:"Run the access point and the incoming point."`
	Lda         ldaCommand      `cmd:"" name:"lda" help:"Run the agent: delivery, receipts, legal log."`
	CheckConfig checkCommand    `cmd:"" name:"check-config" help:"Say what is wrong in a configuration file, one line per fault."`
	Verify      verifyCommand   `cmd:"" help:"Say what a message is, who certified what and when, and what agrees."`
	Log         logCommand      `cmd:"" help:"Read the legal log."`
	Audit       auditCommand    `cmd:"" help:"Check the legal log and the effects against the rules of coherence."`
	Receipts    receiptsCommand `cmd:"" help:"Look after receipts and notices that no mailbox has taken."`
	Version     versionCommand  `cmd:"" help:"Print the version."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run parses args, runs the command, and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var c commands
	exited := -1
	parser, err := kong.New(&c, kong.Name("ceralacca"), kong.Writers(stdout, stderr),
		kong.Description("Certified e-mail (PEC, RFC 6109) for Postfix and Dovecot."),
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
		fmt.Fprintf(stderr, "ceralacca: %v. Try: ceralacca --help\n", err)
		return exitUsage
	}
	return codeOf(parsed.Run(), stderr)
}
