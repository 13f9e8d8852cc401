package pec

import (
	"errors"
	"strings"
)

// Address is a mailbox in the plain form local@domain. It is comparable; addresses that differ in case only are equal
// after Fold. The zero value is the null sender <>.
type Address struct {
	local, domain string
}

// ErrAddress says that a string is no address in the plain form.
var ErrAddress = errors.New("not an address in the form local@domain")

// Limits of RFC 5321, 4.5.3.1.
const (
	maxLocal   = 64
	maxAddress = 254
)

// ParseAddress reads dot-atom@dot-atom, the only form in which this system writes addresses: no quotes, comments,
// routes, literals, nor characters beyond ASCII. The error is ErrAddress.
func ParseAddress(s string) (Address, error) {
	local, domain, found := strings.Cut(s, "@")
	if !found || len(s) > maxAddress || len(local) > maxLocal || !dotted(local, isAtext) || !dotted(domain, isHost) {
		return Address{}, ErrAddress
	}
	return Address{local: local, domain: strings.ToLower(domain)}, nil
}

// Local is the part before the @, as written.
func (a Address) Local() string { return a.local }

// Domain is the part after the @, in lower case.
func (a Address) Domain() string { return a.domain }

// IsZero says whether this is the null sender.
func (a Address) IsZero() bool { return a == Address{} }

// Fold is the address in lower case, the form in which addresses are compared and are keys. [C043]
func (a Address) Fold() Address {
	return Address{local: strings.ToLower(a.local), domain: a.domain}
}

// WithoutDetail is the mailbox that a subaddress leads to (mario+acts@ to mario@), or the address itself. The sign is the
// default of recipient_delimiter in Dovecot, whose LMTP finds the mailbox by it.
func (a Address) WithoutDetail() Address {
	local, _, found := strings.Cut(a.local, "+")
	if !found || !dotted(local, isAtext) {
		return a
	}
	return Address{local: local, domain: a.domain}
}

// String is local@domain, or nothing for the null sender.
func (a Address) String() string {
	if a.IsZero() {
		return ""
	}
	return a.local + "@" + a.domain
}

// dotted says whether s is one or more runs of allowed characters with single dots between them.
func dotted(s string, allowed func(byte) bool) bool {
	for atom := range strings.SplitSeq(s, ".") {
		if atom == "" {
			return false
		}
		for i := range len(atom) {
			if !allowed(atom[i]) {
				return false
			}
		}
	}
	return true
}

func isAlnum(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

func isAtext(c byte) bool {
	return isAlnum(c) || strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0
}

// isHost allows the underscore, which real domains have against the rules.
func isHost(c byte) bool { return isAlnum(c) || c == '-' || c == '_' }
