package pec

import (
	"errors"
	"slices"
	"strings"

	"github.com/ceralacca/ceralacca/pec/internal/rfc822"
)

// DecodeText turns a raw header value into one line of UTF-8: unfolded, its encoded words (RFC 2047) decoded, control
// characters replaced by spaces, space around it removed. What cannot be decoded stays as it is; bytes beyond ASCII
// that are no UTF-8 are read as Windows-1252.
func DecodeText(raw string) string { return rfc822.Decode(raw) }

// EncodeSubject makes the value of a Subject field, without the space after the colon and without the last CRLF: the
// prefix in clear, text as encoded words in UTF-8 unless it is plain ASCII, folded. The prefix is ASCII and ends in a
// space. No text injects a line. DecodeText gives prefix and text back, but for control characters and outer space.
func EncodeSubject(prefix, text string) string { return rfc822.EncodeSubject(prefix, text) }

// ErrAddressList says that a value holds something, but no address.
var ErrAddressList = errors.New("no address in the list")

// ParseAuthor reads the value of a field that names one mailbox and nothing else, such as From. Two entries are
// ErrAddressList even when one of them is no address: some reader would take it for the author. [C040]
func ParseAuthor(raw string) (Address, error) {
	entries := rfc822.Addresses(raw)
	if len(entries) != 1 {
		return Address{}, ErrAddressList
	}
	return ParseAddress(entries[0])
}

// ParseAddressList reads the value of a field such as To or From (RFC 5322): names, comments, groups, folding, quoted
// local parts that need no quotes, routes, and spaces round the dots and the @ of an address. Only what mailers take
// for an address counts, never what stands in a name or a comment. Entries that are no plain address are passed over;
// when all are, the error is ErrAddressList. An empty value and an empty group are no addresses and no error.
//
// A provider's own address may thus stand bare or after a display name. [C043] [C261]
func ParseAddressList(raw string) ([]Address, error) {
	var found []Address
	entries := rfc822.Addresses(raw)
	for _, entry := range entries {
		if a, err := ParseAddress(entry); err == nil {
			found = append(found, a)
		}
	}
	if len(found) == 0 && len(entries) > 0 {
		return nil, ErrAddressList
	}
	return found, nil
}

// AddressesNamed are the words of a field that look like addresses, those in the names included: a reader takes them for
// whom the message is from. They need not be plain addresses.
func AddressesNamed(raw string) []string {
	words := strings.FieldsFunc(DecodeText(raw), func(r rune) bool { return strings.ContainsRune(" \t\"'<>,;:()", r) })
	return slices.DeleteFunc(words, func(word string) bool { return !strings.Contains(word, "@") })
}
