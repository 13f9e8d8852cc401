package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/plugins"
)

// BenchmarkNotices: one event of a mailbox of its own, to the moment that it is sent, with everything on the disk.
func BenchmarkNotices(b *testing.B) {
	dir := b.TempDir()
	text := `{"mailboxes": {"x@y.example": {"numbers": ["+393401234567"]}`
	for n := range b.N {
		text += fmt.Sprintf(`, "m%d@y.example": {"numbers": ["+393401234567"]}`, n)
	}
	rules := filepath.Join(dir, "rules.json")
	if err := os.WriteFile(rules, []byte(text+"}}"), 0o644); err != nil {
		b.Fatal(err)
	}
	l := &line{answer: taken}
	e, err := open(config{state: dir, rules: rules, zone: time.UTC, giveUp: time.Hour, workers: 8, sms: l}, clock.System{}, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan struct{})
	go func() {
		e.run(ctx)
		close(ended)
	}()
	b.Cleanup(func() {
		cancel()
		<-ended
		time.Sleep(500 * time.Millisecond) // for workers in the middle of a write
	})
	b.ResetTimer()
	for n := range b.N {
		name := fmt.Sprintf("m%d@y.example", n)
		if _, err := e.Notify(b.Context(), plugins.Event{Key: name, Mailbox: name, Name: "delivered"}); err != nil {
			b.Fatal(err)
		}
	}
	for l.count() < b.N {
		time.Sleep(time.Millisecond)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "notices/s")
}
