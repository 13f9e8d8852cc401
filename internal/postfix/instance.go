// Package postfix looks at the settings of the two Postfix instances for what would lead certified mail through a system of
// others, change or copy it, send it on, give it up too soon, or refuse what the law guarantees. It asks postconf and
// postmap, and changes nothing.
package postfix

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
)

// Instance is a configuration folder of Postfix, as postconf says it.
type Instance struct {
	Dir      string
	main     map[string]string // what main.cf and the defaults say
	services map[string]string // the command of each service of master.cf, by name/type
	override map[string]string // what -o says, by name/type/parameter
}

// Read asks postconf. An instance that it cannot read is an error.
func Read(ctx context.Context, dir string) (*Instance, error) {
	i := &Instance{Dir: dir, main: map[string]string{}, services: map[string]string{}, override: map[string]string{}}
	for _, one := range []struct {
		flag string
		into map[string]string
	}{{"-x", i.main}, {"-P", i.override}} {
		out, err := postconf(ctx, dir, one.flag)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(out) {
			if name, value, ok := strings.Cut(line, "="); ok {
				one.into[strings.TrimSpace(name)] = strings.TrimSpace(value)
			}
		}
	}
	out, err := postconf(ctx, dir, "-M")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); len(f) >= 8 { // name, type, private, unpriv, chroot, wakeup, maxproc, command
			i.services[f[0]+"/"+f[1]] = f[7]
		}
	}
	return i, nil
}

// postconf returns what it says; an error has what it complains of.
func postconf(ctx context.Context, dir, flag string) (string, error) {
	out, err := exec.CommandContext(ctx, "postconf", "-c", dir, flag).Output()
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		err = fmt.Errorf("%w: %s", err, strings.TrimSpace(string(failed.Stderr)))
	}
	return string(out), err
}

// Value is what a parameter is for a service, name/type; for an empty service, what main.cf says.
func (i *Instance) Value(service, parameter string) string {
	if value, found := i.override[service+"/"+parameter]; found {
		return value
	}
	return i.main[parameter]
}

// Has says whether master.cf has a service.
func (i *Instance) Has(service string) bool { return i.services[service] != "" }

// withCommand are the services that run a program of Postfix, sorted.
func (i *Instance) withCommand(command string) []string {
	var all []string
	for service, runs := range i.services {
		if runs == command {
			all = append(all, service)
		}
	}
	slices.Sort(all)
	return all
}

// listens says whether a service of the instance listens at an address, host:port.
func (i *Instance) listens(at string) bool { return i.services[at+"/inet"] == "smtpd" }

// ask looks keys up in a table, all at once, and returns what was found.
func (i *Instance) ask(ctx context.Context, table string, keys []string) (map[string]string, error) {
	cmd := exec.CommandContext(ctx, "postmap", "-c", i.Dir, "-q", "-", table)
	cmd.Stdin = strings.NewReader(strings.Join(keys, "\n") + "\n")
	out, err := cmd.Output()
	if exit, failed := err.(*exec.ExitError); failed && exit.ExitCode() == 1 && !strings.Contains(string(exit.Stderr), "fatal") { //nolint:errorlint // as it came
		err = nil // nothing was found
	}
	found := map[string]string{}
	for line := range strings.Lines(string(out)) {
		key, value, _ := strings.Cut(strings.TrimRight(line, "\n"), "\t")
		found[key] = value
	}
	return found, err
}
