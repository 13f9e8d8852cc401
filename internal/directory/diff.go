package directory

import (
	"cmp"
	"crypto/sha1" //nolint:gosec // it names certificates as the directory does [C214]
	"crypto/x509"
	"fmt"
	"slices"
	"strings"

	"github.com/ceralacca/ceralacca/pec"
)

// What became of a record.
const (
	ChangeNew     = "new"
	ChangeGone    = "gone"
	ChangeChanged = "changed"
)

// Change is what is other in one record between two versions. Of a new record all is new, of one that is gone all is gone.
type Change struct {
	Provider          string   `json:"provider"`
	Unit              string   `json:"unit,omitempty"`
	What              string   `json:"what"`
	DomainsMore       []string `json:"domains_more,omitempty"`
	DomainsLess       []string `json:"domains_less,omitempty"`
	CertificatesMore  []string `json:"certificates_more,omitempty"` // SHA-1, as [Fingerprint] writes it
	CertificatesLess  []string `json:"certificates_less,omitempty"`
	MailReceipt       string   `json:"mail_receipt,omitempty"`
	MailReceiptBefore string   `json:"mail_receipt_before,omitempty"`
	LocationURL       string   `json:"ldif_location_url,omitempty"`
	LocationURLBefore string   `json:"ldif_location_url_before,omitempty"`
}

// Diff is what is other in s than in old, which may be nil, by records: in the order of their names.
func (s *Snapshot) Diff(old *Snapshot) []Change {
	before := map[string]*pec.ProviderRecord{}
	if old != nil {
		for i, r := range old.providers {
			before[old.keys[i]] = r
		}
	}
	var changes []Change
	for i, r := range s.providers {
		if c := changeOf(before[s.keys[i]], r); c.What != "" {
			changes = append(changes, c)
		}
		delete(before, s.keys[i])
	}
	for _, r := range before {
		changes = append(changes, changeOf(r, nil))
	}
	slices.SortFunc(changes, func(a, b Change) int { return cmp.Compare(a.title(), b.title()) })
	return changes
}

// changeOf compares two records of one name, one of which may be nil. It says nothing when they are the same.
func changeOf(old, fresh *pec.ProviderRecord) Change {
	named, nothing := fresh, &pec.ProviderRecord{}
	c := Change{What: ChangeChanged}
	switch {
	case old == nil:
		old, c.What = nothing, ChangeNew
	case fresh == nil:
		named, fresh, c.What = old, nothing, ChangeGone
	}
	c.Provider, c.Unit = named.Name, named.Unit
	c.DomainsMore, c.DomainsLess = missing(fresh.Domains, old.Domains), missing(old.Domains, fresh.Domains)
	ours, theirs := fingerprints(fresh.Certificates), fingerprints(old.Certificates)
	c.CertificatesMore, c.CertificatesLess = missing(ours, theirs), missing(theirs, ours)
	if fresh.MailReceipt != old.MailReceipt {
		c.MailReceipt, c.MailReceiptBefore = fresh.MailReceipt.String(), old.MailReceipt.String()
	}
	if fresh.LocationURL != old.LocationURL {
		c.LocationURL, c.LocationURLBefore = fresh.LocationURL, old.LocationURL
	}
	same := len(c.DomainsMore)+len(c.DomainsLess)+len(c.CertificatesMore)+len(c.CertificatesLess) == 0 &&
		c.MailReceipt == c.MailReceiptBefore && c.LocationURL == c.LocationURLBefore
	if same && c.What == ChangeChanged {
		return Change{}
	}
	return c
}

// missing are the texts of a that are not in b.
func missing(a, b []string) []string {
	there := make(map[string]bool, len(b))
	for _, s := range b {
		there[s] = true
	}
	var out []string
	for _, s := range a {
		if !there[s] {
			out = append(out, s)
		}
	}
	return out
}

func fingerprints(certs []*x509.Certificate) []string {
	out := make([]string, len(certs))
	for i, c := range certs {
		out[i] = Fingerprint(c)
	}
	return out
}

// Fingerprint is the SHA-1 of a certificate as the directory writes it: hexadecimal, in capitals. [C214]
func Fingerprint(c *x509.Certificate) string { return fmt.Sprintf("%X", sha1.Sum(c.Raw)) } //nolint:gosec // see above

func (c Change) title() string { return title(&pec.ProviderRecord{Name: c.Provider, Unit: c.Unit}) }

// String is one sentence about the record.
func (c Change) String() string {
	switch c.What {
	case ChangeNew:
		return fmt.Sprintf("%s is new, with %d domains and %d certificates", c.title(), len(c.DomainsMore), len(c.CertificatesMore))
	case ChangeGone:
		return fmt.Sprintf("%s is gone, with %d domains and %d certificates", c.title(), len(c.DomainsLess), len(c.CertificatesLess))
	}
	var what []string
	for _, part := range []struct {
		name string
		list []string
	}{{"domains more", c.DomainsMore}, {"domains less", c.DomainsLess}, {"certificates more", c.CertificatesMore}, {"certificates less", c.CertificatesLess}} {
		if n := len(part.list); n > 0 {
			what = append(what, fmt.Sprintf("%d %s", n, part.name))
		}
	}
	if c.MailReceipt != c.MailReceiptBefore {
		what = append(what, fmt.Sprintf("its service mailbox is %s, was %s", c.MailReceipt, c.MailReceiptBefore))
	}
	if c.LocationURL != c.LocationURLBefore {
		what = append(what, fmt.Sprintf("its own file is at %q, was at %q", c.LocationURL, c.LocationURLBefore))
	}
	return fmt.Sprintf("%s has changed: %s", c.title(), strings.Join(what, ", "))
}

// Changes says in a sentence each what is other in s than in old, which may be nil.
func (s *Snapshot) Changes(old *Snapshot) []string {
	var all []string
	for _, c := range s.Diff(old) {
		all = append(all, c.String())
	}
	return all
}

// Counts are the numbers of a version.
type Counts struct {
	Records      int `json:"records"`
	Domains      int `json:"domains"`
	Certificates int `json:"certificates"`
}

// Counts counts.
func (s *Snapshot) Counts() Counts {
	return Counts{Records: len(s.providers), Domains: len(s.byDomain), Certificates: len(s.byCertificate)}
}

// String is "25 records, 7400 domains, 31 certificates".
func (c Counts) String() string {
	return fmt.Sprintf("%d records, %d domains, %d certificates", c.Records, c.Domains, c.Certificates)
}
