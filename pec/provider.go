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
	Unit         string  // of a secondary environment; "" for the main one
	MailReceipt  Address // the service mailbox [C129]
	Domains      []string
	Certificates []*x509.Certificate
}

// Manages says whether domain, in whatever case, is one of the provider's certified domains. [C030]
func (r *ProviderRecord) Manages(domain string) bool {
	return slices.ContainsFunc(r.Domains, func(d string) bool { return strings.EqualFold(d, domain) })
}
