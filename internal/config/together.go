package config

import (
	"fmt"
	"slices"
)

// checkTogether finds what is wrong between keys that are each right.
func (r *reader) checkTogether(c *Config) {
	r.checkDomains(&c.Provider)
	r.checkSource()
	r.checkKey(c)
	r.checkLimits(&c.Limits)
	r.checkSockets(c)
	r.checkPublish(c)
	if m := c.Milter.Metrics; m != "" && m == c.Agent.Metrics && r.all("milter.metrics", "agent.metrics") {
		r.add("agent", "metrics", fmt.Sprintf("agent.metrics is %q, and so is milter.metrics", m), "a port of its own")
	}
}

func (r *reader) all(keys ...string) bool {
	return !slices.ContainsFunc(keys, func(key string) bool { return !r.good[key] })
}

func (r *reader) checkDomains(p *Provider) {
	if !r.all("provider.address", "provider.domains") {
		return
	}
	ours := append(slices.Clone(p.Domains), p.Address.Domain())
	if d := p.ServiceMailbox.Domain(); r.all("provider.service_mailbox") && !slices.Contains(ours, d) {
		r.add("provider", "service_mailbox", fmt.Sprintf("provider.service_mailbox is in %q, which is no domain of ours", d),
			fmt.Sprintf("service_mailbox = %q", p.ServiceMailbox.Local()+"@"+p.Domains[0]))
	}
	if r.all("provider.internal_domain") && slices.Contains(ours, p.InternalDomain) {
		r.add("provider", "internal_domain", fmt.Sprintf("provider.internal_domain is %q, which has mail of its own",
			p.InternalDomain), `internal_domain = "ceralacca.internal"`)
	}
}

// checkKey: what signs is in two files, or behind a plug-in, where cert says which of its keys.
func (r *reader) checkKey(c *Config) {
	values, written := r.doc.values["key"].(map[string]any)
	if !written {
		return
	}
	plugin := values["plugin"] != nil
	for _, k := range keyKeys(&Key{})[:2] { // cert and key
		switch has := values[k.name] != nil; {
		case plugin && has && k.name == "key":
			r.add("key", k.name, "key.key and key.plugin are both written: the plug-in has the key", "no key")
		case !plugin && !has:
			r.add("key", k.name, "key."+k.name+" is missing", k.example())
		}
	}
	r.checkNext(values, plugin)
	if values["crl"] == nil && r.all("revocation.distribution_points") && !c.Revocation.Fetches() {
		r.add("key", "crl", "key.crl is missing, and no revocation list is fetched",
			`crl = ["/etc/ceralacca/crl.pem"], or distribution_points = "follow" in [revocation]`)
	}
	known := func(p Plugin) bool { return p.Name == c.Key.Plugin }
	if plugin && r.all("key.plugin") && !slices.ContainsFunc(c.Plugins, known) {
		r.add("key", "plugin", fmt.Sprintf("key.plugin is %q, and there is no [plugins.%[1]s]", c.Key.Plugin),
			"the name of a plug-in of the kind key")
	}
}

// checkNext: the certificate that will sign next has its key in a file, unless a plug-in has it.
func (r *reader) checkNext(values map[string]any, plugin bool) {
	switch cert, key := values["next_cert"] != nil, values["next_key"] != nil; {
	case plugin && key:
		r.add("key", "next_key", "key.next_key and key.plugin are both written: the plug-in has the key", "no next_key")
	case key && !cert:
		r.add("key", "next_key", "key.next_key is written without key.next_cert", `next_cert = "/etc/ceralacca/next-cert.pem"`)
	case cert && !key && !plugin:
		r.add("key", "next_cert", "key.next_cert is written without key.next_key", `next_key = "/etc/ceralacca/next-key.pem"`)
	}
	for _, pair := range [][2]string{{"cert", "next_cert"}, {"key", "next_key"}} {
		if next := values[pair[1]]; next != nil && next == values[pair[0]] {
			r.add("key", pair[1], fmt.Sprintf("key.%s is the file of key.%s", pair[1], pair[0]), "a file of its own")
		}
	}
}

// checkSource: the directory is a file or at a URL, and what belongs to the URL stands only with it.
func (r *reader) checkSource() {
	values, written := r.doc.values["directory"].(map[string]any)
	if !written {
		return
	}
	has := func(key string) bool { return values[key] != nil }
	switch {
	case has("file") && has("url"):
		r.add("directory", "url", "directory.file and directory.url are both written", "one of them")
	case !has("file") && !has("url"):
		r.add("directory", "", "directory.file and directory.url are missing", `file = "/etc/ceralacca/igpec.ldif.p7m"`)
	}
	for _, key := range []string{"client_cert", "client_key", "url_ca"} {
		switch {
		case has(key) && !has("url"):
			r.add("directory", key, fmt.Sprintf("directory.%s serves only directory.url", key), "no "+key+", or url")
		case has("url") && !has(key) && key != "url_ca": // [C223]
			r.add("directory", "url", "directory.url needs directory."+key,
				fmt.Sprintf(`%s = "/etc/ceralacca/igpec-%s.pem"`, key, key))
		}
	}
}

func (r *reader) checkLimits(l *Limits) {
	if r.all("limits.size", "limits.product") && l.Size > l.Product {
		r.add("limits", "size", "limits.size is more than limits.product, so that it is never reached",
			"size = the value of product, or less")
	}
	if r.all("limits.size", "limits.hard_size") && l.Size > l.HardSize {
		r.add("limits", "hard_size", "limits.hard_size is less than limits.size",
			"hard_size = the value of size, or more")
	}
}

// checkSockets: two services cannot listen on one socket.
func (r *reader) checkSockets(c *Config) {
	sockets := []struct {
		section, key string
		socket       Endpoint
	}{
		{"milter", "submission_socket", c.Milter.SubmissionSocket},
		{"milter", "incoming_socket", c.Milter.IncomingSocket},
		{"agent", "lmtp_socket", c.Agent.LMTPSocket},
		{"agent", "dsn_socket", c.Agent.DSNSocket},
		{"agent", "admin_socket", c.Agent.AdminSocket},
		{"network", "tls_policy_socket", c.Network.TLSPolicySocket},
		{"dovecot", "lmtp", c.Dovecot.LMTP},
		{"dovecot", "userdb_socket", c.Dovecot.UserdbSocket},
	}
	first := map[Endpoint]string{}
	for _, s := range sockets {
		if !r.all(s.section + "." + s.key) {
			continue
		}
		if other, taken := first[s.socket]; taken {
			r.add(s.section, s.key, fmt.Sprintf("%s.%s is %q, and so is %s", s.section, s.key, s.socket, other),
				"a socket of its own")
			continue
		}
		first[s.socket] = s.section + "." + s.key
	}
}
