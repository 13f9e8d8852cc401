package postfix

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ceralacca/ceralacca/internal/config"
)

// The services that deploy/postfix adds.
const (
	serviceAgent   = "ceralacca-agent/unix"
	serviceOut     = "ceralacca-out/unix"
	serviceCleanup = "ceralacca-cleanup/unix"
)

// checker collects faults of one instance.
type checker struct {
	*Instance
	ctx    context.Context
	faults config.Faults
}

// Check looks at both instances. The first is that of the folder first; without the services of ours, or where there is
// none, it is not the one that serves us, and nothing is said. others are the domains of the other providers. [C230] [C247]
func Check(ctx context.Context, first string, c *config.Config, others []string) config.Faults {
	if _, err := os.Stat(filepath.Join(first, "main.cf")); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	one, err := Read(ctx, first)
	if errors.Is(err, exec.ErrNotFound) {
		return nil
	}
	if err != nil {
		return config.Faults{{File: filepath.Join(first, "main.cf"), What: "postconf cannot read that instance: " + err.Error(),
			Write: "what postconf -c " + first + " takes"}}
	}
	f := &checker{Instance: one, ctx: ctx}
	if one.Has(serviceAgent) {
		f.lifetimes()
		f.limits(c.Limits.HardSize)
		f.expansion(c.Provider.Domains)
	}
	if !one.Has(serviceOut) {
		return f.faults
	}
	f.first(c, others)
	out, fault := findOut(ctx, one, c)
	if fault != nil {
		return append(f.faults, *fault)
	}
	o := &checker{Instance: out, ctx: ctx}
	o.out(c, others)
	return append(f.faults, o.faults...)
}

// findOut finds the outbound instance: where the configuration says, or the one that listens where the agent hands over.
func findOut(ctx context.Context, first *Instance, c *config.Config) (*Instance, *config.Fault) {
	const write = `out = "/etc/postfix-out", the folder of the outbound instance`
	if c.Network.Out != "" {
		out, err := Read(ctx, c.Network.Out)
		if err != nil {
			fault := c.Fault("network", "out", "network.out: postconf cannot read that instance: "+err.Error(), write)
			return nil, &fault
		}
		return out, nil
	}
	for _, dir := range words(first.Value("", "multi_instance_directories")) {
		if out, err := Read(ctx, dir); err == nil && out.listens(c.Agent.Out) {
			return out, nil
		}
	}
	fault := c.Fault("network", "out", "no instance in multi_instance_directories listens at agent.out ("+c.Agent.Out+
		"): what certified mail leaves by cannot be looked at", write)
	return nil, &fault
}

// words are those of a list of Postfix.
func words(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return strings.ContainsRune(", \t\r\n", r) })
}

// fault names a parameter in main.cf, or in master.cf, with the service, when that has its own value.
func (c *checker) fault(service, parameter, what, write string) {
	if _, own := c.override[service+"/"+parameter]; own {
		what = service + ": " + what
	}
	c.at(service, parameter, what, write)
}

// at adds a fault at the line that sets a parameter for a service.
func (c *checker) at(service, parameter, what, write string) {
	fault := config.Fault{Column: 1, What: what, Write: write}
	if _, own := c.override[service+"/"+parameter]; own {
		fault.File = filepath.Join(c.Dir, "master.cf")
		fault.Line = lineOfService(fault.File, service, parameter)
	} else {
		fault.File = filepath.Join(c.Dir, "main.cf")
		fault.Line = lineOf(fault.File, parameter)
	}
	if !slices.Contains(c.faults, fault) { // several services may have it from main.cf
		c.faults = append(c.faults, fault)
	}
}

// empty asks that parameters have no value for a service.
func (c *checker) empty(service, why string, parameters ...string) {
	for _, parameter := range parameters {
		if value := c.Value(service, parameter); value != "" {
			c.fault(service, parameter, fmt.Sprintf("%s is %q: %s", parameter, value, why), parameter+" =")
		}
	}
}

const (
	relays   = "certified mail would pass a system of others"
	copies   = "certified mail would be copied, to whom no certification data name"
	changes  = "certified mail would be changed, or handed to another program"
	notOurs  = "what certified users send would not leave by the outbound instance"
	lineMail = "ceralacca-out:[127.0.0.1]:10026"
)

// first: what certified users send goes to the agent and to out, and nowhere else.
func (c *checker) first(conf *config.Config, others []string) {
	c.empty(serviceOut, relays, "smtp_fallback_relay")
	c.empty(serviceOut, changes, "smtp_header_checks", "smtp_body_checks", "smtp_generic_maps")
	c.empty(serviceCleanup, copies, "always_bcc", "sender_bcc_maps", "recipient_bcc_maps")
	c.empty(serviceCleanup, changes, "header_checks", "mime_header_checks", "nested_header_checks", "body_checks", "canonical_maps",
		"sender_canonical_maps", "recipient_canonical_maps")
	c.empty("", changes, "internal_mail_filter_classes")
	for _, service := range c.withCommand("smtpd") {
		ours := strings.Contains(c.Value(service, "smtpd_milters"), conf.Milter.SubmissionSocket.Address) ||
			strings.Contains(c.Value(service, "smtpd_milters"), conf.Milter.IncomingSocket.Address)
		if ours {
			c.empty(service, changes, "content_filter", "smtpd_proxy_filter", "smtpd_command_filter")
		}
	}
	c.senders(conf)
	c.routes(others, notOurs, func(_, result string) bool {
		return result == "" || result == ":" || strings.HasPrefix(result, "error:")
	})
}

