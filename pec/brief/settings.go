package brief

import (
	"crypto/sha1" //nolint:gosec // the rule names it
	"crypto/sha256"
	"fmt"
	"hash"
)

// What a hash is over. RFC 6109 says both: "calculated on base64 encoded parts" and "on the entire content of the
// part". [C173]
const (
	// OverDecoded is the content of the part, its transfer encoding undone: the file that the sender attached.
	OverDecoded = "decoded"
	// OverEncoded is the content of the part as it stands in the message: all octets between the empty line that ends
	// its header and the line end that precedes the next delimiter, neither of them included. Line ends within count, as
	// CRLF. When the part is the whole message, it reaches to the end of the message.
	OverEncoded = "encoded"
)

// The algorithms.
const (
	SHA1   = "sha1" // that of the rule
	SHA256 = "sha256"
)

// Settings are how the hashes are made. Who makes a receipt again MUST do it with the same ones.
type Settings struct {
	Over      string `json:"over"`      // OverDecoded or OverEncoded
	Algorithm string `json:"algorithm"` // SHA1 or SHA256
}

// newHash says by its error that the settings are none, which is a fault of the caller.
func (s Settings) newHash() (hash.Hash, error) {
	if s.Over != OverDecoded && s.Over != OverEncoded {
		return nil, fmt.Errorf("brief: a hash over %q", s.Over)
	}
	switch s.Algorithm {
	case SHA1:
		return sha1.New(), nil //nolint:gosec // the rule names it [C172]
	case SHA256:
		return sha256.New(), nil
	}
	return nil, fmt.Errorf("brief: the algorithm %q", s.Algorithm)
}
