package pec

import (
	"crypto/x509"
	"slices"
	"strings"
)

// Provider is who emits: its name, as in the providers' directory, and its one address, posta-certificata@….
type Provider struct {
	Name    string
	Address Address
}

// ProviderRecord is what the providers' directory says of a provider. It MUST NOT be changed once published.
type ProviderRecord struct {
	Name         string
	Unit         string  // of a secondary environment; "" for the main one [C221]
	MailReceipt  Address // the service mailbox [C129]
	Domains      []string
	Certificates []*x509.Certificate
	// LocationURL is where the provider publishes its own LDIF file. "" when that is not stated, as for every secondary
	// environment. [C219] [C220]
	LocationURL string

	managed map[string]struct{} // Domains in lower case, once Index was called
}

// Index makes Manages independent of the number of domains, which is large with some providers. Domains MUST NOT change
// after. It is not safe for concurrent use, unlike the other methods.
func (r *ProviderRecord) Index() {
	r.managed = make(map[string]struct{}, len(r.Domains))
	for _, d := range r.Domains {
		r.managed[strings.ToLower(d)] = struct{}{}
	}
}

// Manages says whether domain, in whatever case, is one of the provider's certified domains. [C030]
func (r *ProviderRecord) Manages(domain string) bool {
	if r.managed != nil {
		_, ok := r.managed[strings.ToLower(domain)]
		return ok
	}
	return slices.ContainsFunc(r.Domains, func(d string) bool { return strings.EqualFold(d, domain) })
}
