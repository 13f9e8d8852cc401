package transaction

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"

	"github.com/ceralacca/ceralacca/internal/secret"
)

const (
	minKey = 32   // bytes
	maxKey = 4096 // bytes

	envelopeMAC = 16 // bytes of the HMAC in an envelope id, which must stay under 100 characters
)

// What the HMAC says it is about, so that no value made for one purpose is good for another.
const (
	purposeRecord   = "ceralacca transaction\x00"
	purposeEnvelope = "ceralacca envelope\x00"
)

// Key proves what the milter says to the agent. It is immutable and safe for concurrent use; its zero value proves
// nothing and panics. It prints as <secret>.
type Key struct{ secret []byte }

// LoadKey reads a key from the file at path: all its bytes but the line end that may close them, at least 32. The file
// must be as [secret.Read] wants it.
func LoadKey(path string) (Key, error) {
	content, err := secret.Read(path, maxKey)
	if err != nil {
		return Key{}, fmt.Errorf("transaction: key: %w", err)
	}
	key, err := NewKey(bytes.TrimRight(content, "\r\n"))
	if err != nil {
		return Key{}, fmt.Errorf("%w: %s", err, path)
	}
	return key, nil
}

// NewKey makes a key of random bytes, at least 32, which it copies.
func NewKey(random []byte) (Key, error) {
	if len(random) < minKey {
		return Key{}, fmt.Errorf("transaction: key: %d bytes, need %d", len(random), minKey)
	}
	return Key{bytes.Clone(random)}, nil
}

// Equal says whether other proves what k proves. Both may be zero.
func (k Key) Equal(other Key) bool { return hmac.Equal(k.secret, other.secret) }

// Format implements [fmt.Formatter]: it hides the key from every verb.
func (Key) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "<secret>") } // fmt reports no failure either

// EnvelopeID is the ENVID of the transaction with this id: the id and a proof that we made it, 65 characters that need
// no encoding in SMTP.
func (k Key) EnvelopeID(id string) string {
	return id + "." + hex.EncodeToString(k.mac(purposeEnvelope, []byte(id))[:envelopeMAC])
}

// CheckEnvelopeID returns the transaction id in an ENVID that came back, and whether we made it. The case of letters
// does not count.
func (k Key) CheckEnvelopeID(envid string) (id string, ok bool) {
	const size = 32 + 1 + 2*envelopeMAC
	if len(envid) != size {
		return "", false
	}
	envid = string(bytes.ToLower([]byte(envid)))
	id = envid[:32]
	if !idForm.MatchString(id) || !hmac.Equal([]byte(envid), []byte(k.EnvelopeID(id))) {
		return "", false
	}
	return id, true
}

func (k Key) mac(purpose string, text []byte) []byte {
	if len(k.secret) < minKey {
		panic("transaction: a key that was not loaded")
	}
	mac := hmac.New(sha256.New, k.secret)
	_, _ = mac.Write([]byte(purpose)) // a hash does not fail
	_, _ = mac.Write(text)
	return mac.Sum(nil)
}