// senders: every certified domain leaves by our transport.
func (c *checker) senders(conf *config.Config) {
	const parameter = "sender_dependent_default_transport_maps"
	for _, domain := range conf.Provider.Domains {
		result := ""
		for _, table := range words(c.Value("", parameter)) {
			found, err := c.ask(c.ctx, table, []string{"@" + domain})
			if err != nil {
				c.fault("", parameter, fmt.Sprintf("%s: %s cannot be read", parameter, table), "a table that postmap -q can read")
				return
			}
			if result = found["@"+domain]; result != "" {
				break
			}
		}
		if !strings.HasPrefix(result, "ceralacca-out:") {
			c.fault("", parameter, fmt.Sprintf("%s has %q for @%s: %s", parameter, result, domain, notOurs), "@"+domain+" "+lineMail)
		}
	}
}

// out: nothing between us and the exchanger of the recipient.
func (c *checker) out(conf *config.Config, others []string) {
	c.empty("", relays, "relayhost", "sender_dependent_relayhost_maps", "sender_dependent_default_transport_maps", "relay_domains",
		"fallback_relay")
	c.empty("", copies, "always_bcc", "sender_bcc_maps", "recipient_bcc_maps")
	c.empty("", changes, "content_filter", "smtpd_milters", "non_smtpd_milters", "smtp_generic_maps", "smtp_body_checks",
		"canonical_maps", "sender_canonical_maps", "recipient_canonical_maps", "virtual_alias_maps")
	for _, service := range c.withCommand("smtpd") {
		c.empty(service, changes, "content_filter", "smtpd_proxy_filter", "smtpd_command_filter")
	}
	for _, service := range c.withCommand("smtp") {
		c.empty(service, relays, "smtp_fallback_relay")
		c.policy(conf, service)
	}
	const parameter = "default_transport"
	if name, hop, _ := strings.Cut(c.Value("", parameter), ":"); hop != "" || c.services[name+"/unix"] != "smtp" {
		c.fault("", parameter, fmt.Sprintf("%s is %q: %s", parameter, c.Value("", parameter), relays), parameter+" = smtp")
	}
	c.routes(others, relays, func(domain, result string) bool {
		name, hop, _ := strings.Cut(result, ":")
		return name == "error" || (hop == "" || hop == domain) && (name == "" || c.services[name+"/unix"] == "smtp")
	})
}

// policy: every client asks the agent with whom to use TLS, if the agent answers.
func (c *checker) policy(conf *config.Config, service string) {
	const parameter = "smtp_tls_policy_maps"
	want := "socketmap:unix:" + conf.Network.TLSPolicySocket.Address + ":tls-policy"
	value := c.Value(service, parameter)
	if conf.Network.TLSPolicySocket.Address != "" && cmp.Or(append(words(value), "")...) != want {
		c.fault(service, parameter, fmt.Sprintf("%s is %q: providers that are new in the directory would be written to in clear", parameter, value),
			parameter+" = "+want)
	}
	if level := c.Value(service, "smtp_tls_security_level"); level == "" || level == "none" {
		c.fault(service, "smtp_tls_security_level", fmt.Sprintf("smtp_tls_security_level is %q: ordinary mail would never be protected", level),
			"smtp_tls_security_level = may")
	}
}

// routes: no line of transport_maps leads mail for a provider astray, nor one for everybody.
func (c *checker) routes(others []string, why string, good func(domain, result string) bool) {
	const parameter = "transport_maps"
	keys := []string{"*"}
	for _, domain := range others {
		keys = append(keys, domain, "x@"+domain)
		for parent := domain; ; {
			_, rest, more := strings.Cut(parent, ".")
			if !more {
				break
			}
			keys, parent = append(keys, "."+rest), rest
		}
	}
	slices.Sort(keys)
	for _, table := range words(c.Value("", parameter)) {
		found, err := c.ask(c.ctx, table, slices.Compact(slices.Clone(keys)))
		if err != nil {
			c.fault("", parameter, fmt.Sprintf("%s: %s cannot be read", parameter, table), "a table that postmap -q can read")
			continue
		}
		for _, key := range slices.Sorted(maps.Keys(found)) {
			if result := found[key]; !good(strings.TrimPrefix(key, "x@"), result) {
				c.fault("", parameter, fmt.Sprintf("%s: %s leads %s to %q: %s", parameter, table, key, result, why), "no line for "+key)
			}
		}
	}
}
