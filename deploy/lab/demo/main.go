// Command demo shows the main job: it starts a fresh lab, sends one certified message with an attachment to several
// kinds of recipient, waits for everything that must happen and shows it, with what OpenSSL and ceralacca verify say.
// Then it sends a virus, which is refused, and an
// encrypted archive, which passes with a warning, and shows the notices for smsd. It leaves the messages it saved, and nothing else.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab"
	"github.com/ceralacca/ceralacca/deploy/lab/client"
)

// limit is how long the demo may take once everything is installed.
const limit = 2 * time.Minute

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: demo BINARY FOLDER, for example: demo bin/ceralacca .demo")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGPIPE)
	defer stop() // with SIGPIPE: nobody reads on, and the servers must end all the same
	if err := run(ctx, os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, bin, folder string) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	bin, err := filepath.Abs(bin)
	if err != nil {
		return err
	}
	if folder, err = filepath.Abs(folder); err != nil {
		return err
	}
	if err := os.RemoveAll(folder); err != nil {
		return err
	}
	begin := time.Now()
	fmt.Println("Starting alfa and beta (certified) and gamma (ordinary): Postfix, Dovecot, ceralacca …")
	l, err := lab.Start(ctx, lab.Options{Dir: folder, Bin: bin, Daemons: true, Antivirus: true, Notices: true, Packages: true})
	if err != nil {
		return err
	}
	defer func() {
		if err := l.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "demo: stopping:", err)
		}
		if err := lab.HandOver(folder); err != nil {
			fmt.Fprintln(os.Stderr, "demo:", err)
		}
	}()
	s := &story{env: client.ParseEnv(l.Env()), out: os.Stdout, files: filepath.Join(folder, "messages")}
	good, err := s.tell(ctx)
	if err != nil {
		return err
	}
	held, err := s.viruses(ctx)
	if err != nil {
		return err
	}
	if err := notices(ctx, os.Stdout, l.NoticeSpool(l.Beta)); err != nil {
		return err
	}
	if err := packages(ctx, os.Stdout, l, filepath.Join(filepath.Dir(bin), "conserve")); err != nil {
		return err
	}
	if !good || !held {
		return fmt.Errorf("a message does not hold; see above")
	}
	if err := l.Audit(ctx, bin, nil); err != nil {
		return err
	}
	fmt.Println("\nceralacca audit finds the legal logs of alfa and beta coherent.")
	fmt.Printf("\nEvery message is there, once, and holds. It took %.0f s. The messages are in %s, the logs in %s.\n",
		time.Since(begin).Seconds(), s.files, filepath.Join(folder, "log"))
	return nil
}
