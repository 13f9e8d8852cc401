package signer

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"slices"

	"github.com/ceralacca/ceralacca/internal/secret"
)

// minRSABits is the shortest key that we sign with.
const minRSABits = 2048

// Key signs what a provider seals. It may be a file or a device; implementations are safe for concurrent use.
type Key interface {
	// Certificates returns the certificate of the key, then those of the authorities that others may lack. The
	// caller MUST NOT change them.
	Certificates() []*x509.Certificate
	// Sign returns the RSA PKCS#1 v1.5 signature of a SHA-256 digest. It gives up when ctx ends; errors are
	// temporary, for a device may come back.
	Sign(ctx context.Context, digest []byte) ([]byte, error)
}

// NewKey makes a Key of a crypto.Signer, which a device or a file may stand behind, and its certificates, the
// signer's own first. The key MUST be RSA of at least 2048 bits and belong to the certificate; anything else is
// [ErrKey].
func NewKey(s crypto.Signer, chain []*x509.Certificate) (Key, error) {
	if len(chain) == 0 {
		return nil, fmt.Errorf("%w: there is no certificate", ErrKey)
	}
	public, ok := s.Public().(*rsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("%w: it is %T, not RSA", ErrKey, s.Public())
	}
	if bits := public.N.BitLen(); bits < minRSABits {
		return nil, fmt.Errorf("%w: it has %d bits, fewer than %d", ErrKey, bits, minRSABits)
	}
	if !public.Equal(chain[0].PublicKey) {
		return nil, fmt.Errorf("%w: it is not the key of the first certificate", ErrKey)
	}
	return &signerKey{signer: s, chain: chain}, nil
}

// NewRemoteKey makes a Key of what another process holds: sign returns the RSA PKCS#1 v1.5 signature of a SHA-256 digest. The
// certificates are as for [NewKey]. Each signature is held against the first of them: one that is wrong never leaves, it is
// [ErrKey]. failed, which may be nil, is told why there was no signature, unless the caller gave up. Both functions MUST be safe
// for concurrent use.
func NewRemoteKey(sign func(ctx context.Context, digest []byte) ([]byte, error), chain []*x509.Certificate, failed func(context.Context, error)) (Key, error) {
	public, err := publicKey(chain)
	if err != nil {
		return nil, err
	}
	if failed == nil {
		failed = func(context.Context, error) {}
	}
	return &remoteKey{sign: sign, public: public, chain: chain, failed: failed}, nil
}

type remoteKey struct {
	sign   func(context.Context, []byte) ([]byte, error)
	public *rsa.PublicKey
	chain  []*x509.Certificate
	failed func(context.Context, error)
}

var _ Key = (*remoteKey)(nil)

// Certificates implements Key.
func (k *remoteKey) Certificates() []*x509.Certificate { return k.chain }

// Sign implements Key.
func (k *remoteKey) Sign(ctx context.Context, digest []byte) ([]byte, error) {
	signature, err := k.verified(ctx, digest)
	if err != nil && ctx.Err() == nil {
		k.failed(ctx, err)
	}
	return signature, err
}

func (k *remoteKey) verified(ctx context.Context, digest []byte) ([]byte, error) {
	if len(digest) != sha256.Size {
		return nil, fmt.Errorf("%w: a digest of %d bytes", ErrKey, len(digest))
	}
	signature, err := k.sign(ctx, digest)
	if err != nil {
		return nil, err
	}
	if err := rsa.VerifyPKCS1v15(k.public, crypto.SHA256, digest, signature); err != nil {
		return nil, fmt.Errorf("%w: the signature is not that of the certificate: %w", ErrKey, err)
	}
	return signature, nil
}

// publicKey is that of the first certificate, when we may sign with it.
func publicKey(chain []*x509.Certificate) (*rsa.PublicKey, error) {
	if len(chain) == 0 {
		return nil, fmt.Errorf("%w: there is no certificate", ErrKey)
	}
	public, ok := chain[0].PublicKey.(*rsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("%w: it is %T, not RSA", ErrKey, chain[0].PublicKey)
	}
	if bits := public.N.BitLen(); bits < minRSABits {
		return nil, fmt.Errorf("%w: it has %d bits, fewer than %d", ErrKey, bits, minRSABits)
	}
	return public, nil
}

