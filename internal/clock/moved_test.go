package clock_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/internal/clock"
)

func TestMovedClock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "clock")
	c := clock.NewMoved(path)
	ahead := func(what string, want time.Duration) {
		t.Helper()
		time.Sleep(50 * time.Millisecond)
		if got := time.Until(c.Now()).Round(time.Minute); got != want {
			t.Errorf("%s: ahead by %s, want %s", what, got, want)
		}
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ahead("without a file", 0)
	for _, test := range []struct {
		text string
		want time.Duration
	}{{"+13h\n", 13 * time.Hour}, {"", 13 * time.Hour}, {"soon", 13 * time.Hour}, {" 24h30m ", 24*time.Hour + 30*time.Minute}, {"+0s", 0}} {
		write(test.text)
		ahead(test.text, test.want)
	}

	// Whoever sleeps is woken by a jump, and not by one that is too short.
	woken := make(chan error, 1)
	go func() { woken <- c.Sleep(t.Context(), time.Hour) }()
	for _, by := range []string{"30m", "59m"} {
		write(by)
		select {
		case err := <-woken:
			t.Fatalf("moved by %s: it woke, %v", by, err)
		case <-time.After(300 * time.Millisecond):
		}
	}
	write("61m")
	select {
	case err := <-woken:
		if err != nil {
			t.Errorf("it woke with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it sleeps on")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Sleep(ctx, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("without a context: %v", err)
	}
}
