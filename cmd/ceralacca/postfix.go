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
func postfixFaults(ctx context.Context, conf *config.Config) config.Faults {
	first := instance{ctx, cmp.Or(os.Getenv("MAIL_CONFIG"), "/etc/postfix")}
	if !strings.HasPrefix(first.postconf("-M", "ceralacca-agent/unix"), "ceralacca-agent") {
		return nil
	}
	var faults config.Faults
	for _, name := range []string{"maximal_queue_lifetime", "bounce_queue_lifetime"} {
		value := first.main(name)
		if lifetime, ok := postfixTime(value.text); ok && lifetime < leastLifetime {
			faults = append(faults, value.fault(name+" = 5d",
				fmt.Sprintf("%s is %s: Postfix would give up certified mail before the agent has ended it", name, value.text)))
		}
	}
	faults = append(faults, first.limitFaults(conf.Limits.HardSize)...)
	return append(faults, first.expansionFaults(conf.Provider.Domains)...)
}

// instance is a Postfix, by the folder of its configuration.
type instance struct {
	ctx context.Context
	dir string
}

func (i instance) postconf(args ...string) string {
	out, _ := exec.CommandContext(i.ctx, "postconf", append([]string{"-c", i.dir}, args...)...).Output() // without Postfix: nothing
	return strings.TrimSpace(string(out))
}

// setting is the value of a parameter, and where it is set.
type setting struct {
	name, text, file string
	line             int
}

func (s setting) fault(write, what string) config.Fault {
	return config.Fault{File: s.file, Line: s.line, Column: 1, Write: write, What: what}
}

func (i instance) main(name string) setting {
	file := filepath.Join(i.dir, "main.cf")
	return setting{name, i.postconf("-h", name), file, lineOf(file, name)}
}

// of is a parameter as a service of master.cf has it, "name/type".
func (i instance) of(service, name string) setting {
	_, text, overridden := strings.Cut(i.postconf("-P", service+"/"+name), "=")
	if !overridden {
		return i.main(name)
	}
	file := filepath.Join(i.dir, "master.cf")
	short, _, _ := strings.Cut(service, "/")
	return setting{name, strings.TrimSpace(text), file, lineOfService(file, short, name)}
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
