package app

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"

	"github.com/ceralacca/ceralacca/plugins"
)

// pluginKey is a key that a plug-in holds, with the certificates that the plug-in has for it.
type pluginKey struct {
	id    string
	chain []*x509.Certificate // at least one, unless err
	err   error               // why it is of no use
}

// pluginKeys are all keys of a plug-in, in its order.
func pluginKeys(ctx context.Context, by plugins.KeyHolder) ([]pluginKey, error) {
	entries, err := by.Certificates(ctx)
	if err != nil {
		return nil, err
	}
	keys := make([]pluginKey, len(entries))
	for i, entry := range entries {
		keys[i] = pluginKey{id: entry.ID}
		for _, der := range entry.Chain {
			cert, err := x509.ParseCertificate(der)
			if err != nil {
				keys[i].err = err
				break
			}
			keys[i].chain = append(keys[i].chain, cert)
		}
	}
	return keys, nil
}

// ofCertificate finds the key that belongs to a certificate. The plug-in need not know that certificate: it may have another
// for the same key, an older one, or one that the key signed itself. Every signature is held against the certificate in use.
func ofCertificate(keys []pluginKey, cert *x509.Certificate) (pluginKey, bool) {
	public, ok := cert.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	i := slices.IndexFunc(keys, func(k pluginKey) bool { return ok && k.err == nil && public.Equal(k.chain[0].PublicKey) })
	if i < 0 {
		return pluginKey{}, false
	}
	return keys[i], true
}

// String is how the key is named to a person.
func (k pluginKey) String() string {
	switch {
	case k.err != nil:
		return fmt.Sprintf("%.60s, which is of no use (%s)", k.id, oneLine(k.err))
	case selfSigned(k.chain[0]):
		return fmt.Sprintf("%.60s without a certificate", k.id)
	}
	return fmt.Sprintf("%.60s with the certificate of serial number %X", k.id, k.chain[0].SerialNumber)
}

// selfSigned says whether a certificate stands only for the key that signed it, which nobody has certified.
func selfSigned(c *x509.Certificate) bool {
	return bytes.Equal(c.RawSubject, c.RawIssuer) && c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}

// listed names keys in a sentence.
func listed(keys []pluginKey) string {
	words := make([]string, len(keys))
	for i, k := range keys {
		words[i] = k.String()
	}
	return strings.Join(words, ", ")
}
