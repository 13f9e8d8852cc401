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
	byDomain      map[string]*pec.ProviderRecord
	byCertificate map[string]*pec.ProviderRecord // by the whole certificate in DER [C214]
	problems      []string
}

// Providers are all records in the order of the file, secondary environments included. The slice is the caller's.
func (s *Snapshot) Providers() []*pec.ProviderRecord { return slices.Clone(s.providers) }

// Problems are what was left out of the records, and why: a sentence each, for an alarm.
func (s *Snapshot) Problems() []string { return slices.Clone(s.problems) }

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
	s := &Snapshot{
		byDomain: map[string]*pec.ProviderRecord{}, byCertificate: map[string]*pec.ProviderRecord{}, problems: problems,
	}
	sharing := map[string][]entry{}
	for _, e := range entries {
		s.providers = append(s.providers, e.record)
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
	return &all, nil
}

// title names a record in a sentence.
func title(r *pec.ProviderRecord) string {
	if r.Unit == "" {
		return fmt.Sprintf("%q", r.Name)
	}
	return fmt.Sprintf("%q (%q)", r.Name, r.Unit)
}

// Changes says in a sentence each what is other in s than in old: providers that came, went or changed. Old may be nil.
func (s *Snapshot) Changes(old *Snapshot) []string {
	var changes []string
	before := map[string]*pec.ProviderRecord{}
	if old != nil {
		for _, r := range old.providers {
			before[title(r)] = r
		}
	}
	for _, r := range s.providers {
		previous, known := before[title(r)]
		delete(before, title(r))
		switch {
		case !known:
			changes = append(changes, fmt.Sprintf("%s is new, with %d domains", title(r), len(r.Domains)))
		case !same(previous, r):
			changes = append(changes, fmt.Sprintf("%s has changed", title(r)))
		}
	}
	for name := range before {
		changes = append(changes, name+" is gone")
	}
	slices.Sort(changes)
	return changes
}

func same(a, b *pec.ProviderRecord) bool {
	return a.MailReceipt == b.MailReceipt && slices.Equal(a.Domains, b.Domains) &&
		slices.EqualFunc(a.Certificates, b.Certificates, (*x509.Certificate).Equal)
}
