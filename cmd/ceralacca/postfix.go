package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/ceralacca/ceralacca/internal/config"
)

// leastLifetime is how long Postfix must keep what it cannot hand over: the agent ends a transaction after 22 hours, and
// Postfix must not give up before.
const leastLifetime = 48 * time.Hour

// postfixFaults looks at the first Postfix instance, that of MAIL_CONFIG or /etc/postfix as for Postfix's own commands.
// An instance without the transport of ours is not the one that serves us: nothing is said of it.
func postfixFaults(ctx context.Context) config.Faults {
	dir := cmp.Or(os.Getenv("MAIL_CONFIG"), "/etc/postfix")
	postconf := func(args ...string) string {
		out, _ := exec.CommandContext(ctx, "postconf", append([]string{"-c", dir}, args...)...).Output() // without Postfix: nothing
		return strings.TrimSpace(string(out))
	}
	if !strings.HasPrefix(postconf("-M", "ceralacca-agent/unix"), "ceralacca-agent") {
		return nil
	}
	var faults config.Faults
	for _, name := range []string{"maximal_queue_lifetime", "bounce_queue_lifetime"} {
		value := postconf("-h", name)
		if lifetime, ok := postfixTime(value); ok && lifetime < leastLifetime {
			main := filepath.Join(dir, "main.cf")
			faults = append(faults, config.Fault{File: main, Line: lineOf(main, name), Column: 1, Write: name + " = 5d",
				What: fmt.Sprintf("%s is %s: Postfix would give up certified mail before the agent has ended it", name, value)})
		}
	}
	return faults
}

// postfixTime reads a time of Postfix: a number and s, m, h, d or w; without a unit it is days.
func postfixTime(value string) (time.Duration, bool) {
	units := map[string]time.Duration{
		"": 24 * time.Hour, "s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour, "w": 7 * 24 * time.Hour,
	}
	number := strings.TrimRight(value, "smhdw")
	n, err := strconv.Atoi(number)
	unit, known := units[value[len(number):]]
	return time.Duration(n) * unit, err == nil && known
}

// lineOf is the last line that sets a parameter, 1 when none does.
func lineOf(file, parameter string) int {
	found := 1
	raw, _ := os.ReadFile(file) // it was read a moment ago; otherwise line 1 is as good
	for i, line := range strings.Split(string(raw), "\n") {
		if name, _, ok := strings.Cut(line, "="); ok && strings.TrimSpace(name) == parameter {
			found = i + 1
		}
	}
	return found
}
