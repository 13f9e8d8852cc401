package revocation

import (
	"net/url"
	"slices"
	"strings"
)

// follow sees to it that there is a source for each place. Those that no certificate names any more go, and the others keep
// what is known of them.
func (f *Fetcher) follow() {
	wanted := map[string]bool{}
	for _, u := range f.o.URLs {
		wanted[u] = true
	}
	if f.o.Certificates != nil {
		f.addPoints(wanted)
	}
	for u, s := range f.sources {
		if !wanted[u] && !s.busy {
			delete(f.sources, u)
		}
	}
	for u, followed := range wanted {
		if !followed {
			f.pass(u)
		} else if f.sources[u] == nil {
			f.sources[u] = &source{url: u}
		}
	}
}

// pass says once that a place is passed over.
func (f *Fetcher) pass(u string) {
	if f.told[u] {
		return
	}
	f.told[u] = true
	f.o.Log.Warn("a distribution point of revocation lists is not followed, only http and https are: "+
		"fetch it otherwise and name the file in [key] crl, if its authority has no other", "url", u)
}

// addPoints adds the distribution points of certificates that hold today and that an authority of ours may have issued.
func (f *Fetcher) addPoints(wanted map[string]bool) {
	now := f.o.Clock.Now()
	for _, c := range f.o.Certificates() {
		if now.Before(c.NotBefore) || now.After(c.NotAfter) || !f.o.Trust.Issued(c) {
			continue
		}
		for _, point := range c.CRLDistributionPoints {
			wanted[point] = Followed(point)
		}
	}
}

// Followed says whether lists are fetched from an address: http and https, not LDAP, which real certificates name as well.
func Followed(point string) bool {
	u, err := url.Parse(point)
	return err == nil && slices.Contains([]string{"http", "https"}, strings.ToLower(u.Scheme)) && u.Host != ""
}
