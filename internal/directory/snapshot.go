package directory

import (
	"crypto/x509"
	"fmt"
	"slices"
	"strings"

	"github.com/ceralacca/ceralacca/pec"
)

// Snapshot is one version of the directory. It is immutable and safe for concurrent use.
type Snapshot struct {
	providers     []*pec.ProviderRecord
	keys          []string // of the providers, by their DN: names of secondary environments need not tell them apart
	byDomain      map[string]*pec.ProviderRecord
	byCertificate map[string]*pec.ProviderRecord // by the whole certificate in DER [C214]
	problems      []string
	location      string
}

// Providers are all records in the order of the file, secondary environments included. The slice is the caller's.
func (s *Snapshot) Providers() []*pec.ProviderRecord { return slices.Clone(s.providers) }

// Problems are what was left out of the records, and why: a sentence each, for an alarm.
func (s *Snapshot) Problems() []string { return slices.Clone(s.problems) }

// LocationURL is where the whole directory is published, or "" when that is not stated. [C219]
func (s *Snapshot) LocationURL() string { return s.location }

// ByDomain returns the record that manages domain, in whatever case, and whether there is one: whether a recipient
// there is certified. [C030]
func (s *Snapshot) ByDomain(domain string) (*pec.ProviderRecord, bool) {
	r, ok := s.byDomain[strings.ToLower(domain)]
	return r, ok
}

// ByCertificate returns the record that lists this very certificate, and whether there is one. When several records
// of one provider list it, what is returned is its main one (or the first) with the domains of all of them. [C209]
func (s *Snapshot) ByCertificate(cert *x509.Certificate) (*pec.ProviderRecord, bool) {
	r, ok := s.byCertificate[string(cert.Raw)]
	return r, ok
}

// entry is a record on its way into a Snapshot.
type entry struct {
	record   *pec.ProviderRecord
	provider string // the name in its DN, folded: what makes records those of one provider
}

// assemble makes a Snapshot of the entries, or says which two contradict each other: a directory that does not say who
// answers for a domain or a signature is not used at all.
func assemble(entries []entry, problems []string) (*Snapshot, error) {
	domains := 0
	for _, e := range entries {
		domains += len(e.record.Domains)
	}
	s := &Snapshot{
		byDomain: make(map[string]*pec.ProviderRecord, domains), byCertificate: map[string]*pec.ProviderRecord{}, problems: problems,
	}
	sharing := map[string][]entry{}
	for _, e := range entries {
		s.providers, s.keys = append(s.providers, e.record), append(s.keys, e.key())
		e.record.Index()
		for _, domain := range e.record.Domains {
			if other, taken := s.byDomain[domain]; taken {
				return nil, fmt.Errorf("directory: domain %q is claimed by both %s and %s", domain, title(other), title(e.record))
			}
			s.byDomain[domain] = e.record
		}
		for _, cert := range e.record.Certificates {
			sharing[string(cert.Raw)] = append(sharing[string(cert.Raw)], e)
		}
	}
	for der, owners := range sharing {
		record, err := shared(owners)
		if err != nil {
			return nil, err
		}
		s.byCertificate[der] = record
	}
	return s, nil
}

// shared is the record to which a certificate leads that all these list.
func shared(owners []entry) (*pec.ProviderRecord, error) {
	if len(owners) == 1 {
		return owners[0].record, nil
	}
	main := owners[0]
	for _, e := range owners[1:] {
		if e.provider != main.provider {
			return nil, fmt.Errorf("directory: one certificate is claimed by both %s and %s", title(main.record), title(e.record))
		}
		if e.record.Unit == "" {
			main = e
		}
	}
	all := *main.record
	all.Domains = nil
	for _, e := range owners {
		all.Domains = append(all.Domains, e.record.Domains...)
	}
	all.Index()
	return &all, nil
}

// title names a record in a sentence.
func title(r *pec.ProviderRecord) string {
	if r.Unit == "" {
		return fmt.Sprintf("%q", r.Name)
	}
	return fmt.Sprintf("%q (%q)", r.Name, r.Unit)
}
