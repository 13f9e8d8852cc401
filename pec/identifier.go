package pec

import (
	"encoding/hex"
	"errors"
	"strings"
)

// Identifier is the identity of a certified message over the whole network, without angle brackets; it is the
// Message-ID of the transport envelope. Its zero value is no identifier. [C032]
type Identifier string

// maxIdentifier bounds identifiers of other providers, which are keys of ours.
const maxIdentifier = 250

// ErrIdentifier says that a string is no identifier.
var ErrIdentifier = errors.New("not an identifier")

// NewIdentifier makes an identifier of 128 bits that the caller MUST NOT have used before, and that nobody can guess;
// domain is that of the provider's address. [C032] [C033]
func NewIdentifier(unique [16]byte, domain string) Identifier {
	return Identifier(hex.EncodeToString(unique[:]) + "@" + strings.ToLower(domain))
}

// ParseIdentifier reads an identifier made by any provider, with or without angle brackets. It is tolerant: printable
// ASCII, one @ with something on both sides, at most 250 characters. The error is ErrIdentifier.
func ParseIdentifier(s string) (Identifier, error) {
	s = strings.TrimSpace(s)
	if strings.HasPrefix(s, "<") && strings.HasSuffix(s, ">") {
		s = s[1 : len(s)-1]
	}
	local, domain, found := strings.Cut(s, "@")
	if !found || local == "" || domain == "" || strings.Contains(domain, "@") || len(s) > maxIdentifier {
		return "", ErrIdentifier
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '<' || r == '>' }) {
		return "", ErrIdentifier
	}
	return Identifier(s), nil
}

// Bracketed is the form of the header fields: between angle brackets.
func (i Identifier) Bracketed() string { return "<" + string(i) + ">" }
