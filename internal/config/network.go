package config

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// Network is the section [network]. All of it may be empty.
type Network struct {
	TLSPolicySocket Endpoint          // where the outbound instance asks how to speak to a next hop; zero: nobody answers
	TLSPolicy       map[string]string // by domain or next hop in lower case: a policy of Postfix that is at least encrypt
	OrdinaryHops    []string          // next hops with brackets or port, in lower case
	MX              []string          // names, in lower case without a dot at the end, and addresses
	Out             string            // the configuration folder of the outbound instance
}

func networkKeys(n *Network) []key {
	return []key{
		{name: "tls_policy_socket", value: socket(&n.TLSPolicySocket), sample: `"unix:/run/ceralacca/tls-policy.sock"`, optional: true,
			doc: "Where the agent answers the outbound Postfix instance how to speak to a next hop: `smtp_tls_policy_maps = " +
				"socketmap:unix:/run/ceralacca/tls-policy.sock:tls-policy`. Domains of the directory in use: never without TLS 1.2. While the " +
				"agent does not answer, what leaves waits in the queue."},
		{name: "tls_policy", value: policies(&n.TLSPolicy), sample: `["beta.example verify match=hostname:beta.example"]`, optional: true,
			doc: "Stricter for some: a domain, or a next hop of `transport_maps`, and what Postfix's `smtp_tls_policy_maps` takes: `encrypt`, " +
				"`dane-only`, `fingerprint`, `verify` or `secure`, with its attributes but `protocols`."},
		{name: "ordinary_hops", value: hops(&n.OrdinaryHops), sample: `["[192.0.2.7]:25"]`, optional: true,
			doc: "Next hops of the outbound instance's `transport_maps`, as they stand there, behind which is no provider. Any other that has " +
				"brackets or a port is spoken to by TLS only, for it does not say whose mail it takes."},
		{name: "mx", value: hosts(&n.MX), sample: `["mx.alfa.example"]`, optional: true,
			doc: "The mail exchangers that are under your own control: names as the MX records have them, or addresses. `ceralacca network check` " +
				"holds DNS against it, and so does the agent once a day."},
		{name: "out", value: path(&n.Out), sample: `"/etc/postfix-out"`, file: FileFolder, optional: true,
			doc: "The configuration folder of the outbound Postfix instance, for `check-config`. Without it, that among `multi_instance_directories` of the first " +
				"instance which listens at `agent.out`."},
	}
}

var (
	policyForm    = regexp.MustCompile(`^(encrypt|dane-only|fingerprint|verify|secure)( +[a-z]+=[^ ]+)*$`)
	protocolsForm = regexp.MustCompile(` protocols=`)
	hopForm       = regexp.MustCompile(`^(\[[^\[\] ]+\](:[a-z0-9-]+)?|[a-z0-9._-]+:[a-z0-9-]+)$`)
)

// policies takes nothing weaker than encryption. [C226] [C228]
func policies(field *map[string]string) value {
	var lines []string
	v := ofStrings("policies", &lines, func(s string) (clean, wrong string) {
		name, policy, _ := strings.Cut(strings.TrimSpace(s), " ")
		name, policy = strings.ToLower(name), strings.TrimSpace(policy)
		if _, bad := cleanDomain(name); bad != "" && !hopForm.MatchString(name) {
			return "", fmt.Sprintf("has %q, which does not begin with a domain or a next hop", s)
		}
		if !policyForm.MatchString(policy) || protocolsForm.MatchString(policy) {
			return "", fmt.Sprintf("has %q, whose policy is none of encrypt, dane-only, fingerprint, verify, secure with attributes", s)
		}
		if _, twice := (*field)[name]; twice {
			return "", fmt.Sprintf("has %q twice", name)
		}
		(*field)[name] = policy
		return s, ""
	})
	set := v.set
	v.set = func(x any) string {
		*field, lines = map[string]string{}, nil
		return set(x)
	}
	return v
}

func hops(field *[]string) value {
	return ofStrings("next hops", field, func(s string) (clean, wrong string) {
		if clean = strings.ToLower(s); !hopForm.MatchString(clean) {
			return "", fmt.Sprintf("has %q, not a next hop in brackets or with a port", s)
		}
		return clean, ""
	})
}

func hosts(field *[]string) value {
	return ofStrings("names and addresses", field, func(s string) (clean, wrong string) {
		if ip, err := netip.ParseAddr(s); err == nil {
			return ip.String(), ""
		}
		if clean, wrong = cleanDomain(strings.TrimSuffix(s, ".")); wrong != "" {
			return "", fmt.Sprintf("has %q, not a name or an address", s)
		}
		return clean, ""
	})
}

// CertifiedDomains are the domains whose mail must come to us: those that we certify, and those of our own addresses, each once.
func (c *Config) CertifiedDomains() []string {
	all := append(slices.Clone(c.Provider.Domains), c.Provider.Address.Domain(), c.Provider.ServiceMailbox.Domain())
	var once []string
	for _, d := range all {
		if !slices.Contains(once, d) {
			once = append(once, d)
		}
	}
	return once
}
