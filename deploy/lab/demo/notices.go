package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ceralacca/ceralacca/internal/clock"
)

// notices shows what the plug-in sms has handed over to smsd about beta's mailboxes, and waits until there is something.
func notices(ctx context.Context, out io.Writer, spool string) error {
	fmt.Fprintf(out, "\nNotices for the holders of beta's mailboxes, in the spool of smstools:\n")
	for {
		files, err := filepath.Glob(filepath.Join(spool, "ceralacca-*"))
		if err != nil {
			return err
		}
		for _, name := range files {
			text, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "\n%s\n%s", filepath.Base(name), indented(strings.ReplaceAll(string(text), "\n\n", "\n")))
		}
		if len(files) > 0 {
			return nil
		}
		if err := (clock.System{}).Sleep(ctx, 100*time.Millisecond); err != nil {
			return fmt.Errorf("no notice came: %w", err)
		}
	}
}