type signerKey struct {
	signer crypto.Signer
	chain  []*x509.Certificate
}

var _ Key = (*signerKey)(nil)

func (k *signerKey) Certificates() []*x509.Certificate { return k.chain }

func (k *signerKey) Sign(ctx context.Context, digest []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(digest) != sha256.Size {
		return nil, fmt.Errorf("%w: a digest of %d bytes", ErrKey, len(digest))
	}
	return k.signer.Sign(rand.Reader, digest, crypto.SHA256)
}

// String keeps the key out of logs.
func (*signerKey) String() string { return "<secret>" }

// GoString keeps the key out of logs.
func (*signerKey) GoString() string { return "<secret>" }

// maxPEM bounds, in bytes, the PEM files of a key and of its certificates.
const maxPEM = 1 << 20

// LoadKey reads a private key (PEM, PKCS#8 or PKCS#1, not encrypted) and its certificates (PEM): of those in the file that of
// the key, the first if there are several, and authorities. Others are passed over: while a certificate is exchanged for another
// the file has both, and one or the other key.
// The key file must be a regular one, owned by root or the user of this process, closed to group and others; the
// errors of package secret and [ErrKey] say what is wrong. The key never leaves the Key that is returned.
func LoadKey(certFile, keyFile string) (Key, error) {
	chain, err := ReadCertificates(certFile)
	if err != nil {
		return nil, err
	}
	content, err := secret.Read(keyFile, maxPEM)
	if err != nil {
		return nil, err
	}
	defer clear(content)
	private, err := parseKey(content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", keyFile, err)
	}
	key, err := NewKey(private, chainOf(private, chain))
	if err != nil {
		return nil, fmt.Errorf("%s with %s: %w", keyFile, certFile, err)
	}
	return key, nil
}

// chainOf is the certificate of a key, and all authorities. When no certificate is the key's it is the list as it is, which
// nobody takes.
func chainOf(private crypto.Signer, list []*x509.Certificate) []*x509.Certificate {
	public, ok := private.Public().(*rsa.PublicKey)
	own := slices.IndexFunc(list, func(c *x509.Certificate) bool { return ok && public.Equal(c.PublicKey) })
	if own < 0 {
		return list
	}
	chain := []*x509.Certificate{list[own]}
	for i, c := range list {
		if i != own && c.IsCA {
			chain = append(chain, c)
		}
	}
	return chain
}

// EncodeCertificates is certificates as PEM.
func EncodeCertificates(list []*x509.Certificate) (text []byte) {
	for _, c := range list {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return text
}

func parseKey(content []byte) (crypto.Signer, error) {
	block, rest := pem.Decode(content)
	if block == nil {
		return nil, fmt.Errorf("%w: the file has no PEM block", ErrKey)
	}
	defer clear(block.Bytes)
	if next, _ := pem.Decode(rest); next != nil {
		return nil, fmt.Errorf("%w: the file has more than one PEM block", ErrKey)
	}
	switch block.Type {
	case "PRIVATE KEY":
		any, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrKey, err)
		}
		if s, ok := any.(crypto.Signer); ok {
			return s, nil
		}
		return nil, fmt.Errorf("%w: it cannot sign", ErrKey)
	case "RSA PRIVATE KEY":
		private, err := x509.ParsePKCS1PrivateKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrKey, err)
		}
		return private, nil
	}
	return nil, fmt.Errorf("%w: PEM block %q is not an unencrypted private key", ErrKey, block.Type)
}

// ReadCertificates reads all certificates of a PEM file, at least one.
func ReadCertificates(path string) ([]*x509.Certificate, error) {
	content, err := readFile(path, maxPEM)
	if err != nil {
		return nil, err
	}
	var chain []*x509.Certificate
	for block, rest := pem.Decode(content); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("%s: PEM block %q is not a certificate", path, block.Type)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		chain = append(chain, c)
	}
	if len(chain) == 0 {
		return nil, fmt.Errorf("%s: it has no certificate in PEM", path)
	}
	return chain, nil
}

// readFile reads a file of at most limit bytes.
func readFile(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > limit {
		return nil, fmt.Errorf("%s: it is not a regular file of at most %d bytes", path, limit)
	}
	return os.ReadFile(path)
}
