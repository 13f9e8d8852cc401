package signer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/asn1"
	"fmt"
	"time"
)

// SealAttached signs a file: content, signature and certificates of the key in one SignedData, as the directory of providers
// wants it (DER, p7m). It says nothing of when it was signed, so that the same content and key give the same bytes. What
// [OpenAttached] would not read is not made. Errors are [ErrKey] and those of the key, which are temporary. [C211]
func SealAttached(ctx context.Context, key Key, content []byte) ([]byte, error) {
	if len(content) > maxAttached/2 {
		return nil, fmt.Errorf("more than %d bytes to sign", maxAttached/2)
	}
	chain := key.Certificates()
	if len(chain) == 0 {
		return nil, fmt.Errorf("%w: it has no certificate", ErrKey)
	}
	attributes, err := signedAttributes(chain[0], sha256.Sum256(content), time.Time{})
	if err != nil {
		return nil, err
	}
	signature, err := signSet(ctx, key, attributes)
	if err != nil {
		return nil, err
	}
	octets, err := asn1.Marshal(content)
	if err != nil {
		return nil, err
	}
	der, err := encodeSignedData(chain, attributes, signature, encapsulated{oidData, contextTag(octets)})
	if err != nil {
		return nil, err
	}
	opened, by, _, err := OpenAttached(der)
	if err == nil && (!bytes.Equal(opened, content) || !by.Equal(chain[0])) {
		err = ErrSignature
	}
	if err != nil {
		return nil, fmt.Errorf("%w: what it signed does not open: %w", ErrKey, err)
	}
	return der, nil
}
