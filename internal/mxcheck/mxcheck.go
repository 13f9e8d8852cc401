// Package mxcheck holds the mail exchangers that DNS names for a domain against those that are under the provider's own
// control. It asks DNS and does not connect to any of them.
package mxcheck

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// patience is how long one question to DNS may take.
const patience = 20 * time.Second

// Resolver asks DNS; a net.Resolver is one.
type Resolver interface {
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Check returns a sentence for each thing that is wrong with the exchangers of a domain: one that is not among ours, one
// without an address, none at all. An exchanger is ours when its name is, or all its addresses are. An error says that DNS
// did not answer, so that nothing is known. [C230] [C231]
func Check(ctx context.Context, r Resolver, domain string, ours []string) ([]string, error) {
	hosts, err := exchangers(ctx, r, domain)
	if err != nil {
		return nil, fmt.Errorf("%s: its mail exchangers cannot be looked up: %w", domain, err)
	}
	var wrong []string
	for _, host := range hosts {
		if host == "" {
			wrong = append(wrong, domain+": DNS says that it takes no mail at all (an MX record with a dot)")
			continue
		}
		addresses, err := addressesOf(ctx, r, host)
		if err != nil {
			return nil, fmt.Errorf("%s: the addresses of %s cannot be looked up: %w", domain, host, err)
		}
		if fault := judge(domain, host, addresses, ours); fault != "" {
			wrong = append(wrong, fault)
		}
	}
	return wrong, nil
}

func judge(domain, host string, addresses []netip.Addr, ours []string) string {
	foreign := func(a netip.Addr) bool { return !slices.Contains(ours, a.Unmap().String()) }
	switch {
	case len(addresses) == 0 && host == domain:
		return domain + ": it has no mail exchanger and no address, so that no mail reaches it"
	case len(addresses) == 0:
		return fmt.Sprintf("%s: its mail exchanger %s has no address", domain, host)
	case slices.Contains(ours, host) || !slices.ContainsFunc(addresses, foreign):
		return ""
	}
	list := make([]string, len(addresses))
	for i, a := range addresses {
		list[i] = a.Unmap().String()
	}
	return fmt.Sprintf("%s: its mail exchanger %s (%s) is not in network.mx: certified mail may pass a system that is not under your control",
		domain, host, strings.Join(list, ", "))
}

// exchangers are the hosts that take the mail of a domain, in lower case, each once; without MX records it is the domain
// itself (RFC 5321, 5.1). An empty one is the null MX of RFC 7505.
func exchangers(ctx context.Context, r Resolver, domain string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	records, err := r.LookupMX(ctx, domain+".")
	if notFound(err) || err == nil && len(records) == 0 {
		return []string{domain}, nil
	}
	if err != nil {
		return nil, err
	}
	var hosts []string
	for _, record := range records {
		if host := strings.ToLower(strings.TrimSuffix(record.Host, ".")); !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	return hosts, nil
}

func addressesOf(ctx context.Context, r Resolver, host string) ([]netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	addresses, err := r.LookupNetIP(ctx, "ip", host+".")
	if notFound(err) {
		return nil, nil
	}
	return addresses, err
}

// notFound says that DNS did answer: there is no such record.
func notFound(err error) bool {
	e, ok := errors.AsType[*net.DNSError](err)
	return ok && e.IsNotFound
}

// At is a resolver that asks the server at address, host:port, and nobody else.
func At(address string) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, address)
	}}
}
