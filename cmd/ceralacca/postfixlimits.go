package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/ceralacca/ceralacca/internal/config"
)

// leastRecipients is how many recipients of a message a provider must serve.
const leastRecipients = 50

// listeners are the services that certified mail comes in by, "name/inet".
func (i instance) listeners() []string {
	var found []string
	for line := range strings.Lines(i.postconf("-P", "*/inet/cleanup_service_name")) {
		parameter, value, _ := strings.Cut(line, "=")
		if strings.TrimSpace(value) == "ceralacca-cleanup" {
			found = append(found, strings.TrimSuffix(strings.TrimSpace(parameter), "/cleanup_service_name"))
		}
	}
	return found
}

// limitFaults looks for what would serve fewer recipients, or smaller messages, than must be. [C247]
func (i instance) limitFaults(hardSize int64) config.Faults {
	var faults config.Faults
	seen := map[setting]bool{}
	add := func(s setting, write, what string) {
		if !seen[s] { // what main.cf says is said of every listener
			seen[s] = true
			faults = append(faults, s.fault(write, what))
		}
	}
	listeners := i.listeners()
	for _, service := range listeners {
		for _, name := range []string{"smtpd_recipient_limit", "smtpd_client_recipient_rate_limit"} {
			s := i.of(service, name)
			if n, err := strconv.Atoi(s.text); err == nil && n < leastRecipients && (n > 0 || name == "smtpd_recipient_limit") {
				add(s, fmt.Sprintf("%s = %d or more", name, leastRecipients),
					fmt.Sprintf("%s is %d: the law guarantees %d recipients of a message", name, n, leastRecipients))
			}
		}
	}
	least := hardSize + hardSize/4 // a message grows when it is sealed
	for _, service := range append(listeners, "ceralacca-cleanup/unix") {
		s := i.of(service, "message_size_limit")
		if n, err := strconv.ParseInt(s.text, 10, 64); err == nil && n > 0 && n < least {
			add(s, fmt.Sprintf("message_size_limit = %d", least),
				fmt.Sprintf("message_size_limit is %d: less than limits.hard_size and a quarter, so that what we take would be refused when it is sealed", n))
		}
	}
	return faults
}

// expansionFaults asks the first of virtual_alias_maps for an address of each certified domain: it must leave it alone,
// or Postfix expands aliases that are the agent's.
func (i instance) expansionFaults(domains []string) config.Faults {
	s := i.of("ceralacca-cleanup/unix", "virtual_alias_maps")
	s.text = i.postconf("-x", "-h", "virtual_alias_maps") // what it comes to: the default is the value of another parameter
	if over := i.of("ceralacca-cleanup/unix", "virtual_alias_maps"); over.file != i.main(over.name).file {
		s.text = over.text
	}
	tables := strings.FieldsFunc(s.text, func(r rune) bool { return strings.ContainsRune(", \t", r) })
	if len(tables) == 0 {
		return nil
	}
	var faults config.Faults
	for _, d := range domains {
		probe := "ceralacca-probe@" + d
		out, _ := exec.CommandContext(i.ctx, "postmap", "-c", i.dir, "-q", probe, tables[0]).Output() // without an answer: not kept
		if strings.TrimSpace(string(out)) != probe {
			faults = append(faults, s.fault("virtual_alias_maps = regexp:…/as-written, then your own: see deploy/postfix/README.md", fmt.Sprintf(
				"virtual_alias_maps begins with %s, which does not leave addresses of %s as they are: an alias could send certified mail on to where no receipt is true",
				tables[0], d)))
		}
	}
	return faults
}

// lineOfService is the line of a service of master.cf that sets a parameter, or that of the service, or 1.
func lineOfService(file, service, parameter string) int {
	found, inside := 1, false
	raw, _ := os.ReadFile(file) // it was read a moment ago; otherwise line 1 is as good
	for n, line := range strings.Split(string(raw), "\n") {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		if line[0] != ' ' && line[0] != '\t' {
			if inside = words[0] == service; inside {
				found = n + 1
			}
		}
		if inside && strings.Contains(line, parameter) {
			return n + 1
		}
	}
	return found
}
