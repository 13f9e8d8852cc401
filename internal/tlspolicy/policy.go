package tlspolicy

import (
	"maps"
	"slices"
	"strings"
)

// Floor is the policy for every domain of the directory: providers do not know each other by certificates of TLS, so that
// none is asked for, but nothing passes in clear. Proof of origin is the signature. [C226] [C228]
const Floor = "encrypt " + protocols

const protocols = "protocols=>=TLSv1.2"

// Rules say how next hops are spoken to. They are not changed after they are in use.
type Rules struct {
	// Stricter are policies as Postfix has them, "verify match=…", by domain or next hop in lower case. They replace Floor,
	// and MUST NOT be weaker.
	Stricter map[string]string
	// Ordinary are next hops with a port or in brackets, in lower case, that lead to no provider.
	Ordinary []string
}

// Directory knows the domains of the providers.
type Directory interface {
	// Certifies says whether a domain, in whatever case, is one of a provider.
	Certifies(domain string) bool
}

// Of is the policy for a next hop, as Postfix looks it up; not ok means that there is none, and smtp_tls_security_level
// holds. A next hop that somebody wrote into a transport map does not say which domain it serves: unless it is known to be
// ordinary, it is treated as one of a provider.
func (r Rules) Of(hop string, d Directory) (policy string, ok bool) {
	hop = strings.TrimSuffix(strings.ToLower(hop), ".")
	domain, written := hop, strings.ContainsAny(hop, "[]:")
	if written {
		domain = hostOf(hop)
	}
	certified := d.Certifies(domain)
	switch stricter, found := r.stricter(hop, domain); {
	case found:
		return stricter + " " + protocols, true
	case certified, written && !slices.Contains(r.Ordinary, hop):
		return Floor, true
	}
	return "", false
}

func (r Rules) stricter(hop, domain string) (string, bool) {
	if policy, found := r.Stricter[hop]; found {
		return policy, true
	}
	policy, found := r.Stricter[domain]
	return policy, found
}

// hostOf is the host of [host]:port, [host] or host:port.
func hostOf(hop string) string {
	if inner, found := strings.CutPrefix(hop, "["); found {
		host, _, _ := strings.Cut(inner, "]")
		return host
	}
	host, _, _ := strings.Cut(hop, ":")
	return host
}

// Table is what Postfix is told of these domains and of what the rules name, as lines of a table in the order of their
// names.
func (r Rules) Table(domains []string, d Directory) string {
	all := map[string]bool{}
	for _, name := range append(slices.Collect(maps.Keys(r.Stricter)), domains...) {
		all[strings.ToLower(name)] = true
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if policy, ok := r.Of(name, d); ok {
			b.WriteString(name + "\t" + policy + "\n")
		}
	}
	return b.String()
}
