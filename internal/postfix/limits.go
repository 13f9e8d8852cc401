package postfix

import (
	"fmt"
	"strconv"
	"time"
)

// leastLifetime is how long Postfix must keep what it cannot hand over: the agent ends a transaction after 22 hours, and
// Postfix must not give up before.
const leastLifetime = 48 * time.Hour

// leastRecipients is how many recipients of a message a provider must serve.
const leastRecipients = 50

// lifetimes looks for queues that give up too soon.
func (c *checker) lifetimes() {
	for _, name := range []string{"maximal_queue_lifetime", "bounce_queue_lifetime"} {
		value := c.Value("", name)
		if lifetime, ok := duration(value); ok && lifetime < leastLifetime {
			c.at("", name, fmt.Sprintf("%s is %s: Postfix would give up certified mail before the agent has ended it", name, value), name+" = 5d")
		}
	}
}

// duration reads a time of Postfix: a number and s, m, h, d or w; without a unit it is days.
func duration(value string) (time.Duration, bool) {
	units := map[string]time.Duration{
		"": 24 * time.Hour, "s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour, "w": 7 * 24 * time.Hour,
	}
	digits := 0
	for digits < len(value) && value[digits] >= '0' && value[digits] <= '9' {
		digits++
	}
	n, err := strconv.Atoi(value[:digits])
	unit, known := units[value[digits:]]
	return time.Duration(n) * unit, err == nil && known
}

// limits looks for what would serve fewer recipients, or smaller messages, than must be. [C247]
func (c *checker) limits(hardSize int64) {
	listeners := c.listeners()
	for _, service := range listeners {
		for _, name := range []string{"smtpd_recipient_limit", "smtpd_client_recipient_rate_limit"} {
			n, err := strconv.Atoi(c.Value(service, name))
			if err == nil && n < leastRecipients && (n > 0 || name == "smtpd_recipient_limit") {
				c.at(service, name, fmt.Sprintf("%s is %d: the law guarantees %d recipients of a message", name, n, leastRecipients),
					fmt.Sprintf("%s = %d or more", name, leastRecipients))
			}
		}
	}
	const name = "message_size_limit"
	least := hardSize + hardSize/4 // a message grows when it is sealed
	for _, service := range append(listeners, serviceCleanup) {
		if n, err := strconv.ParseInt(c.Value(service, name), 10, 64); err == nil && n > 0 && n < least {
			c.at(service, name, fmt.Sprintf("%s is %d: less than limits.hard_size and a quarter, so that what we take would be refused when it is sealed", name, n),
				fmt.Sprintf("%s = %d", name, least))
		}
	}
}

// listeners are the services that certified mail comes in by.
func (c *checker) listeners() []string {
	var found []string
	for _, service := range c.withCommand("smtpd") {
		if c.Value(service, "cleanup_service_name") == "ceralacca-cleanup" {
			found = append(found, service)
		}
	}
	return found
}

// expansion asks the first of virtual_alias_maps for an address of each certified domain: it must leave it alone, or
// Postfix expands aliases that are the agent's. [C206]
func (c *checker) expansion(domains []string) {
	const name = "virtual_alias_maps"
	tables := words(c.Value(serviceCleanup, name))
	if len(tables) == 0 {
		return
	}
	probe := func(domain string) string { return "ceralacca-probe@" + domain }
	var probes []string
	for _, d := range domains {
		probes = append(probes, probe(d))
	}
	found, _ := c.ask(c.ctx, tables[0], probes) // without an answer nothing is known to be left alone
	for _, d := range domains {
		if found[probe(d)] != probe(d) {
			c.at(serviceCleanup, name, fmt.Sprintf(
				"virtual_alias_maps begins with %s, which does not leave addresses of %s as they are: an alias could send certified mail on to where no receipt is true",
				tables[0], d), "virtual_alias_maps = regexp:…/as-written, then your own: see deploy/postfix/README.md")
		}
	}
}
