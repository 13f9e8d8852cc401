package transaction

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"io"

	"github.com/ceralacca/ceralacca/pec"
)

// NewDigest starts the digest of what follows a record: the header, then an empty line; the caller writes the body. The
// header is that which Postfix will hold after our fields, as the milter saw it or wrote it.
func NewDigest(following pec.Header) hash.Hash {
	digest := sha256.New()
	_, _ = following.WriteTo(digest) // a hash does not fail
	_, _ = digest.Write([]byte("\r\n"))
	return digest
}

// Digest is the SHA-256 of a header, an empty line and a body: what [Record.Digest] is about. The error is that of
// reading the body.
func Digest(following pec.Header, body pec.Source) ([32]byte, error) {
	digest := NewDigest(following)
	if _, err := io.Copy(digest, io.NewSectionReader(body, 0, body.Size())); err != nil {
		return [32]byte{}, fmt.Errorf("transaction: digest: %w", err)
	}
	return [32]byte(digest.Sum(nil)), nil
}
