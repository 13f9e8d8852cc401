package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/intake"
)

// progress shows how a long command goes: a bar that moves on a terminal, a line every few seconds elsewhere.
type progress struct {
	out      io.Writer
	clock    clock.Clock
	terminal bool
	quiet    bool

	label              string
	total, done, bytes int64
	began, shown       time.Time
	failures           int
	open               bool // there is a bar without its end of line
}

var _ intake.Watcher = (*progress)(nil)

func newProgress(out io.Writer, quiet bool) *progress {
	p := &progress{out: out, clock: clock.System{}, quiet: quiet}
	if file, ok := out.(*os.File); ok {
		_, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS)
		p.terminal = err == nil
	}
	return p
}

// Begin implements intake.Watcher.
func (p *progress) Begin(label string, messages int64) {
	p.label, p.total, p.done, p.bytes, p.began = label, messages, 0, 0, p.clock.Now()
	p.shown = p.began
}

// Looked implements intake.Watcher.
func (p *progress) Looked(messages, bytes int64) {
	p.done, p.bytes = p.done+messages, p.bytes+bytes
	pause := 5 * time.Second
	if p.terminal {
		pause = 100 * time.Millisecond
	}
	if now := p.clock.Now(); now.Sub(p.shown) >= pause {
		p.shown = now
		p.show()
	}
}

func (p *progress) show() {
	switch {
	case p.quiet:
	case p.terminal:
		p.open = true
		p.print("\r\x1b[K" + p.line())
	default:
		p.print(p.line() + "\n")
	}
}

func (p *progress) line() string {
	seconds := max(p.clock.Now().Sub(p.began).Seconds(), 0.001)
	rate := float64(p.done) / seconds
	left := "?"
	if rate > 0 {
		left = (time.Duration(float64(max(0, p.total-p.done))/rate) * time.Second).String()
	}
	return fmt.Sprintf("%s %s %d of %d messages, %s, %.0f/s, %s left", p.label, bar(p.done, max(p.total, 1)), p.done, p.total, human(p.bytes), rate, left)
}

// Failed implements intake.Watcher. It is said even when all else is quiet.
func (p *progress) Failed(mailbox, folder string, uid uint32, problem error) {
	p.failures++
	p.say("%s, folder %q, message %d cannot be read: %s", mailbox, folder, uid, strings.ReplaceAll(problem.Error(), "\n", " "))
}

// say prints a line of its own.
func (p *progress) say(format string, args ...any) {
	p.end()
	p.print(fmt.Sprintf(format, args...) + "\n")
}

// end closes the bar.
func (p *progress) end() {
	if p.open {
		p.open = false
		p.print("\n")
	}
}

func (p *progress) print(text string) {
	_, _ = io.WriteString(p.out, text) // who looks has gone away: the work goes on
}
