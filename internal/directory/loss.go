package directory

import (
	"crypto/x509"
	"fmt"
	"time"
)

// Share is how many of so many are gone.
type Share struct {
	Lost int `json:"lost"`
	Of   int `json:"of"`
}

// Beyond says whether more than so many per cent are gone.
func (s Share) Beyond(percent int) bool { return s.Lost*100 > s.Of*percent }

// String is "3 of 25".
func (s Share) String() string { return fmt.Sprintf("%d of %d", s.Lost, s.Of) }

// Loss is what a version lacks that the one before it had. A domain that passes to another provider is not lost, nor is a
// certificate that has ended.
type Loss struct {
	Records      Share `json:"records"`
	Domains      Share `json:"domains"`
	Certificates Share `json:"certificates"`
}

// lossOf compares a new version with the one in use, at an instant.
func lossOf(fresh, old *Snapshot, at time.Time) Loss {
	var l Loss
	there := map[string]bool{}
	for _, key := range fresh.keys {
		there[key] = true
	}
	for i, r := range old.providers {
		l.Records.count(there[old.keys[i]])
		for _, cert := range r.Certificates {
			if at.Before(cert.NotAfter) {
				l.Certificates.count(fresh.lists(cert))
			}
		}
	}
	for domain := range old.byDomain {
		_, still := fresh.byDomain[domain]
		l.Domains.count(still)
	}
	return l
}

func (s *Share) count(there bool) {
	s.Of++
	if !there {
		s.Lost++
	}
}

func (s *Snapshot) lists(cert *x509.Certificate) bool {
	_, ok := s.byCertificate[string(cert.Raw)]
	return ok
}

// reasons are why a version with this loss waits for a person: a phrase each.
func (l Loss) reasons(percent int) []string {
	var all []string
	for _, one := range []struct {
		what  string
		share Share
	}{{"records of providers", l.Records}, {"domains", l.Domains}, {"certificates", l.Certificates}} {
		if one.share.Beyond(percent) {
			all = append(all, fmt.Sprintf("%s %s are gone, more than %d %%", one.share, one.what, percent))
		}
	}
	return all
}
