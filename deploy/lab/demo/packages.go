package main

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab"
	"github.com/ceralacca/ceralacca/internal/clock"
)

// packages ends the day for the plug-in that preserves beta's mail, shows what it made of it, and has it verified.
func packages(ctx context.Context, out io.Writer, l *lab.Lab, conserve string) error {
	fmt.Fprintf(out, "\nThe day ends for the plug-in conserve: what beta's users sent and received becomes a package for each mailbox …\n")
	if err := l.EndDay(l.Beta); err != nil {
		return err
	}
	made := filepath.Join(l.PackageFolder(l.Beta), l.Beta.Users[0].Address, "*", "SHA256SUMS") // who has mail for certain
	for {
		found, err := filepath.Glob(made)
		if err != nil {
			return err
		}
		if len(found) > 0 {
			break
		}
		if err := (clock.System{}).Sleep(ctx, 200*time.Millisecond); err != nil {
			return fmt.Errorf("no package was made: %w", err)
		}
	}
	for _, question := range [][]string{{"status"}, {"verify", "--all"}} {
		args := append([]string{question[0], "--config", l.Beta.Config}, question[1:]...)
		text, err := exec.CommandContext(ctx, conserve, args...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("conserve %s: %w\n%s", question[0], err, text)
		}
		fmt.Fprintf(out, "\nconserve %s\n%s", question[0], indented(string(text)))
	}
	return nil
}
